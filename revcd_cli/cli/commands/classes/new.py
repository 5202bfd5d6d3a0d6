"""`revcd classes new`: describe a new class by answers to a few questions. Does not import torch, except for photos."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ....errors import UsageError
from ...options import JsonOption, OverwriteOption, expand, expand_short
from ...terminal import console
from ...terminal.next_command import command_line

if TYPE_CHECKING:
    from ....data.classes.attributes import ClassAttributes
    from ....pipeline.tables.description_space import DescriptionSpace
    from ....pipeline.tables.new_class.session import NewClass

QUESTIONS = 20
INTERRUPTED = 130  # exit code


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new class.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Model that will use the table: its attributes, its classes, and how it compares them.",
            show_default="animals; none for a table with other attributes",
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="Table to add the class to.", show_default="the model's table", callback=expand
        ),
    ] = None,
    like: Annotated[
        str, typer.Option(metavar="CLASSES", help="Start from these classes, with weights: zebra,giraffe:0.5")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="ATTRIBUTE=VALUE",
            help="A value: a number, or one of none, little, some, much, very. Repeatable.",
            show_default=False,
        ),
    ] = None,
    photos: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGES",
            help="Photos of the class, to start from the attributes that the model generates from them. Repeatable.",
            show_default=False,
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|-",
            help="Lines of attribute,value, an earlier draft, or the reply to --prompt; asks no questions.",
            callback=expand,
        ),
    ] = None,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Print a text with which a language model can describe the class.")
    ] = False,
    questions: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Questions to ask at most.", show_default="20; 0 with --answers"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Table to write (.csv), with a draft beside it (.draft.csv); an existing table gets one more row.",
            callback=expand_short,
        ),
    ] = None,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Describe a new class: answer some questions, the most telling first; the other attributes follow from them.

    An answer is a number on the scale of the table, or one of the words none, little, some, much, very, whose values
    are shown with a class for each. Enter takes the value of the draft, ? leaves it open, b goes back, q finishes.
    After each answer the nearest classes are shown. Questions end when the next ones would not change these.

    The values that were not given are the expected ones under a Gaussian over the rows of the table, given the answers.
    The draft names the origin of each value: asked, set, like, photos or imputed, and its standard deviation.

    \b
    revcd classes new okapi -o mine.csv
    revcd classes new okapi --like zebra,giraffe:0.5 --set stripes=60 --set longneck=some -o mine.csv
    revcd classes new okapi --prompt > ask.txt
    revcd classes new okapi --answers reply.csv -o mine.csv
    """
    from ....pipeline.tables.new_class.answers import set_values
    from ....pipeline.tables.new_class.files import check_table_output
    from ....pipeline.tables.new_class.prompt import prompt_text
    from ....pipeline.tables.new_class.summary import document, nearest_text, summary
    from .opening import table_and_model

    if prompt and (output is not None or answers is not None):
        raise UsageError("--prompt prints a text; it takes neither --output nor --answers.")
    if not (name := name.strip()):
        raise UsageError("The name of the class is empty.")
    existing = check_table_output(output, name, overwrite=overwrite) if output is not None else None
    if existing is not None and classes is not None:
        raise UsageError(f"{output}: exists, so the class is added to this table; leave out --classes.")
    base, known = table_and_model(existing if existing is not None else classes, model)
    described = _start(name, base, known, like)
    if prompt:
        sys.stdout.write(prompt_text(described))
        return
    if photos:
        _start_from_photos(described, photos, known)
    if answers is not None:
        _take_answers(described, answers)
    set_values(described, settings or ())  # after those of a file, which they replace
    _refuse_other_scale(described)
    count = questions if questions is not None else QUESTIONS if answers is None else 0
    interrupted = _ask(described, 0 if str(answers) == "-" else count)
    if interrupted and not described.draft.answers:
        raise typer.Exit(INTERRUPTED)
    if not described.is_described():
        raise UsageError(
            f"Nothing was said about {name}.",
            hint="Answer a question, or add --set ATTRIBUTE=VALUE, --like CLASS, --photos DIR or --answers FILE.",
        )
    for finding in described.scale_findings():
        console.warn(finding.text)
    for finding in described.taken_photos():
        console.warn(finding.sentence)
    for text in (summary(described), nearest_text(described)):
        console.note(text)
    if output is not None:
        _write(described, base, output, photos or [], exists=existing is not None)
    elif not as_json:
        _print(described)
    if as_json:
        console.result_json(document(described))
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _start(name: str, base: ClassAttributes, known: DescriptionSpace | None, like: str) -> NewClass:
    from ....data.classes.attributes import class_key
    from ....pipeline.tables.glossary import glossary_of
    from ....pipeline.tables.new_class.answers import parse_likeness
    from ....pipeline.tables.new_class.session import NewClass

    if class_key(name) in map(class_key, base.names):
        trained = known is not None and class_key(name) in map(class_key, known.seen)
        photos = " and the model was trained on photos of it" if trained else ""
        console.warn(f'The table has a row of "{name}"{photos}. The new row replaces it in the output.')
    relatives = parse_likeness(like) if like else ()
    return NewClass.start(name, base, known, like=relatives, glossary=glossary_of(base.attributes))


