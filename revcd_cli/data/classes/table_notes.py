"""Notes for the user about unusual but valid class tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ...errors import listed
from .attributes import ClassAttributes, class_key

_LISTED = 5  # class names that a note lists
_OTHER_SCALE = 2.0  # average lengths differ by a larger factor only if the scales differ


def table_notes(classes: ClassAttributes, known: ClassAttributes | None = None) -> tuple[str, ...]:
    """Return one sentence for each unusual property of a class table.

    known: the model's table, with the same attributes in the same order, to compare scales and shared classes.
    """
    notes: list[str] = []
    if classes.filled:
        notes.append(f"{classes.filled} empty cells were filled with the attribute's mean over the other classes.")
    if len(classes.names) == 1:
        notes.append(f'The table has one class, so every photo will be classified as "{classes.names[0]}".')
    zero = ~classes.values.any(axis=1)
    if zero.any():
        notes.append(f"All attributes are 0 for {_names(classes, np.flatnonzero(zero))}: it has no description.")
    same = (classes.values == classes.values[:, :1]).all(axis=1) & ~zero
    if same.any() and len(classes.attributes) > 1:
        notes.append(f"All attributes have the same value for {_names(classes, np.flatnonzero(same))}.")
    notes += [
        f"{_names(classes, rows)} have equal descriptions; the first in the table is always predicted."
        for rows in _identical(classes)
    ]
    return (*notes, *(_comparison(classes, known) if known else ()))


def _comparison(classes: ClassAttributes, known: ClassAttributes) -> list[str]:
    here, there = (float(np.linalg.norm(table.values.astype(np.float64), axis=1).mean()) for table in (classes, known))
    if max(here, there) > _OTHER_SCALE * min(here, there):
        ranges = [f"{table.values.min():g} to {table.values.max():g}" for table in (classes, known)]
        return [f"Values go from {ranges[0]}, in the model's table from {ranges[1]}: is the scale the same?"]
    shared = {class_key(name): row for row, name in enumerate(known.names)}
    differing = [
        row
        for row, name in enumerate(classes.names)
        if (other := shared.get(class_key(name))) is not None
        and not np.allclose(classes.values[row], known.values[other], rtol=1e-4, atol=1e-6 * there)
    ]
    if not differing:
        return []
    return [f"{_names(classes, differing)}: described differently in the model's table; this table is used."]


def _identical(classes: ClassAttributes) -> list[list[int]]:
    groups = defaultdict(list)
    for row, values in enumerate(classes.values + 0.0):  # -0.0 becomes 0.0, whose bytes differ
        groups[values.tobytes()].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def _names(classes: ClassAttributes, rows: Sequence[int] | np.ndarray) -> str:
    return listed([f'"{classes.names[row]}"' for row in rows[:_LISTED]], _LISTED, total=len(rows))
