"""The command line: the only package that imports typer and rich, prints, or reads arguments.

May import every other package; large libraries only inside functions, so that `revcd --help` stays fast.
"""
