"""Facts about a class table, alone and compared with the table that a model was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...checkpoint.model_file import Checkpoint
from ...data.classes.attributes import ClassAttributes, align
from ...data.classes.kinds import DESCRIBED, KNOWN, PHOTOS
from ...errors import listed

_NAMED = 5  # names that a warning lists


def describe_table(table: ClassAttributes) -> dict[str, Any]:
    """Return the size and the range of a class table."""
    return {
        "classes": len(table.names),
        "attributes": len(table.attributes),
        "range": span(table.values),
        "empty_cells": table.filled,
    }


def compare_with_model(table: ClassAttributes, checkpoint: Checkpoint) -> tuple[dict[str, Any], ClassAttributes]:
    """Return facts about a table compared with that of a model, and the table in the order of the model's attributes.

    Raises `InputFileError` if the attributes differ.
    """
    aligned = align(table, checkpoint.classes.attributes)
    kinds = Counter(checkpoint.kind(name) for name in table.names)
    facts = {
        "model": checkpoint.name,
        "model_range": span(checkpoint.classes.values),
        "seen_classes": kinds[PHOTOS],
        "known_classes": kinds[KNOWN],
        "unseen_classes": kinds[DESCRIBED],
    }
    return facts, aligned


def identical_rows(values: np.ndarray) -> list[list[int]]:
    """Return the groups of rows that are equal and not all zeros, in order of their first row."""
    groups: dict[bytes, list[int]] = {}
    for row, vector in enumerate(np.ascontiguousarray(values)):
        if vector.any():
            groups.setdefault(vector.tobytes(), []).append(row)
    return [group for group in groups.values() if len(group) > 1]


def span(values: np.ndarray) -> list[float]:
    """Return the smallest and the largest value; an empty list for no values."""
    return [values.min().item(), values.max().item()] if values.size else []


def counted(what: str, names: Sequence[str]) -> str:
    """Return a warning about some items: what they are, how many, and the first few of them."""
    return f"{what} ({len(names):,}): {listed(names, _NAMED)}"
