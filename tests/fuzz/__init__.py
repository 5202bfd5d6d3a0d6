"""Files of every kind that revcd reads, damaged at random by the tens of thousands, and what revcd makes of them.

    python -m tests.fuzz --inputs 20000 --seed 0      damage files, read them, print a table
    python -m tests.fuzz --only png --input 17        do one of them again, and show what came of it
    python -m pytest tests/fuzz                       a few of each kind

A sound file (`samples.py`) is damaged (`damage.py` without regard to its format, `pictures.py`, `containers.py` and
`texts.py` with it) and given to the function that reads such files (`readers.py`), in a process of its own that has
little memory and time (`worker.py`). What may come of it: a valid result, an `ImageFailure` or a `RevcdError`.
Everything else is a crash: another exception, a message without end, a library that prints, too much memory or time, a
process that dies. An input is a number: with the same seed it is the same bytes everywhere.
"""
