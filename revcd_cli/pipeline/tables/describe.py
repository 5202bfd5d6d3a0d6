"""The facts about a class table, by itself and beside the table that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...checkpoint.model_file import Checkpoint
from ...data.classes.attributes import ClassAttributes, align, class_key

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
    """Return the facts about a table beside a model's own, and the table in the order of the model's attributes.

    Raises `InputFileError` if the attributes are not the model's.
    """
    aligned = align(table, checkpoint.classes.attributes)
    seen = {class_key(name) for name in checkpoint.seen}
    n_seen = sum(class_key(name) in seen for name in table.names)
    facts = {
        "model": checkpoint.name,
        "model_range": span(checkpoint.classes.values),
        "seen_classes": n_seen,
        "unseen_classes": len(table.names) - n_seen,
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
    """Return the smallest and the largest value; nothing for nothing."""
    return [values.min().item(), values.max().item()] if values.size else []


def listed(what: str, names: Sequence[str]) -> str:
    """Say what is odd, how many there are of it, and the first of them."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{what} ({len(names):,}): {', '.join(names[:_NAMED])}{more}"
