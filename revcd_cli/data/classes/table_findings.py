"""Findings about unusual class tables, alone and compared with the table of a model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ..findings import NOTE, WARNING, Finding, named
from .attributes import ClassAttributes, class_key, find_class
from .scale import column_comparison, row_findings


def table_findings(classes: ClassAttributes, known: ClassAttributes | None = None) -> list[Finding]:
    """Return the findings about the rows of a class table.

    known: the model's table, with the same attributes in the same order, to compare scales and shared classes.
    `scale.column_findings` has those about columns.
    """
    found = [Finding(NOTE, "reader", note) for note in classes.notes]
    if classes.filled:
        found.append(Finding(NOTE, "empty cells", classes.filled_text))
    if len(classes.names) == 1:
        text = f'The table has one class, so every photo will be classified as "{classes.names[0]}".'
        found.append(Finding(WARNING, "one class", text))
    zero = ~classes.values.any(axis=1)
    if zero.any():
        names = _names(classes, np.flatnonzero(zero))
        text = f"All attributes are 0 for {named(names)}: it has no description."
        found.append(Finding(WARNING, "no description", text, items=names))
    same = (classes.values == classes.values[:, :1]).all(axis=1) & ~zero
    if same.any() and len(classes.attributes) > 1:
        names = _names(classes, np.flatnonzero(same))
        text = f"All attributes have the same value for {named(names)}."
        found.append(Finding(WARNING, "constant row", text, items=names))
    for rows in _identical(classes):
        names = _names(classes, rows)
        text = f"{named(names)} have equal descriptions; the first in the table is always predicted."
        found.append(Finding(WARNING, "equal rows", text, items=names))
    found += row_findings(classes, known)
    return found if known is None else [*found, *column_comparison(classes, known), *_differing(classes, known)]


def _differing(classes: ClassAttributes, known: ClassAttributes) -> list[Finding]:
    typical = float(np.linalg.norm(known.values.astype(np.float64), axis=1).mean())
    shared = {class_key(name): row for row, name in enumerate(known.names)}
    differing = [
        row
        for row, name in enumerate(classes.names)
        if (other := find_class(name, shared)) is not None
        and not np.allclose(classes.values[row], known.values[other], rtol=1e-4, atol=1e-6 * typical)
    ]
    if not differing:
        return []
    names = _names(classes, differing)
    text = f"{named(names)}: described differently in the model's table; this table is used."
    return [Finding(WARNING, "changed row", text, items=names)]


def _identical(classes: ClassAttributes) -> list[list[int]]:
    groups = defaultdict(list)
    for row, values in enumerate(classes.values + 0.0):  # -0.0 becomes 0.0, whose bytes differ
        groups[values.tobytes()].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def _names(classes: ClassAttributes, rows: Sequence[int] | np.ndarray) -> tuple[str, ...]:
    return tuple(classes.names[row] for row in rows)
