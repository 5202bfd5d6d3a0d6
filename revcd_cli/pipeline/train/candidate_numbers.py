"""The seen penalty for a given number of described classes: gamma(K) = gamma + slope ln(K / K_fold).

The best penalty depends on how many unseen candidates there are. The slope is fitted on validation folds of which only
random subsets of the unseen classes are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ...scoring.calibration import harmonic_penalty
from ..evaluate.split_scores import SplitScores

_DRAWS = 5  # random subsets of each size and fold


def fit_slope(folds: Sequence[SplitScores], gamma: float, seed: int = 0) -> float:
    """Return the slope by least squares over subsets of 1/2, 1/4, ... of the unseen classes, at least 2 of them.

    gamma: the penalty of the whole folds. 0 if a fold has fewer than 4 unseen classes, or no photos of one kind.
    """
    whole = min((int((~fold.seen).sum()) for fold in folds), default=0)
    if whole < 4 or any(fold.curve() is None for fold in folds):
        return 0.0
    generator = torch.Generator().manual_seed(seed)
    products = squares = 0.0
    size = whole // 2
    while size >= 2:
        subsets = [_subset(fold, size, generator) for fold in folds for _ in range(_DRAWS)]
        curves = [curve for curve in (subset.curve() for subset in subsets) if curve is not None]
        place = math.log(size / whole)
        if curves:
            products += place * (harmonic_penalty(curves) - gamma)
            squares += place**2
        size //= 2
    return products / squares if squares else 0.0


def unseen_candidates(folds: Sequence[SplitScores]) -> float:
    """Return the mean number of unseen candidates of the folds, 0 without folds."""
    return sum(int((~fold.seen).sum()) for fold in folds) / len(folds) if folds else 0.0


def _subset(fold: SplitScores, size: int, generator: torch.Generator) -> SplitScores:
    """Return the fold with `size` of its unseen classes, and photos of these and of the seen classes."""
    unseen = torch.nonzero(~fold.seen)[:, 0]
    kept = unseen[torch.randperm(len(unseen), generator=generator)[:size]]
    return fold.of_classes(torch.cat([torch.nonzero(fold.seen)[:, 0], kept]).sort().values)
