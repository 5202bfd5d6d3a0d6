"""Open the class table and the model of a command of `revcd classes`, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...terminal import console

if TYPE_CHECKING:
    from ....data.classes.attributes import ClassAttributes
    from ....pipeline.tables.description_space import DescriptionSpace


def table_and_model(
    table: ClassAttributes | Path | None, model: str | None
) -> tuple[ClassAttributes, DescriptionSpace | None]:
    """Return the table and the model that has its attributes; no model for a table with attributes of its own.

    table: default the model's. model: default the included model with the table's attributes.
    """
    from ....data.classes.attributes import read_attribute_csv
    from ....pipeline.tables.description_space import models_with, read_description_space

    if isinstance(table, Path):
        table = read_attribute_csv(table)
    if model is None and table is not None:
        fitting = models_with(table.attributes)
        if not fitting:
            console.note(f"No included model has the attributes of {table.source}, so none is used.")
            return table, None
        model = fitting[0]
    known = read_description_space(model or "animals")
    return (known.classes if table is None else table), known
