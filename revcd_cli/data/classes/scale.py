"""Find rows and columns of a class table whose values are on another scale than the others, and rescale rows.

A row is compared by its length (Euclidean norm) and by how many of its values are outside the range of their column.
The reference is the model's table, or the other rows of the same table. A column is compared by its standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..findings import ERROR, WARNING, Finding, named
from .attributes import ClassAttributes

_FACTOR = 2.5  # a row this much longer or shorter than all others is on another scale
_DOUBTFUL = 1.8  # a row this much longer or shorter than the average may be
_FEW = 10.0  # both factors grow by _FEW / A: with few attributes, lengths differ more
_DEVIATIONS = 6  # standard deviations of the log length that are usual
_OUTSIDE = 0.25  # share of a row's values outside their columns' ranges
_MARGIN = 1.0  # by which a range is widened, in ranges
_FAR = 10.0  # a single value this many ranges outside is likely a typing error
_TYPING_ERRORS = 0.1  # a smaller share of far values does not make the whole row one of another scale
_COLUMN_FACTOR = 8.0  # ratio of standard deviations of neighbouring groups of columns
_MOST_VARIANCE = 0.5  # share of the variance that no column should carry
_RUNNING = 5  # least classes for a column to be called a running number
_NUMBER_NAMES = {"id", "no", "no.", "nr", "nr.", "index", "idx", "number", "num", "#", "row", "class id", "class_id"}
_RESCALE = "Write these rows on the scale of the others, or add --rescale-rows to convert them."


@dataclass(frozen=True)
class _Reference:
    """Rows that define a scale."""

    values: np.ndarray  # (K, A) float64

    @property
    def lengths(self) -> np.ndarray:
        lengths = np.linalg.norm(self.values, axis=1)
        return lengths[lengths > 0]

    def limits(self) -> tuple[float, float, float, float]:
        """Return the lengths outside of which a row is doubtful (low, high), and on another scale (low, high)."""
        lengths = self.lengths
        more = _FEW / self.values.shape[1]
        least, most = lengths.min() / (_FACTOR + more), lengths.max() * (_FACTOR + more)
        logs = np.log(lengths)
        usual = max(np.log(_DOUBTFUL + more), _DEVIATIONS * logs.std()) if len(logs) > 2 else np.log(_FACTOR + more)
        low, high = np.exp(logs.mean() - usual), np.exp(logs.mean() + usual)
        return max(least, min(low, lengths.min() / 1.25)), min(most, max(high, lengths.max() * 1.25)), least, most

    def outside(self, rows: np.ndarray, margin: float) -> np.ndarray:
        """Return (R, A): which values are more than `margin` ranges outside the range of their column."""
        low, high = self.values.min(axis=0), self.values.max(axis=0)
        spread = high - low
        usable = spread[spread > 0]
        spread = np.where(spread > 0, spread, np.median(usable) if len(usable) else np.inf)
        return (rows < low - margin * spread) | (rows > high + margin * spread)


def row_findings(table: ClassAttributes, known: ClassAttributes | None = None) -> list[Finding]:
    """Return findings about rows on another scale, and about single values far outside their column's range.

    known: the model's table, with the same attributes in the same order; by default the other rows of the table.
    """
    rows = table.values.astype(np.float64)
    reference = _Reference((table if known is None else known).values.astype(np.float64))
    if known is None:
        usual = _usual_rows(rows)
        if usual.sum() < 2:
            return []
        reference = _Reference(rows[usual])
    if not len(reference.lengths):
        return []
    wrong, doubtful = _classified(rows, reference)
    there = "the other rows of this table" if known is None else "the model's table"
    findings = []
    for rank, chosen, words in (
        (ERROR, wrong, "on another scale than"),
        (WARNING, doubtful, "perhaps not on the scale of"),
    ):
        if chosen.any():
            names = [table.names[row] for row in np.flatnonzero(chosen)]
            own, others = (f"{part.min():g} to {part.max():g}" for part in (rows[chosen], reference.values))
            subject = f"The rows of {named(names)} are" if len(names) > 1 else f"The row of {named(names)} is"
            text = f"{subject} {words} {there}: values go from {own}, there from {others}."
            findings.append(Finding(rank, "row scale", text, _RESCALE, tuple(names)))
    return findings + _far_values(table, rows, reference, ~(wrong | doubtful), there)


def _classified(rows: np.ndarray, reference: _Reference) -> tuple[np.ndarray, np.ndarray]:
    """Return (R,) which rows are on another scale, and which others are doubtful. Rows of zeros are neither."""
    far = reference.outside(rows, _FAR)
    few = far.mean(axis=1, keepdims=True) < _TYPING_ERRORS  # which have their own finding
    lengths = np.linalg.norm(np.where(far & few, reference.values.mean(axis=0), rows), axis=1)
    low, high, least, most = reference.limits()
    described = lengths > 0
    outside = reference.outside(rows, _MARGIN).mean(axis=1) if len(reference.values) > 1 else np.zeros(len(rows))
    many = (outside > _OUTSIDE) & (outside * rows.shape[1] > 1)
    wrong = described & ((lengths < least) | (lengths > most) | many)
    return wrong, described & ~wrong & ((lengths < low) | (lengths > high))


def _usual_rows(rows: np.ndarray) -> np.ndarray:
    """Return (R,) which rows have a usual length: within a robust interval around the median."""
    lengths = np.linalg.norm(rows, axis=1)
    described = lengths > 0
    if not described.any():
        return described
    logs = np.log(np.where(described, lengths, 1))
    middle = np.median(logs[described])
    spread = 1.4826 * np.median(np.abs(logs[described] - middle))
    return described & (np.abs(logs - middle) <= max(np.log(_DOUBTFUL + _FEW / rows.shape[1]), _DEVIATIONS * spread))


def _far_values(
    table: ClassAttributes, rows: np.ndarray, reference: _Reference, usual: np.ndarray, there: str
) -> list[Finding]:
    if len(reference.values) < 3:
        return []
    low, high = reference.values.min(axis=0), reference.values.max(axis=0)
    places = [(row, column) for row, column in np.argwhere(reference.outside(rows, _FAR)) if usual[row]]
    if not places:
        return []
    row, column = places[0]
    text = (
        f'Attribute "{table.attributes[column]}" of "{table.names[row]}" is {rows[row, column]:g}; in {there} it goes '
        f"from {low[column]:g} to {high[column]:g}"
    )
    text += f" ({len(places) - 1} more such values)." if len(places) > 1 else "."
    items = tuple(f"{table.names[row]}: {table.attributes[column]}" for row, column in places)
    return [Finding(WARNING, "far value", text, "Check these cells.", items)]


def column_findings(table: ClassAttributes, *, rank: str = ERROR) -> list[Finding]:
    """Return findings about columns on other scales, running numbers and constant columns.

    rank: of the first two kinds; `data check` reports errors, `train` warnings.
    """
    values = table.values.astype(np.float64)
    names = table.attributes
    if len(values) < 2:
        return []
    findings = []
    running = [column for column in range(len(names)) if _is_running_number(names[column], values[:, column])]
    if running:
        chosen = [names[column] for column in running]
        findings.append(
            Finding(
                rank,
                "running number",
                f"{_columns(chosen)} of running numbers, which {_do(chosen)} not describe the classes.",
                "Remove them.",
                tuple(chosen),
            )
        )
    kept = np.array([column for column in range(len(names)) if column not in running], dtype=int)
    findings += _uneven(values, [names[column] for column in kept], kept, rank)
    constant = [names[column] for column in kept if np.ptp(values[:, column]) == 0]
    if constant:
        text = f"{_columns(constant)} of one value for all classes, so {_it(constant)} separate{_s(constant)} none."
        findings.append(Finding(WARNING, "constant column", text, "", tuple(constant)))
    return findings


def _uneven(values: np.ndarray, names: Sequence[str], kept: np.ndarray, rank: str) -> list[Finding]:
    """Return a finding if a few columns vary far more, or far less, than the others."""
    deviations = values[:, kept].std(axis=0)
    varying = np.flatnonzero(deviations > 0)
    if len(varying) < 2:
        return []
    order = varying[np.argsort(deviations[varying])]
    ratios = deviations[order[1:]] / deviations[order[:-1]]
    variance = deviations[order] ** 2
    below, share = np.arange(1, len(order)), 1 - np.cumsum(variance)[:-1] / variance.sum()
    few_above = len(order) - below <= (len(order) + 1) // 2
    # From a wide gap upwards: a minority of the columns that carries most of the variance.
    found = np.flatnonzero((ratios >= _COLUMN_FACTOR) & few_above & (share > _MOST_VARIANCE))
    if not len(found) and len(order) > 3:
        middle = np.median(deviations[order])
        alone = variance[-1] / variance.sum() > _MOST_VARIANCE and deviations[order[-1]] >= _COLUMN_FACTOR * middle
        found = np.array([len(order) - 2]) if alone else found
    if len(found):
        first = int(found[0]) + 1
        large = [names[column] for column in order[first:][::-1]]
        text = (
            f"{_columns(large)} on another scale than the others: {_it(large)} carr{'y' if len(large) > 1 else 'ies'} "
            f"{share[first - 1]:.1%} of the variance of the table, so the others hardly count."
        )
        return [Finding(rank, "column scale", text, "Write all columns on one scale.", tuple(large))]
    low = np.flatnonzero(ratios >= _COLUMN_FACTOR)
    if len(low):
        small = [names[column] for column in order[: int(low[-1]) + 1]]
        text = f"{_columns(small)} of far smaller differences than the others, so {_it(small)} hardly count{_s(small)}."
        return [Finding(WARNING, "column scale", text, "Write all columns on one scale.", tuple(small))]
    return []


def _is_running_number(name: str, column: np.ndarray) -> bool:
    """Return whether a column counts the rows: a constant step, or distinct whole numbers in a column named `id`."""
    if len(column) < _RUNNING or (column != np.round(column)).any():
        return False
    steps = np.diff(column)
    if steps[0] != 0 and (steps == steps[0]).all():
        return True
    distinct = len(np.unique(column)) == len(column)
    called = name.strip().casefold() in _NUMBER_NAMES or name.casefold().startswith("unnamed")
    return distinct and (called or (len(column) >= 2 * _RUNNING and np.ptp(column) == len(column) - 1))


def column_comparison(table: ClassAttributes, known: ClassAttributes) -> list[Finding]:
    """Return a finding about columns on another scale than the same columns of the model's table."""
    rows, model = table.values.astype(np.float64), known.values.astype(np.float64)
    if len(rows) < 2 or len(model) < 3:
        return []
    outside = _Reference(model).outside(rows, _MARGIN).mean(axis=0) > 0.5
    low = model.min(axis=0)
    below = (low > 0) & (rows.max(axis=0) < low / 5)
    chosen = [table.attributes[column] for column in np.flatnonzero(outside | below)]
    if not chosen:
        return []
    text = f"{_columns(chosen)} on another scale than in the model's table."
    hint = "Write these columns on the scale of the model's table."
    return [Finding(ERROR, "column scale", text, hint, tuple(chosen))]


