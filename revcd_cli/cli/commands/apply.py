"""`revcd apply`: sort photos into folders by their answers, and write XMP sidecars."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import expand, one_of
from ..terminal import console

if TYPE_CHECKING:
    from ...pipeline.apply.answers import Selection
    from ...pipeline.apply.apply import Applied, Plan

FINISHED_WITH_FAILURES, NOTHING_USABLE = 3, 1
_NAMED = 10  # failures that are named one by one
_SHOWN = 20  # rows of a dry run on a terminal

AnswersArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="ANSWERS",
        help="Output of revcd predict: .csv, .json, .jsonl or .parquet.",
        show_default=False,
        callback=expand,
    ),
]
SortOption = Annotated[
    Path | None,
    typer.Option(
        "--sort",
        metavar="DIR",
        help='Put a copy of each photo, or a link to it, in DIR/CLASS; unsure ones in "DIR/unsure".',
        callback=expand,
    ),
]
HowOption = Annotated[
    str,
    typer.Option(
        metavar="copy|hardlink|symlink",
        help="What --sort puts there. Photos are never moved.",
        callback=one_of("copy", "hardlink", "symlink"),
    ),
]
SidecarOption = Annotated[
    str,
    typer.Option(
        metavar="auto|a.xmp|a.jpg.xmp",
        help="Name of the sidecar of a.jpg; auto: the one that exists, otherwise a.xmp.",
        callback=one_of("auto", "a.xmp", "a.jpg.xmp"),
    ),
]
ParentOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Keyword above the class in lr:hierarchicalSubject, such as animals. Repeatable, the highest first.",
        show_default=False,
    ),
]
UndoOption = Annotated[
    Path | None,
    typer.Option("--undo", metavar="LIST", help="Undo an earlier run by the list that it wrote.", callback=expand),
]
UndoListOption = Annotated[
    Path | None,
    typer.Option(
        "--undo-list",
        metavar="FILE",
        help="Where to write the list for --undo.",
        show_default="beside ANSWERS",
        callback=expand,
    ),
]


def apply(
    answers: AnswersArgument = None,
    sort: SortOption = None,
    how: HowOption = "copy",
    xmp: Annotated[
        bool, typer.Option("--xmp", help="Write the class as a keyword into the XMP sidecar of each photo.")
    ] = False,
    sidecar: SidecarOption = "auto",
    parent: ParentOption = None,
    min_probability: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, metavar="P", help="Photos with a lower probability are unsure."),
    ] = 0.0,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Only photos with this answer. Repeatable.", show_default="all"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and write nothing.")] = False,
    undo: UndoOption = None,
    undo_list: UndoListOption = None,
) -> None:
    """Sort photos into folders by their answers, and write the class as a keyword into XMP sidecars.

    Photos are neither moved nor changed, and no existing file is replaced. Below DIR/CLASS a photo keeps its path
    relative to the folder that all photos of ANSWERS share. Run it where revcd predict ran: ANSWERS names the photos
    as they were given there.

    A sidecar that exists keeps all that it has; the keyword is added to dc:subject and lr:hierarchicalSubject. With
    --sort the sidecars are written beside the sorted photos, and nothing in the photos' own folders. Unsure photos get
    no keyword.

    What was done is listed in a file, and --undo takes it back: nothing that was changed since, and no sorted file
    whose photo is gone.

    \b
    revcd apply answers.csv --sort sorted/ --min-probability 0.8 --dry-run
    revcd apply answers.csv --sort sorted/ --min-probability 0.8
    revcd apply answers.csv --xmp --parent animals
    revcd apply --undo answers.undo.jsonl
    """
    if undo is not None:
        if answers is not None or sort is not None or xmp:
            raise typer.BadParameter("--undo takes a list only; leave out ANSWERS, --sort and --xmp.")
        _undo(undo, dry_run=dry_run)
        return
    if answers is None:
        raise typer.BadParameter("give the ANSWERS of revcd predict, or --undo LIST.")
    from ...pipeline.apply.answers import select
    from ...pipeline.apply.apply import apply_plan, make_plan
    from ...pipeline.apply.undo import free_undo_path
    from ...reports.predictions.reading import read_answers
    from ...system.files import check_output

    found = read_answers(answers)
    selection = select(found, min_probability=min_probability, only=only or ())
    plan = make_plan(found, selection, folder=sort, sidecars=sidecar if xmp else None)
    _say_what_is_left_out(selection)
    if sort is not None and sort.absolute().is_relative_to(plan.root):
        console.warn(f"{sort} is below the photos' folder {plan.root}: predict will find the sorted photos there, too.")
    if dry_run:
        _print_plan(plan)
        return
    path = check_output(undo_list or free_undo_path(answers), overwrite=False)
    with console.progress("Applying", unit="files") as on_progress:
        applied = apply_plan(plan, path, how=how, parents=tuple(parent or ()), on_progress=on_progress)
    _finish(applied, path)


def _say_what_is_left_out(selection: Selection) -> None:
    if selection.failed:
        console.note(f"left out: {console.photo_count(selection.failed)} that could not be classified")
    if selection.others:
        console.note(f"left out: {console.photo_count(selection.others)} of other classes, or unsure")


def _print_plan(plan: Plan) -> None:
    rows = [["sort", str(each.photo), str(each.target)] for each in plan.placements]
    rows += [["xmp", each.keyword, str(each.path)] for each in plan.sidecars]
    shown = console.shortened(rows, _SHOWN)
    console.result_table(["what", "from", "to"], shown, elided=("from", "to"))
    if len(shown) < len(rows):
        console.note(f"and {len(rows) - len(shown):,} more; printed into a pipe or a file, the list is complete")
    console.note(f"{console.photo_count(len(plan.placements))} to sort, {len(plan.sidecars):,} sidecars to write")
    console.note("Nothing was written (--dry-run).")


def _finish(applied: Applied, undo_path: Path) -> None:
    for path, reason in applied.failures[:_NAMED]:
        console.warn(f"{path}: {reason}")
    if len(applied.failures) > _NAMED:
        console.warn(f"and {len(applied.failures) - _NAMED:,} more failures")
    if applied.placed:
        _print_counts(applied.placed)
    sidecars = f", {applied.written:,} sidecars written" if applied.written else ""
    if applied.unchanged:
        sidecars += f", {applied.unchanged:,} had the keyword already"
    done = applied.placed.total() + applied.written + applied.unchanged
    console.note(f"{console.photo_count(applied.placed.total())} sorted{sidecars}, {len(applied.failures):,} failed")
    if undo_path.exists():
        console.note(f"Undo: revcd apply --undo {_quoted(undo_path)}")
    if applied.failures:
        if not done:
            console.note("Paths of photos are read from the current folder; run apply where revcd predict ran.")
        raise typer.Exit(FINISHED_WITH_FAILURES if done else NOTHING_USABLE)


def _print_counts(placed: Counter[str]) -> None:
    console.result_table(
        ["folder", "photos"], [[name, f"{number:,}"] for name, number in placed.most_common()], right=("photos",)
    )


def _undo(path: Path, *, dry_run: bool) -> None:
    if dry_run:
        raise typer.BadParameter("--undo has no --dry-run.")
    from ...pipeline.apply.undo import undo

    done = undo(path)
    for each, reason in done.left:
        console.warn(f"{each}: {reason}; it was left as it is")
    console.note(
        f"{done.removed:,} files removed, {done.restored:,} sidecars restored, {done.absent:,} were not there, "
        f"{len(done.left):,} left as they are"
    )
    if done.left:
        raise typer.Exit(FINISHED_WITH_FAILURES)


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
