"""Turning scores into probabilities: a temperature fitted on validation."""

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
