"""`revcd classes glossary`: what each attribute of a table means, by its scale and its classes. No torch import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ....errors import UsageError, did_you_mean
from ...options import JsonOption, OverwriteOption, PageOption, expand
from ...terminal import console


def glossary(
    attributes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ATTRIBUTE]...", help="Attributes to explain; by default all.", show_default=False),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Class table to explain.", show_default="the model's table", callback=expand),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Model whose record of how well photos show each attribute is added.",
            show_default="animals, or the included model with the table's attributes",
        ),
    ] = None,
    output: PageOption = None,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Explain the attributes of a class table: the scale of each, the classes with most and least of it, and photos.

    Visibility is how well photos show an attribute: the correlation, over held-out classes, of the values that the
    model generates from photos with those of the table. Attributes of the included model have a sentence of
    explanation.

    \b
    revcd classes glossary
    revcd classes glossary stripes longneck
    revcd classes glossary --classes mine.csv --model mine.safetensors -o glossary.html
    """
    from ....pipeline.tables.glossary import glossary as run
    from ....reports.classes.glossary import glossary_page
    from ....reports.classes.page import check_page_output
    from ....system.files import write_bytes
    from .opening import table_and_model

    if output is not None:
        output = check_page_output(output, overwrite=overwrite)
    table, known = table_and_model(classes, model)
    document = run(table, known)
    if attributes:
        document["attributes"] = _chosen(document["attributes"], attributes)
    if output is not None:
        write_bytes(output, glossary_page(document))
        console.note(f"Written to {output}")
    if as_json:
        console.result_json(document)
    elif output is None:
        console.result_pairs((each["name"], _lines(each, document["hardly"])) for each in document["attributes"])


def _chosen(found: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """Return the entries of these attributes, in any case. Raises `UsageError` for an unknown one."""
    by_name = {each["name"].strip().casefold(): each for each in found}
    for name in names:
        if name.strip().casefold() not in by_name:
            near = did_you_mean(name, [each["name"] for each in found])
            raise UsageError(f'There is no attribute "{name}"{near}.')
    return [by_name[name.strip().casefold()] for name in names]


def _lines(each: dict[str, Any], hardly: float) -> str:
    scale = f"{each['lowest']:.4g} to {each['highest']:.4g}, half of the classes below {each['middle']:.3g}"
    seen = each["reliability"]
    if seen is not None:
        scale += f"; visibility {seen:.2f}{' (photos hardly show it)' if seen < hardly else ''}"
    more = each["at_lowest"] - len(each["least"])
    least = _classes(each["least"]) + (f" and {more} more" if more > 0 else "")
    lines = [each["meaning"], f"scale {scale}", f"most: {_classes(each['most'])}; least: {least}"]
    return "\n".join(line for line in lines if line)


def _classes(found: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['class']} {each['value']:.3g}" for each in found)
