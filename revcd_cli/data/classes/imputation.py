"""A Gaussian over rows of a class table: unknown values from known ones, and the order in which to ask for values.

Its covariance is that of the table's columns, shrunk by 0.1 towards its diagonal, so that it can be inverted with fewer
classes than attributes. Nothing here depends on the order of the columns; their scales matter only for which columns
are asked for first: those that vary most, as rows are compared by their values.
Symbols: C classes, A attributes, k the known and u the unknown columns of a row, m mean and R covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_SHRINKAGE = 0.1  # of the covariance towards its diagonal
_ROUNDS = 20  # of expectation and maximisation for a table with gaps, at most
_SETTLED = 1e-3  # change of the values, in standard deviations, at which the rounds end
_LEFT_OUT = 50  # rows that `error_factor` leaves out in turn, at most
_NO_VARIANCE = 1e-10  # share of a column's variance below which nothing is left to ask


class Estimate(NamedTuple):
    """The expected values of rows, and their standard deviations, 0 for exactly known values."""

    values: np.ndarray
    spread: np.ndarray


class Completed(NamedTuple):
    """A table without gaps."""

    values: np.ndarray  # (C, A) float64
    imputed: int  # number of values that were missing
    error: float  # their typical error, in standard deviations of their columns, see `error_factor`


@dataclass(frozen=True, eq=False)
class RowDistribution:
    """The Gaussian from which the row of a class is drawn."""

    mean: np.ndarray  # (A,)
    covariance: np.ndarray  # (A, A)

    @classmethod
    def of(cls, values: np.ndarray, unknown: np.ndarray | float = 0.0) -> RowDistribution:
        """Return the distribution of the rows (C, A) of a table.

        unknown: (A, A) mean covariance of the errors of estimated values, which adds to that of the rows.
        """
        values = values.astype(np.float64)
        mean = values.mean(axis=0)
        covariance = (values - mean).T @ (values - mean) / len(values) + unknown
        covariance = np.where(np.outer(*[np.ptp(values, axis=0) > 0] * 2), covariance, 0.0)
        diagonal = np.diag(np.diag(covariance))
        return cls(mean, (1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal)

    def moved(self, mean: np.ndarray, factor: np.ndarray | float = 1.0) -> RowDistribution:
        """Return a distribution with this mean (A,). factor: of the standard deviations, one or (A,)."""
        factors = np.broadcast_to(np.asarray(factor, np.float64), mean.shape)
        return RowDistribution(mean.astype(np.float64), self.covariance * np.outer(factors, factors))

    def given(self, columns: Sequence[int] | np.ndarray, values: Sequence[float] | np.ndarray) -> Estimate:
        """Return mean and standard deviation (A,) of a row whose values in these columns are known.

        m_u + R_uk R_kk^-1 (s_k - m_k), and the diagonal of R_uu - R_uk R_kk^-1 R_ku. values: (k,), or (N, k) for the
        means (N, A) of N rows with the same known columns.
        """
        known, values = np.asarray(columns, int), np.asarray(values, np.float64)
        mean, variance = self._conditional(known, values)
        mean[..., known] = values
        variance[known] = 0
        return Estimate(mean, np.sqrt(variance))

    def _conditional(self, known: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        varies = np.diag(self.covariance)[known] > 0
        used, values = known[varies], values[..., varies]
        gain = self._gain(used)
        variance = np.diag(self.covariance) - (gain * self.covariance[used]).sum(axis=0)
        return self.mean + (values - self.mean[used]) @ gain, variance.clip(min=0)

    def _gain(self, used: np.ndarray) -> np.ndarray:
        """Return R_kk^-1 R_k (k, A). Correlations are inverted instead of covariances, whose scales may differ much."""
        scale = np.sqrt(np.diag(self.covariance))
        scale = np.where(scale > 0, scale, 1.0)
        correlation = self.covariance[used] / (scale[used, None] * scale)
        return np.linalg.solve(correlation[:, used], correlation) * scale / scale[used, None]

    def question_order(
        self, count: int, *, weights: np.ndarray | None = None, asked: Sequence[int] = (), skip: Sequence[int] = ()
    ) -> list[int]:
        """Return the columns to ask for, the one that explains most of the other columns first; at most `count`.

        Each is argmax_j sum_i w_i R_ij^2 / R_jj: the variance of all columns, weighted by w_i (A,), that the answer
        explains. Then R <- R - R_j R_j^T / R_jj. asked: columns that are known already. skip: columns not to ask for,
        which stay unknown.
        """
        left = self.covariance.copy()
        own = np.diag(left).copy()
        worth = np.ones_like(own) if weights is None else weights
        for column in asked:
            left = _explained(left, column, own)
        chosen: list[int] = []
        while len(chosen) < count:
            variance = np.diag(left)
            open_ = variance > _NO_VARIANCE * own
            open_[list(skip)] = False
            if not open_.any():
                break
            gains = np.divide(worth @ left**2, variance, out=np.full_like(variance, -1.0), where=open_)
            chosen.append(int(gains.argmax()))
            left = _explained(left, chosen[-1], own)
        return chosen


def _explained(left: np.ndarray, column: int, own: np.ndarray) -> np.ndarray:
    """Return the covariance (A, A) that is left when a column is known."""
    if left[column, column] <= _NO_VARIANCE * own[column]:
        return left
    rest = left - np.outer(left[:, column], left[column]) / left[column, column]
    rest[column], rest[:, column] = 0, 0  # exactly, so that rounding errors do not choose it again
    return rest


def error_factor(values: np.ndarray, known: np.ndarray) -> float:
    """Return by which factor real errors of estimated values exceed the standard deviations that are stated for them.

    The covariance is itself an estimate from few rows, which the stated ones do not account for. So rows of the table
    values (C, A), 50 at most, are left out in turn and estimated from a part of their values. known: (P, A) bool,
    patterns of known values, which are used in turn. Returns 1 if the table has fewer than three rows.
    """
    rows = np.unique(np.linspace(0, len(values) - 1, min(len(values), _LEFT_OUT)).astype(int))
    unit = values.std(axis=0, dtype=np.float64)
    low, high = values.min(axis=0), values.max(axis=0)
    real, stated = 0.0, 0.0
    for turn, row in enumerate(rows if len(values) > 2 else ()):
        pattern = known[turn % len(known)]
        columns, rest = np.flatnonzero(pattern), np.flatnonzero(~pattern & (unit > 0))
        found = RowDistribution.of(np.delete(values, row, axis=0)).given(columns, values[row, columns])
        errors = found.values.clip(low, high)[rest] - values[row, rest]
        real += float(((errors / unit[rest]) ** 2).sum())
        stated += float(((found.spread[rest] / unit[rest]) ** 2).sum())
    return float(np.sqrt(real / stated)) if stated > 0 else 1.0


def impute_missing(values: np.ndarray, reference: np.ndarray | None = None) -> Completed:
    """Replace NaN in a table (C, A) by the values that are expected given the known values of the row.

    reference: rows (K, A) whose distribution is used; by default that of this table, by expectation maximisation from
    the columns' means. Every column of such a table needs a value.
    """
    values = values.astype(np.float64)
    holes = np.isnan(values)
    if not holes.any():
        return Completed(values, 0, 0.0)
    if reference is not None:
        rows = RowDistribution.of(reference)
        filled, spread, _ = _expected(values, holes, rows)
    else:
        filled, spread, rows = _estimated(values, holes)
        reference = filled
    scale = np.sqrt(np.diag(rows.covariance))
    relative = np.divide(spread, scale, out=np.zeros_like(spread), where=scale > 0)[holes]
    factor = error_factor(reference, ~np.unique(holes[holes.any(axis=1)], axis=0))
    return Completed(filled, int(holes.sum()), factor * float(np.sqrt(np.mean(relative**2))))


def _estimated(values: np.ndarray, holes: np.ndarray) -> tuple[np.ndarray, np.ndarray, RowDistribution]:
    """Return filled values, their standard deviations (C, A) each, and the distribution, by maximum likelihood."""
    filled = np.where(holes, np.nanmean(values, axis=0), values)
    rows = RowDistribution.of(filled)
    spread = np.zeros_like(filled)
    for _ in range(_ROUNDS):
        before = filled
        filled, spread, unknown = _expected(values, holes, rows)
        rows = RowDistribution.of(filled, unknown)
        scale = np.sqrt(np.diag(rows.covariance))
        if np.all(np.abs(filled - before) <= _SETTLED * scale):
            break
    return filled, spread, rows


def _expected(
    values: np.ndarray, holes: np.ndarray, rows: RowDistribution
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return filled values, their standard deviations (C, A) each, and the mean covariance of their errors (A, A)."""
    filled, spread, total = values.copy(), np.zeros_like(values), np.zeros_like(rows.covariance)
    patterns, which = np.unique(holes, axis=0, return_inverse=True)
    for pattern, hole in enumerate(patterns):
        if not hole.any():
            continue
        members = np.flatnonzero(which.reshape(-1) == pattern)
        known, unknown = np.flatnonzero(~hole), np.flatnonzero(hole)
        estimate = rows.given(known, values[np.ix_(members, known)])
        filled[np.ix_(members, unknown)] = estimate.values[:, unknown]
        spread[np.ix_(members, unknown)] = estimate.spread[unknown]
        used = known[np.diag(rows.covariance)[known] > 0]
        rest = rows.covariance - rows.covariance[:, used] @ rows._gain(used)
        total[np.ix_(unknown, unknown)] += len(members) * rest[np.ix_(unknown, unknown)]
    return filled, spread, total / len(values)
