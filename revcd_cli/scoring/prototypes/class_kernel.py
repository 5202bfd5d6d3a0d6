"""The kernel between class descriptions, their whitening, and the relevance of each attribute in the kernel.

Whitening counts attributes that vary together less. It helps for sentence embeddings, whose leading directions are
large and say little. Some attributes are visible in photos ("stripes"), some are not ("nocturnal"). Their weights
maximise the leave-one-out likelihood of the seen classes' mean photos, with a log-normal prior around 1: automatic
relevance determination.
Symbols: C seen classes, K classes, A attributes, R = min(C, A), P components of features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS, LEARNING_RATE = 150, 0.05  # of Adam; 500 steps give the same weights


def directions(centred: Tensor, relevance: Tensor, whitening: Tensor | None = None) -> Tensor:
    """Return whitened and weighted descriptions, scaled to unit length: (K, A).

    centred: (K, A), minus the seen classes' mean; relevance: (A,); whitening: (R, A) of `fit_whitening`.
    """
    if whitening is not None:
        centred = centred - centred @ whitening.T @ whitening
    return F.normalize(centred * relevance, dim=-1)


def fit_whitening(centred: Tensor, share: float) -> Tensor:
    """Return V (R, A), with which s - Vᵀ V s is proportional to M^(-1/2) s.

    The map of `Preconditioner` with "whiten", without a matrix (A, A): a sentence embedding has 1,024 values.
    M = share * covariance + (1 - share) * mean variance * identity, with the covariance of the seen classes'
    descriptions centred (C, A), minus their mean. share: from 0 to 1; at 1, a thousandth is left of the identity.
    """
    _, singular, axes = torch.linalg.svd(centred, full_matrices=False)
    variances = singular.square() / len(centred)
    rest = max(1 - share, 1e-3) * variances.sum().clamp(min=1e-300) / centred.shape[1]
    shrinking = 1 - (rest / (share * variances + rest)).sqrt()  # of each axis
    found: Tensor = shrinking.sqrt().unsqueeze(-1) * axes
    return found


def kernel_length(support: Tensor, factor: float) -> Tensor:
    """Return the squared length of the kernel: `factor` times the median squared distance of directions (C, A)."""
    distances = squared_distances(support, support)
    usual = distances[~torch.eye(len(support), dtype=torch.bool, device=support.device)]
    return factor * usual.median() if len(usual) and usual.median() > 0 else distances.new_ones(())


def class_kernel(one: Tensor, other: Tensor, length: Tensor) -> Tensor:
    """Return the covariance of classes by their directions (K, A) and (C, A), 1 for the same direction: (K, C)."""
    return torch.exp(-squared_distances(one, other) / length)


def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """Return squared distances of directions (K, A) and (C, A), of length 1, or 0 for the mean description: (K, C)."""
    lengths = one.square().sum(-1, keepdim=True) + other.square().sum(-1)
    return (lengths - 2 * one @ other.T).clamp(min=0)


def left_out_residuals(inverse: Tensor, means: Tensor) -> Tensor:
    """Return the leave-one-out residual of each class's mean photo: (C, P).

    inverse: (C, C) of the kernel matrix plus noise; means: (C, P). Rasmussen & Williams 2006, Eq. 5.12.
    """
    return inverse @ means / inverse.diagonal().unsqueeze(-1)


def fit_relevance(
    centred: Tensor,
    means: Tensor,
    between: Tensor,
    *,
    spread: float,
    length: float,
    noise: Tensor,
    whitening: Tensor | None = None,
) -> Tensor:
    """Return the factor of each attribute in the kernel, the square root of its weight: (A,); all 1 if `spread` is 0.

    centred: (C, A) descriptions of the seen classes minus their mean; means: (C, P) their mean photos, and between:
    (P,) the variance of these, in components in which photos of one class have variance 1. spread: prior standard
    deviation of the logarithm of a weight; length: of the kernel, see `PrototypeConfig`; noise: (C,), of each class;
    whitening: as for `directions`.
    """
    if spread == 0 or len(centred) < 3:  # two classes are too few to leave one out
        return torch.ones_like(centred[0])
    with torch.enable_grad():
        log_weights = torch.zeros_like(centred[0], requires_grad=True)
        optimizer = torch.optim.Adam([log_weights], lr=LEARNING_RATE)
        for _ in range(STEPS):
            support = directions(centred, (log_weights / 2).exp(), whitening)
            kernel = class_kernel(support, support, kernel_length(support.detach(), length))
            residuals = left_out_residuals(torch.linalg.inv(kernel + noise.diag()), means)
            loss = (residuals.square() / (1 + between)).sum() / 2 + log_weights.square().sum() / (2 * spread**2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return (log_weights.detach() / 2).exp()
