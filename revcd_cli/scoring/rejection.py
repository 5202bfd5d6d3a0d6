"""The chance that the best class of a photo is right: a logistic regression over its calibrated scores.

It is fitted on validation photos, with right answers against two kinds of others: wrong answers, and answers for photos
of none of the candidates. Symbols: N photos, C candidates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.precision import in_double

_LIMIT = 30.0  # of each quantity, in units of the temperature
_RIDGE = 1e-3  # on standardised quantities, as a share of the number of photos
_STEPS = 25  # of Newton's method, which converges in about ten


def answer_quantities(scores: Tensor, seen: Tensor, temperature: float) -> Tensor:
    """Return four quantities of the best answer for each photo: (N, 4) float64.

    They are its score, its margin over the second-best class, the logarithm of the odds of its probability, and 1 if
    the class is unseen. scores: (N, C), calibrated; seen: (C,) bool; the first three are in units of the temperature.
    """
    scores = in_double(scores) / temperature
    best, chosen = scores.max(1)
    others = scores.scatter(1, chosen.unsqueeze(1), -torch.inf)
    odds = best - others.logsumexp(1)
    parts = torch.stack([best, best - others.amax(1), odds], 1).clamp(-_LIMIT, _LIMIT)
    return torch.cat([parts, (~seen.to(chosen.device)[chosen]).double().unsqueeze(1)], 1)


def fit_chance(quantities: Tensor, right: Tensor) -> tuple[float, ...]:
    """Return weights of the quantities and a constant, by ridge-penalised logistic regression.

    quantities: (N, Q); right: (N,) bool. The constant is not penalised.
    """
    mean, spread = quantities.mean(0), quantities.std(0, correction=0)
    spread = torch.where(spread > 1e-9, spread, 1.0)
    x = torch.cat([(quantities - mean) / spread, torch.ones(len(right), 1).double()], 1)
    penalty = _RIDGE * len(right) * torch.eye(x.shape[1]).double()
    penalty[-1, -1] = 1e-9 * len(right)
    weights = x.new_zeros(x.shape[1])
    for _ in range(_STEPS):
        chance = torch.sigmoid(x @ weights)
        gradient = x.T @ (chance - right.double()) + penalty @ weights
        curvature = (x * (chance * (1 - chance)).unsqueeze(1)).T @ x + penalty
        weights = weights - torch.linalg.solve(curvature, gradient)
    slopes = weights[:-1] / spread
    return (*slopes.tolist(), float(weights[-1] - slopes @ mean))


def answer_chances(quantities: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Return the chance that each answer is right: (N,). quantities: (N, Q); weights: see `fit_chance`."""
    values = torch.tensor(weights, dtype=torch.float64)
    return torch.sigmoid(quantities.cpu() @ values[:-1] + values[-1])
