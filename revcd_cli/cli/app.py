"""The command `revcd`: global options and subcommands. Large libraries are imported when a command runs."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ..version import __version__
from .commands import apply, data, evaluate, extract, info, models, train, tune
from .commands.classes import app as classes
from .commands.predict import command as predict
from .commands.study import app as study
from .terminal import console, streams

CONTEXT = {"help_option_names": ["-h", "--help"]}
GLOBAL_FLAGS = frozenset({"-v", "-vv", "--verbose", "-q", "--quiet", "--no-color", "--offline"})

app = typer.Typer(
    name="revcd",
    context_settings=CONTEXT,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="These options may also follow a command. 'revcd COMMAND -h' describes a command.",
)


def global_options_first(arguments: list[str]) -> list[str]:
    """Move global options before the command, so that they may follow it: `revcd predict photo.jpg -q`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [argument for argument in arguments[:end] if argument in GLOBAL_FLAGS]
    others = [argument for argument in arguments[:end] if argument not in GLOBAL_FLAGS]
    return [*flags, *others, *arguments[end:]]


def _print_version(wanted: bool) -> None:
    if wanted:
        console.result(f"revcd {__version__}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def root(
    verbose: Annotated[
        int,
        typer.Option(
            "-v",
            "--verbose",
            count=True,
            help="Print details: files, device, precision, batch size, photos; -vv: also tracebacks.",
            show_default=False,
        ),
    ] = 0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only results and errors.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Print without colours, as with NO_COLOR=1.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Open no network connection.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Classify photos into the classes of an attribute table, including classes without training photos.

    \b
    revcd predict photo.jpg
    revcd predict photos/ --classes mine.csv -o predictions.csv

    The first command uses the included model and its 109 animal classes.
    """
    streams.configure(quiet=quiet, verbosity=verbose, no_color=no_color)
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it when it is imported


app.command("predict")(predict.predict)
app.command("apply")(apply.apply)
app.command("extract")(extract.extract)
app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(study.app, name="study")
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(classes.app, name="classes")
app.command("info")(info.info)
