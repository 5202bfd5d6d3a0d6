"""`revcd classes suggest`: find similar classes and weak attributes of a class table. Does not import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ....errors import listed
from ...options import JsonOption, MissingOption, OverwriteOption, PageOption, expand
from ...terminal import charts, console

if TYPE_CHECKING:
    from rich.text import Text

    from ....data.classes.attributes import ClassAttributes

_NEAREST = 5  # pairs shown if none is above the bound
_SHOWN = 10  # rows of a table on a terminal, and names on a line
_APART = 3  # attributes named for each pair


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
            help="Compare descriptions as this model does; list attributes that photos hardly show.",
            show_default="standardised values",
        ),
    ] = None,
    bound: Annotated[
        float, typer.Option(min=0, max=1, metavar="COSINE", help="Classes above this cosine similarity are reported.")
    ] = 0.95,
    missing: MissingOption = "error",
    output: PageOption = None,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """List classes of a table that are hard to distinguish, and attributes that do not help to distinguish classes.

    Classes with the same row get the same score for every photo. Classes with a cosine similarity above --bound are
    often confused. With --model, attributes that photos hardly show are listed too: in validation on held-out classes,
    the values that the model generated from photos did not follow the table. Differences between two classes are in
    standard deviations of the attribute over all classes.

    \b
    revcd classes suggest mine.csv --model animals
    revcd classes suggest my-animals/attributes.csv -o classes.html
    """
    from ....data.classes.completion import read_complete_csv
    from ....pipeline.tables.description_space import read_description_space
    from ....pipeline.tables.suggest import suggest as run
    from ....reports.classes.page import check_page_output, class_page
    from ....system.files import write_bytes

    if output is not None:
        check_page_output(output, overwrite=overwrite)
    known = None if model is None else read_description_space(model)
    classes = read_complete_csv(table, missing=missing, reference=known.classes if known else None)
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
    from ....pipeline.tables.description_space import models_with

    model = document["model"]
    how = f"as by model {model['name']}" if model else "by their standardised values"
    console.note(
        f"{document['source']}: {document['classes']:,} classes, {document['attributes']:,} attributes, compared {how}"
    )
    for warning in document["warnings"]:
        console.warn(warning)
    fitting = [] if model else models_with(classes.attributes)
    if fitting:
        console.note(f"The model {fitting[0]} has these attributes. To compare as it does, add --model {fitting[0]}.")


def _print_pairs(document: dict[str, Any]) -> None:
    """Print the pairs above the bound, or the most similar ones if there is none."""
    above = [pair for pair in document["pairs"] if pair["above"]]
    pairs = console.shortened(above, _SHOWN) or document["pairs"][:_NEAREST]
    if pairs:
        rows = [
            [*pair["classes"], _cosine(pair), f"{pair['differ']:,}", _apart(pair, document["hardly"])] for pair in pairs
        ]
        columns = ("class", "and class", "cosine", "differ in", "largest differences")
        console.result_table(columns, rows, right=("cosine", "differ in"), optional=("differ in",))
        if any("*" in row[-1] for row in rows):
            console.note("Differences in standard deviations. * photos hardly show it")
    total, bound = document["pairs_above"], f"{document['bound']:g}"
    if not total:
        nearest = "; the table shows the most similar ones" if pairs else ""
        console.note(f"No two classes have a cosine above {bound}{nearest}.")
    else:
        rest = f"; {total - len(pairs):,} of them are not shown" if total > len(pairs) else ""
        found = "1 pair of classes has" if total == 1 else f"{total:,} pairs of classes have"
        console.note(f"{found} a cosine above {bound}{rest}.")


def _cosine(pair: dict[str, Any]) -> Text:
    from rich.text import Text

    style = charts.FAILED if not pair["differ"] else charts.WARNING if pair["above"] else ""
    return Text(f"{pair['cosine']:.3f}", style)


def _apart(pair: dict[str, Any], hardly: float) -> str:
    from ....pipeline.tables.advice import is_below

    if not pair["differ"]:
        return "none: the rows are the same"
    parts = []
    for each in pair["apart"][:_APART]:
        low = is_below(each["reliability"], hardly)
        parts.append(f"{each['attribute']} {each['spreads']:.1f}{'*' if low else ''}")
    return ", ".join(parts)


def _print_attributes(document: dict[str, Any]) -> None:
    """Print the attributes that help little: hardly shown by photos, the same for all classes, or redundant."""
    from ....pipeline.tables.advice import is_below

    redundant_with = {name: group for group in document["redundant"] for name in group}
    rows = []
    for fact in document["attribute_facts"]:
        name, reliability = fact["name"], fact["reliability"]
        remarks = ["the same for all classes"] if fact["constant"] else []
        if name in redundant_with:
            others = [other for other in redundant_with[name] if other != name]
            remarks.append(f"redundant with {listed(others, 3)}")
        hardly = is_below(reliability, document["hardly"])
        if hardly:
            remarks.append("photos hardly show it")
        if remarks:
            figure = "-" if reliability is None else f"{reliability:5.2f}"
            style = charts.WARNING if hardly else ""
            rows.append([name, charts.bar_cell(reliability, figure, style), ", ".join(remarks)])
    if rows:
        shown = console.shortened(rows, _SHOWN)
        console.result_table(("attribute", "visibility", "remark"), shown, right=("visibility",))
        if len(rows) > len(shown):
            console.note(f"{len(rows) - len(shown):,} more attributes help little; -o PAGE.html or --json lists all.")


def _lines(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the groups of similar classes, values out of range, classes far from seen ones, and the next steps."""
    lines = [("group", f"{len(group)} similar classes: {listed(group, _SHOWN)}") for group in document["groups"]]
    lines = console.shortened(lines, _SHOWN)
    odd = document["out_of_range"]
    for each in odd["values"][:3]:
        low, high = each["range"]
        value = f"{each['attribute']} of {each['class']} is {each['value']:g}"
        lines.append(("outside", f"{value}; the model's range is {low:g} to {high:g}"))
    if odd["count"] > 3:
        lines.append(("outside", f"{odd['count'] - 3:,} more values"))
    far = [f"{each['class']} ({each['seen']} {each['cosine']:.2f})" for each in document["nearest_seen"][:5]]
    if far:
        lines.append(("far", f"least similar to any seen class (the nearest one, cosine): {', '.join(far)}"))
    return [*lines, *(("next", step) for step in document["next"])]
