"""Read a class table with gaps, and complete it: means of the columns, or values imputed from the rest of the row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..findings import raise_first_error
from .attributes import ClassAttributes, align, class_key, fill_missing, read_attribute_csv
from .imputation import impute_missing
from .scale import row_findings


def read_complete_csv(
    path: Path | str, *, missing: str = "error", reference: ClassAttributes | None = None
) -> ClassAttributes:
    """Read a class table without gaps. missing: "error", "mean" (see `read_attribute_csv`) or "impute".

    With "impute", an empty cell gets the value that is expected given the other values of its row, under a Gaussian
    over rows (see `imputation`). reference: the table from which this Gaussian is estimated, by default the table
    itself; attributes that only the reference has are added and imputed, too. Imputed values stay in the range of
    their column. Raises `InputFileError`, also if the given values of an incomplete row are on another scale.
    """
    if missing != "impute":
        return read_attribute_csv(path, missing=missing)
    table = read_attribute_csv(path, missing="keep")
    return complete(table, reference)


def complete(table: ClassAttributes, reference: ClassAttributes | None = None) -> ClassAttributes:
    """Return a table with NaN replaced by imputed values; reference and errors as in `read_complete_csv`."""
    if reference is None:
        known, _ = fill_missing(table.values, Path(table.source), table.attributes)
        _check_scale(table, known, own=True)
        done = impute_missing(table.values)
    else:
        table = _with_columns(table, reference)
        known = reference.values
        _check_scale(table, known)
        done = impute_missing(_with_known_rows(table, reference), reference.values)
    inside = done.values.clip(known.min(axis=0), known.max(axis=0))
    values = np.where(np.isnan(table.values), inside, done.values).astype(np.float32)
    return replace(table, values=values, filled=done.imputed, imputed_error=done.error if done.imputed else None)


def _with_columns(table: ClassAttributes, reference: ClassAttributes) -> ClassAttributes:
    """Return the table with the reference's attributes in its order, NaN where it has none.

    Raises `InputFileError` for attributes that the reference does not have, and if they have none in common.
    """
    own = {name.strip(): column for column, name in enumerate(table.attributes)}
    wanted = [name.strip() for name in reference.attributes]
    if set(own) - set(wanted) or not set(own) & set(wanted):
        present = [name for name in wanted if name in own]
        align(table, present or wanted)  # raises an error that names the attributes
    values = np.full((len(table.names), len(wanted)), np.nan, dtype=np.float32)
    for place, name in enumerate(wanted):
        if name in own:
            values[:, place] = table.values[:, own[name]]
    return replace(table, attributes=reference.attributes, values=values)


def _with_known_rows(table: ClassAttributes, reference: ClassAttributes) -> np.ndarray:
    """Return the values (C, A); rows that agree with the reference's row of the same class are filled from it."""
    values = table.values.copy()
    rows = {class_key(name): row for row, name in enumerate(reference.names)}
    for row, name in enumerate(table.names):
        other = rows.get(class_key(name))
        known = ~np.isnan(values[row])
        if other is not None and np.allclose(values[row][known], reference.values[other][known], rtol=1e-4, atol=1e-6):
            values[row] = reference.values[other]
    return values


def _check_scale(table: ClassAttributes, known: np.ndarray, *, own: bool = False) -> None:
    """Raise `InputFileError` if the given values of an incomplete row are on another scale: imputing would hide it.

    known: (K, A) rows to compare with, whose columns are those of the table. own: they are the table's own rows, of
    which those with the same gaps are left out.
    """
    given = ~np.isnan(table.values)
    for pattern in np.unique(given, axis=0):
        if pattern.all() or not pattern.any():
            continue
        columns, members = np.flatnonzero(pattern), np.flatnonzero((given == pattern).all(axis=1))
        names = tuple(table.attributes[column] for column in columns)
        part = replace(
            table,
            names=tuple(table.names[row] for row in members),
            attributes=names,
            values=table.values[np.ix_(members, columns)],
        )
        others = np.delete(known, members, axis=0) if own else known
        if len(others):
            rows = tuple(f"row {row}" for row in range(len(others)))
            findings = row_findings(part, ClassAttributes(rows, names, others[:, columns], "", ""))
            raise_first_error(findings, table.source)
