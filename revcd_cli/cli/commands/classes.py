"""`revcd classes`: help for who makes a class table. Torch is not needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import JsonOption, MissingOption, OverwriteOption, expand, expand_short
from ..terminal import charts, console

if TYPE_CHECKING:
    from rich.text import Text

    from ...data.classes.attributes import ClassAttributes

app = typer.Typer(no_args_is_help=True, help="Help with class tables.", rich_markup_mode=None)

_NEAREST = 5  # pairs that are shown where none is above the bound
_SHOWN = 10  # rows of a table on a terminal, and names of a line
_APART = 3  # attributes that are named beside a pair


@app.callback()
def root() -> None:
    """Help with class tables."""  # keeps `suggest` a command of its own


@app.command("suggest")
def suggest(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="CSV", help="A class table, such as attributes.csv.", show_default=False, callback=expand
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Compare as this model does, and tell which attributes it sees in photos.",
            show_default="by the table's own standardised values",
        ),
    ] = None,
    bound: Annotated[
        float, typer.Option(min=0, max=1, metavar="COSINE", help="From here on classes are nearly indistinguishable.")
    ] = 0.95,
    missing: MissingOption = "error",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Page to write (.html).", callback=expand_short),
    ] = None,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Show which classes of a table are nearly indistinguishable, what separates them, and what does not help.

    Two classes with the same row get the same answer for every photo. Classes whose rows are nearly alike (cosine
    above --bound) are told apart badly. With --model, attributes that the model hardly sees in photos are listed too:
    in validation, what it drew from photos of new classes did not follow their descriptions. Differences are given in
    spreads: standard deviations of the attribute over classes.

    \b
    revcd classes suggest mine.csv --model animals
    revcd classes suggest my-animals/attributes.csv -o classes.html
    """
    from ...data.classes.attributes import read_attribute_csv
    from ...pipeline.tables.description_space import read_descriptions
    from ...pipeline.tables.suggest import suggest as run
    from ...reports.classes_page import check_page_output, class_page
    from ...system.files import write_bytes

    if output is not None:
        check_page_output(output, overwrite=overwrite)
    known = None if model is None else read_descriptions(model)
    classes = read_attribute_csv(table, missing=missing)
    with console.progress("Comparing", unit="classes") as on_progress:
        document = run(classes, known, bound=bound, on_tile=lambda done, total: on_progress(done, total, 0))
    if output is not None:
        write_bytes(output, class_page(document))
        console.note(f"Written to {output}")
    if as_json:
        console.result_json(document)
        return
    _introduce(document, classes)
    _print_pairs(document)
    _print_attributes(document)
    console.result_pairs(_lines(document))


def _introduce(document: dict[str, Any], classes: ClassAttributes) -> None:
    from ...pipeline.tables.description_space import models_with

    model = document["model"]
    how = f"as model {model['name']} ({model['sha256'][:8]}) does" if model else "by their standardised values"
    console.note(
        f"{document['source']} - {document['classes']:,} classes, {document['attributes']:,} attributes, compared {how}"
    )
    for warning in document["warnings"]:
        console.warn(warning)
    fitting = [] if model else models_with(classes.attributes)
    if fitting:
        console.note(f"The model {fitting[0]} has these attributes: --model {fitting[0]} compares as it does.")


def _print_pairs(document: dict[str, Any]) -> None:
    """Print the pairs above the bound, or the nearest ones if there is none."""
    above = [pair for pair in document["pairs"] if pair["above"]]
    pairs = _on_terminal(above) or document["pairs"][:_NEAREST]
    if pairs:
        rows = [
            [*pair["classes"], _cosine(pair), f"{pair['differ']:,}", _apart(pair, document["hardly"])] for pair in pairs
        ]
        columns = ("class", "and class", "cosine", "differ in", "most in (spreads)")
        console.result_table(columns, rows, right=("cosine", "differ in"), optional=("differ in",))
        if any("*" in row[-1] for row in rows):
            console.note("* hardly seen in photos")
    total, bound = document["pairs_above"], f"{document['bound']:g}"
    if not total:
        nearest = "; the nearest are above" if pairs else ""
        console.note(f"No two classes are nearly indistinguishable (cosine above {bound}){nearest}.")
    else:
        rest = f"; {total - len(pairs):,} of them are not shown" if total > len(pairs) else ""
        found = "1 pair of classes is" if total == 1 else f"{total:,} pairs of classes are"
        console.note(f"{found} nearly indistinguishable (cosine above {bound}){rest}.")


def _on_terminal(rows: list[Any]) -> list[Any]:
    import sys

    return rows[:_SHOWN] if sys.stdout.isatty() else rows


def _cosine(pair: dict[str, Any]) -> Text:
    from rich.text import Text

    style = charts.FAILED if not pair["differ"] else charts.WARNING if pair["above"] else ""
    return Text(f"{pair['cosine']:.3f}", style)


def _apart(pair: dict[str, Any], hardly: float) -> str:
    from ...pipeline.tables.advice import is_below

    if not pair["differ"]:
        return "nothing: the rows are the same"
    parts = []
    for each in pair["apart"][:_APART]:
        low = is_below(each["reliability"], hardly)
        parts.append(f"{each['attribute']} {each['spreads']:.1f}{'*' if low else ''}")
    return ", ".join(parts)


def _print_attributes(document: dict[str, Any]) -> None:
    """Print the attributes that help little: hardly seen in photos, the same for all classes, or said twice."""
    from ...pipeline.tables.advice import is_below

    said_with = {name: group for group in document["redundant"] for name in group}
    rows = []
    for fact in document["attribute_facts"]:
        name, reliability = fact["name"], fact["reliability"]
        remarks = ["the same for all classes"] if fact["constant"] else []
        if name in said_with:
            others = [other for other in said_with[name] if other != name]
            remarks.append(f"says the same as {_names(others, 3)}")
        hardly = is_below(reliability, document["hardly"])
        if hardly:
            remarks.append("hardly seen in photos")
        if remarks:
            figure = "-" if reliability is None else f"{reliability:5.2f}"
            style = charts.WARNING if hardly else ""
            rows.append([name, charts.bar_cell(reliability, figure, style), ", ".join(remarks)])
    if rows:
        shown = _on_terminal(rows)
        console.result_table(("attribute", "seen in photos", "remark"), shown, right=("seen in photos",))
        if len(rows) > len(shown):
            console.note(
                f"{len(rows) - len(shown):,} more attributes help little; -o PAGE.html or --json has them all."
            )


def _lines(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is said in lines of text: groups, odd values, classes far from all photos, and what to do next."""
    lines = [("group", f"{len(group)} classes, each near another: {_names(group)}") for group in document["groups"]]
    lines = _on_terminal(lines)
    odd = document["out_of_range"]
    for each in odd["values"][:3]:
        low, high = each["range"]
        lines.append(
            (
                "outside",
                f"{each['attribute']} of {each['class']} is {each['value']:g}; the model knows {low:g} to {high:g}",
            )
        )
    if odd["count"] > 3:
        lines.append(("outside", f"{odd['count'] - 3:,} more values"))
    far = [f"{each['class']} ({each['seen']} {each['cosine']:.2f})" for each in document["nearest_seen"][:5]]
    if far:
        lines.append(("farthest", f"from all that trained the model, with the nearest of it: {', '.join(far)}"))
    return [*lines, *(("next", step) for step in document["next"])]


def _names(names: list[str], most: int = _SHOWN) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
