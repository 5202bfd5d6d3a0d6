"""Calibration of scores on validation: seen penalty (calibrated stacking), temperature and rejection threshold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.precision import in_double
from ..metrics.curve import SeenUnseenCurve, common_penalties


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """Return the temperature with the smallest cross-entropy of softmax(scores / temperature); 1 without photos.

    scores: (N, C); labels: (N,). The cross-entropy is convex in 1/temperature, so a ternary search over the logarithm
    of the temperature finds its minimum.
    """
    if not len(labels):
        return 1.0
    scores = scores.double()
    low, high = -12.0, 6.0  # of log temperature

    def cost(log_temperature: float) -> float:
        return float(F.cross_entropy(scores / torch.tensor(log_temperature).double().exp(), labels))

    for _ in range(60):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if cost(left) < cost(right):
            high = right
        else:
            low = left
    return float(torch.tensor((low + high) / 2).exp())


def harmonic_penalty(curves: Sequence[SeenUnseenCurve]) -> float:
    """Return the penalty with the largest mean H over the validation folds, by exact search over all breakpoints.

    Ties: the smallest absolute value.
    """
    gamma = common_penalties(curves)
    merit = torch.zeros_like(gamma)
    for curve in curves:
        acc_seen, acc_unseen = curve.at(gamma)
        merit += 2 * acc_seen * acc_unseen / (acc_seen + acc_unseen).clamp(min=1e-12)
    best = gamma[merit >= merit.max() - 1e-12 * len(curves)]  # rounding of sums
    return float(best[best.abs().argmin()])


def sparing_penalty(curves: Sequence[SeenUnseenCurve], give_away: float) -> float:
    """Return the largest penalty that lowers the folds' mean seen accuracy by at most the share `give_away`.

    It is negative, a bonus, if the accuracy without a penalty is already lower than that.
    """
    gamma = common_penalties(curves)
    acc_seen = torch.stack([curve.at(gamma)[0] for curve in curves]).mean(0)  # falls as gamma rises
    kept = acc_seen >= (1 - give_away) * acc_seen[0] - 1e-9
    return float(gamma[kept][-1])


def calibrated(scores: Tensor, seen: Tensor, gamma: float, limits: Tensor | None = None) -> Tensor:
    """Subtract the penalty gamma from the scores (N, C) of the seen classes: calibrated stacking.

    seen: (C,) bool; limits: (C,), the largest penalty of each class, see `ZeroShotModel.penalty_limits`.
    """
    if limits is None:
        return torch.where(seen, scores - gamma, scores)
    return torch.where(seen, scores - limits.to(scores).clamp(max=gamma), scores)


def score_unit(scores: Tensor) -> float:
    """Return the unit of scores (N, C): their root mean square standard deviation over classes, 1 if that is zero."""
    unit = float(in_double(scores).std(1, correction=0).square().mean().sqrt()) if scores.numel() else 0.0
    return unit if unit > 0 else 1.0


def rejection_threshold(right: Tensor, false_reject: float) -> float:
    """Return the value below which at most the share `false_reject` of right answers (N,) lies; -1 without any."""
    return float(right.double().quantile(false_reject, interpolation="lower")) if len(right) else -1.0
