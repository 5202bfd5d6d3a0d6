"""Everything bad that a user may feed revcd, as one table of faults that is run through the real command.

    python -m tests.faults            try every fault and print the table with its counts
    python -m pytest tests/faults     the same, as tests

A fault has a number, a section and a title, which `table.py` lists; the modules named after the sections hold its
cases. `runner.py` runs a case and asserts the law that holds for all of them.
"""
