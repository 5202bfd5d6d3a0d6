"""Confidence intervals of S, U, H, T1 and AUSUC, and of their differences, by a bootstrap over the test classes.

The metrics are means over classes, so the class is the unit: test classes are drawn with replacement, seen and unseen
ones separately, each with all its photos. Photos are not drawn again within a class: with all photos of a drawn class,
the variation between photos is already part of the variation between classes (Davison & Hinkley 1997, section 3.8).
The candidate classes and the trained models stay as they are.
Symbols: M seen and K unseen test classes, R draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.special import ndtr, stdtrit
from torch import Generator, Tensor

from .summary import METRIC_NAMES

DRAWS, LEVEL, SEED = 10_000, 0.95, 0
SETTINGS = {"unit": "test class", "draws": DRAWS, "level": LEVEL, "seed": SEED}  # for reports
_KINDS = {"S": "s", "U": "u", "H": "su", "T1": "u", "AUSUC": "su"}  # of the classes on which a metric depends


@dataclass(frozen=True, eq=False)
class ClassFigures:
    """The results of each test class, from which the metrics of any weighting of the classes follow.

    seen: (M,) accuracies with all candidates; unseen: (K,) likewise; alone: (K,) accuracies with the unseen classes as
    the only candidates; areas: (M, K) areas under the seen-unseen curve of each pair of classes (`curve.class_areas`).
    """

    seen: Tensor
    unseen: Tensor
    alone: Tensor
    areas: Tensor

    def weighted(self, seen: Tensor, unseen: Tensor) -> dict[str, Tensor]:
        """Return each metric (R,) with weights of the seen (R, M) and of the unseen classes (R, K), of sum 1 each.

        A metric without its kind of class is left out. AUSUC is linear in either weights.
        """
        found: dict[str, Tensor] = {}
        if len(self.seen):
            found["S"] = seen @ self.seen
        if len(self.unseen):
            found["U"], found["T1"] = unseen @ self.unseen, unseen @ self.alone
        if len(self.seen) and len(self.unseen):
            s, u = found["S"], found["U"]
            found["H"] = 2 * s * u / (s + u).clamp(min=1e-300)
            found["AUSUC"] = ((seen @ self.areas) * unseen).sum(1)
        return found


@dataclass(frozen=True)
class Interval:
    """A confidence interval of level `LEVEL`."""

    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Return whether the value is in the interval, ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """The metrics of one method for R draws of test classes: means over its trainings.

    draws: (R,) for each metric that is defined; classes: the number of test classes, seen "s" and unseen "u".
    """

    draws: dict[str, Tensor]
    classes: dict[str, int]

    def interval(self, name: str) -> Interval | None:
        """Return the interval of a metric; None if it is not defined, or with one class, which has no spread."""
        return self._interval(name, self.draws[name]) if name in self.draws else None

    def intervals(self) -> dict[str, Interval | None]:
        """Return the interval of every metric."""
        return {name: self.interval(name) for name in METRIC_NAMES}

    def difference(self, other: Bootstrap, name: str) -> Interval | None:
        """Return the interval of this method's metric minus that of the other, on the same draws (paired).

        None if one of them is not defined. Raises `ValueError` if the methods were tested on other classes.
        """
        if name not in self.draws or name not in other.draws:
            return None
        if any(self.classes[kind] != other.classes[kind] for kind in _KINDS[name]):
            raise ValueError("methods can be compared on the same test classes only")
        return self._interval(name, self.draws[name] - other.draws[name])

    def _interval(self, name: str, values: Tensor) -> Interval | None:
        fewest = min(self.classes[kind] for kind in _KINDS[name])
        return expanded_interval(values, fewest)


def bootstrap(runs: Sequence[ClassFigures], draws: int = DRAWS, seed: int = SEED) -> Bootstrap:
    """Draw test classes and return the metrics of each draw, as means over the trainings `runs` of one method.

    Every method with the same test classes gets the same draws from the same seed, so that differences are paired.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = {"s": len(runs[0].seen), "u": len(runs[0].unseen)}
    weights = [class_weights(count, draws, generator) for count in counts.values()]
    each = [run.weighted(*weights) for run in runs]
    metrics = {name: torch.stack([run[name] for run in each]).mean(0) for name in METRIC_NAMES if name in each[0]}
    return Bootstrap(metrics, counts)


def class_weights(n_classes: int, draws: int, generator: Generator) -> Tensor:
    """Return how often each of n classes is in a draw of n with replacement, divided by n: (R, n), rows of sum 1."""
    if not n_classes:
        return torch.zeros(draws, 0, dtype=torch.double)
    drawn = torch.randint(n_classes, (draws, n_classes), generator=generator)
    counts = torch.zeros(draws, n_classes, dtype=torch.double)
    return counts.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.double)) / n_classes


def expanded_interval(values: Tensor, n_classes: int, level: float = LEVEL) -> Interval | None:
    """Return the expanded percentile interval of bootstrap values (R,) (Hesterberg 2015, section 5.3).

    The plain percentile interval of few classes is too narrow: it has the width of a normal interval with the variance
    divided by n instead of n - 1. Here the quantiles are moved outwards to those of Student's t with n - 1 degrees of
    freedom. None for fewer than two classes.
    """
    if n_classes < 2:
        return None
    spread = math.sqrt(n_classes / (n_classes - 1)) * float(stdtrit(n_classes - 1, (1 + level) / 2))
    outside = float(ndtr(-spread))
    low, high = values.double().quantile(torch.tensor([outside, 1 - outside], dtype=torch.double)).tolist()
    return Interval(low, high)
