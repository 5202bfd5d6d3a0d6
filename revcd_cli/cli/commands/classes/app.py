"""The command group `revcd classes`."""

from __future__ import annotations

import typer

from .known import known
from .suggest import suggest

app = typer.Typer(no_args_is_help=True, help="Improve a class table.", rich_markup_mode=None)


@app.callback()
def root() -> None:
    """Improve a class table."""  # with a callback, a single command stays a subcommand


app.command("known")(known)
app.command("suggest")(suggest)