def _start_from_photos(described: NewClass, photos: list[str], known: DescriptionSpace | None) -> None:
    from ....pipeline.tables.new_class.photos import start_from_photos

    if known is None:
        raise UsageError("--photos needs a model with the attributes of the table.", hint="Add --model FILE.")
    with console.progress("Reading") as on_progress:
        start_from_photos(described, photos, known.path, on_progress=on_progress, on_note=console.note)
    console.note(f"The draft starts from {len(described.photos):,} photos.")


def _take_answers(described: NewClass, answers: Path) -> None:
    from ....pipeline.tables.new_class.answers import take_answers

    piped = str(answers) == "-"
    data = sys.stdin.buffer.read() if piped else None
    for text in take_answers(described, Path("standard input") if piped else answers, data):
        console.note(text)


def _refuse_other_scale(described: NewClass) -> None:
    """Raise `UsageError` if the given values are on another scale than the table."""
    from ....data.findings import ERROR, of_rank

    for finding in of_rank(described.scale_findings(), ERROR):
        raise UsageError(finding.text, hint="Give values on the scale that `revcd classes glossary` shows.")


def _ask(described: NewClass, count: int) -> bool:
    """Ask at most `count` questions. Returns whether they were interrupted by Ctrl-C, which keeps the answers."""
    from .asking import ask_questions

    try:
        if count:
            ask_questions(described, count)
            sys.stderr.write("\n")
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        console.note("Interrupted; the answers so far are kept.")
        return True
    return False


def _write(described: NewClass, base: ClassAttributes, output: Path, photos: list[str], *, exists: bool) -> None:
    """Write the table and the draft, and say what to run next. photos: as given on the command line."""
    from ....checkpoint.metadata import find_checkpoint
    from ....pipeline.tables.new_class.files import draft_path, write_draft, write_table

    write_table(output, base, described, exists=exists)
    write_draft(draft_path(output), described)
    known = described.neighbours.known
    console.note(f"Written to {output}, with the draft in {draft_path(output)}.")
    model = None if known is None else "animals" if known.path == find_checkpoint("animals") else known.path
    console.note(f"Next: {command_line('revcd', 'data', 'check', output, options={'--model': model})}")
    options = {"--classes": output, "--model": model, "--photos": [f"{described.name}={each}" for each in photos]}
    predict = command_line("revcd", "predict", "PHOTOS", options=options, defaults={"--model": "animals"})
    console.note(f"To name photos: {predict}")


def _print(described: NewClass) -> None:
    from ....pipeline.tables.new_class.files import draft_rows

    rows = [[name, f"{value:g}", f"{spread:g}", origin] for name, value, spread, origin in draft_rows(described)]
    console.result_table(("attribute", "value", "spread", "origin"), rows, right=("value", "spread"))
