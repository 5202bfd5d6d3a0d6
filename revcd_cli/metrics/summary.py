"""Names of the reported metrics, and their mean and standard deviation over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

METRIC_NAMES = ("S", "U", "H", "T1", "AUSUC")
KEPT = "neighbour's photos kept"  # in figures of validation: see `neighbours.photos_kept`


@dataclass(frozen=True, kw_only=True)
class MeanStd:
    """Mean and sample standard deviation of a metric over seeds; None where they are not defined."""

    mean: float | None
    std: float | None


def mean_and_std(values: Sequence[float | None]) -> MeanStd:
    """Return mean and standard deviation; no mean if a value is missing, no deviation for a single value."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return MeanStd(mean=None, std=None)
    return MeanStd(mean=statistics.fmean(known), std=statistics.stdev(known) if len(known) > 1 else None)
