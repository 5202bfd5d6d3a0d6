"""The meaning of attributes: scale, extreme classes, visibility in photos, and a sentence of the included glossary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...checkpoint.metadata import shipped_folder
from ...data.classes.attributes import ClassAttributes, align
from ...data.classes.glossary import Entry, read_glossary
from ...version import __version__
from .advice import HARDLY
from .description_space import DescriptionSpace, models_with

_FILE = "glossary.csv"  # beside the included models, whose attributes it explains
_NAMED = 3  # classes with most and with least of an attribute


def glossary_of(attributes: Sequence[str]) -> dict[str, Entry]:
    """Return the entry of each attribute if they are those of an included model; an empty dict otherwise."""
    path = shipped_folder() / _FILE
    return read_glossary(path) if path.is_file() and models_with(attributes) else {}


def glossary(table: ClassAttributes, known: DescriptionSpace | None = None) -> dict[str, Any]:
    """Describe each attribute of a table as JSON values, in the order of the columns.

    known: a model with these attributes, whose record of their visibility in photos is added. Raises `InputFileError`
    if the attributes are not those of the model.
    """
    classes = table if known is None else align(table, known.classes.attributes)
    entries = glossary_of(classes.attributes)
    reliability = (known.reliability if known else None) or {}
    return {
        "revcd": __version__,
        "source": table.source if known is None or table is not known.classes else f"model {known.name}",
        "classes": len(classes.names),
        "model": known and known.name,
        "hardly": HARDLY,
        "reliability_known": bool(reliability),
        "attributes": [
            _attribute(classes, column, entries.get(name), reliability.get(name))
            for column, name in enumerate(classes.attributes)
        ],
    }


def _attribute(classes: ClassAttributes, column: int, entry: Entry | None, reliability: float | None) -> dict[str, Any]:
    values = classes.values[:, column]
    order = sorted(range(len(values)), key=lambda row: (values[row], classes.names[row]))
    least, most = order[:_NAMED], sorted(order, key=lambda row: (-values[row], classes.names[row]))[:_NAMED]
    return {
        "name": classes.attributes[column],
        "meaning": entry.meaning if entry else "",
        "question": entry.question if entry else "",
        "lowest": _plain(values.min()),
        "middle": _plain(np.median(values)),
        "highest": _plain(values.max()),
        "at_lowest": int((values == values.min()).sum()),
        "least": [{"class": classes.names[row], "value": _plain(values[row])} for row in least],
        "most": [{"class": classes.names[row], "value": _plain(values[row])} for row in most],
        "values": [_plain(value) for value in values],
        "reliability": reliability,
    }


def _plain(value: np.floating[Any]) -> float:
    """Return the shortest decimal number for a float32: 0.3 instead of 0.30000001192."""
    return float(str(np.float32(value)))
