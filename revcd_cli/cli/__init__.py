"""The command line: the only place that imports typer and rich, prints, or reads arguments.

May import everything; heavy packages only inside functions, so that `revcd --help` stays fast.
"""
