"""The command group `revcd classes`."""

from __future__ import annotations

import typer

from .glossary import glossary
from .known import known
from .new import new
from .suggest import suggest

app = typer.Typer(no_args_is_help=True, help="Describe new classes; improve a class table.", rich_markup_mode=None)


@app.callback()
def root() -> None:
    """Describe new classes; improve a class table."""  # with a callback, a single command stays a subcommand


app.command("glossary")(glossary)
app.command("known")(known)
app.command("new")(new)
app.command("suggest")(suggest)