def rescale_rows(table: ClassAttributes, known: ClassAttributes | None = None) -> tuple[ClassAttributes, list[str]]:
    """Return the table with its rows on the scale of the reference, and one sentence for each kind of conversion.

    Only rows that `row_findings` reports are changed. Rows of 0 and 1 become the mean of the lower or the upper values
    of each column, z-scores are multiplied by the columns' standard deviations, and others by one factor, which is
    rounded to a power of ten where it is close to one.
    """
    rows = table.values.astype(np.float64)
    if known is None:
        usual = _usual_rows(rows)
        reference = _Reference(rows[usual])
    else:
        reference = _Reference(known.values.astype(np.float64))
    if len(reference.lengths) < 2:
        return table, []
    wrong, doubtful = _classified(rows, reference)
    chosen = np.flatnonzero(wrong | doubtful)
    changed, done = rows.copy(), dict[str, list[str]]()
    for row in chosen:
        changed[row], how = _rescaled(rows[row], reference)
        done.setdefault(how, []).append(table.names[row])
    notes = [f"{len(names)} row{'s' * (len(names) > 1)} {how}: {named(names)}." for how, names in done.items()]
    return replace(table, values=changed.astype(np.float32)), notes


def _rescaled(row: np.ndarray, reference: _Reference) -> tuple[np.ndarray, str]:
    values = reference.values
    means, deviations = values.mean(axis=0), values.std(axis=0)
    if np.isin(row, (0, 1)).all() and not np.isin(values, (0, 1)).all():
        upper = values > means
        high = np.where(upper.any(axis=0), (values * upper).sum(axis=0) / upper.sum(axis=0).clip(1), means)
        low = (values * ~upper).sum(axis=0) / (~upper).sum(axis=0).clip(1)
        return np.where(row == 1, high, low), "of 0 and 1 converted to the usual low and high values of each column"
    are_deviations_one = 0.5 < np.median(deviations) < 2 and values.min() < 0
    if (row < 0).mean() > 0.1 and abs(row.mean()) < 1 and 0.3 < row.std() < 3 and not are_deviations_one:
        return (row * deviations + means).clip(values.min(axis=0), values.max(axis=0)), "of z-scores converted"
    factor = np.exp(np.log(reference.lengths).mean()) / np.linalg.norm(row)
    ten = 10.0 ** round(float(np.log10(factor)))
    factor = ten if max(factor / ten, ten / factor) < 2 and ten != 1 else factor
    return row * factor, f"multiplied by {factor:.4g}"


def _columns(names: Sequence[str]) -> str:
    return f"{len(names)} columns ({named(names)}) are" if len(names) > 1 else f"The column {named(names)} is"


def _it(names: Sequence[str]) -> str:
    return "they" if len(names) > 1 else "it"


def _do(names: Sequence[str]) -> str:
    return "do" if len(names) > 1 else "does"


def _s(names: Sequence[str]) -> str:
    return "" if len(names) > 1 else "s"
