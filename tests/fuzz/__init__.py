"""Fuzz tests: randomly damaged files of every kind that revcd reads.

    python -m tests.fuzz --inputs 20000 --seed 0      damage files, read them, print a table
    python -m tests.fuzz --only png --input 17        repeat one input and show its outcome
    python -m pytest tests/fuzz -m ''                 a few inputs of each kind

A valid file (`samples.py`) is damaged, without knowledge of its format (`damage.py`) or with it (`pictures.py`,
`containers.py`, `texts.py`), and given to the function that reads such files (`readers.py`), in a process with limited
memory and time (`worker.py`). Allowed outcomes are a valid result, an `ImageFailure` or a `RevcdError`. Everything
else is a crash: another exception, a very long message, output of a library, too much memory or time, or the end of the
process. An input is identified by kind, seed and number, and has the same bytes on every machine.
"""
