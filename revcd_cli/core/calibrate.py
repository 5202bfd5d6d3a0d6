"""Turning scores into answers and probabilities: the seen penalty and the temperature, both fitted on validation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """Return the temperature that makes softmax(scores / temperature) most likely; 1 if there is nothing to fit on.

    scores: (N, C); labels: (N,). The negative log-likelihood has one minimum in 1/temperature (it is convex there), so
    a search that narrows a bracket in log temperature finds it.
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


def fit_seen_penalty(scores: Tensor, labels: Tensor, seen: Tensor, give_away: float) -> float:
    """Return the penalty gamma that costs `give_away` of the photos of seen classes that are named rightly among them.

    scores: (N, C) of photos of seen classes; labels: (N,) their classes; seen: (C,) bool. A photo is lost when its
    margin, the best seen score minus the best unseen one, falls below gamma, so gamma is a quantile of the margins.
    It is negative, a bonus, where more would be lost without it. 0 if there is nothing to fit on.
    """
    if not len(labels) or seen.all():
        return 0.0
    best_seen, chosen = scores.masked_fill(~seen, -torch.inf).max(1)
    margin = best_seen - scores.masked_fill(seen, -torch.inf).max(1).values
    right = margin[chosen == labels]
    if not len(right):
        return 0.0
    margin_at = right.quantile(give_away, interpolation="lower")
    return float(margin_at.nextafter(margin_at.new_tensor(-torch.inf)))  # the photo that sets it is not lost itself
