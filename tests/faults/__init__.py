"""Fault tests: bad inputs and conditions, each given to the real command in a process of its own.

    python -m tests.faults                      run every fault and print a table with counts
    python -m pytest tests/faults -m ''         the same, as tests

`table.py` lists the faults: number, section and title. `cases/` holds their cases, by subject.
`runner.py` runs a case and asserts what must hold after every command.
"""
