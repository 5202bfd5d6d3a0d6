"""Which attributes tell what a class looks like: weights of the class kernel, learnt by leaving classes out.

Not every attribute shows in photos ("nocturnal" hardly does, "stripes" do), and not every one that shows matters to the
backbone. The weights are those with which the mean photo of each seen class follows best from the other seen classes,
held near 1 by a log-normal prior: automatic relevance determination.
Symbols: C seen classes, K classes, A attributes, P components of features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS, LEARNING_RATE = 150, 0.05  # of Adam; with 500 steps nothing changes any more


def directions(centred: Tensor, relevance: Tensor) -> Tensor:
    """Return weighted descriptions at unit length: (K, A). centred: (K, A) less the seen classes' mean."""
    return F.normalize(centred * relevance, dim=-1)


def kernel_length(support: Tensor, factor: float) -> Tensor:
    """Return the squared length of the kernel: `factor` times the median squared distance of directions (C, A)."""
    distances = squared_distances(support, support)
    usual = distances[~torch.eye(len(support), dtype=torch.bool, device=support.device)]
    return factor * usual.median() if len(usual) and usual.median() > 0 else distances.new_ones(())


def class_kernel(one: Tensor, other: Tensor, length: Tensor) -> Tensor:
    """Return the covariance of classes by their directions (K, A) and (C, A), 1 for the same direction: (K, C)."""
    return torch.exp(-squared_distances(one, other) / length)


def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """Return those of directions (K, A) and (C, A), all of length 1 (or 0, for a description in the centre): (K, C)."""
    lengths = one.square().sum(-1, keepdim=True) + other.square().sum(-1)
    return (lengths - 2 * one @ other.T).clamp(min=0)


def left_out_residuals(inverse: Tensor, means: Tensor) -> Tensor:
    """Return each class's mean photo less what the other classes predict for it: (C, P).

    inverse: (C, C) of the kernel matrix plus noise; means: (C, P). Rasmussen & Williams 2006, Eq. 5.12.
    """
    return inverse @ means / inverse.diagonal().unsqueeze(-1)


def fit_relevance(
    centred: Tensor, means: Tensor, between: Tensor, *, spread: float, length: float, noise: float
) -> Tensor:
    """Return the factor of each attribute in the kernel, the root of its weight: (A,); 1 where `spread` is 0.

    centred: (C, A) descriptions of the seen classes less their mean; means: (C, P) their mean photos and between: (P,)
    the variance of these, in components in which photos of one class have variance 1. spread: standard deviation of the
    logarithm of a weight before anything is known; length, noise: of the kernel, see `PrototypeConfig`.
    """
    if spread == 0 or len(centred) < 3:  # one of two classes says nothing of the other
        return torch.ones_like(centred[0])
    eye = torch.eye(len(centred), dtype=centred.dtype, device=centred.device)
    with torch.enable_grad():
        log_weights = torch.zeros_like(centred[0], requires_grad=True)
        optimizer = torch.optim.Adam([log_weights], lr=LEARNING_RATE)
        for _ in range(STEPS):
            support = directions(centred, (log_weights / 2).exp())
            kernel = class_kernel(support, support, kernel_length(support.detach(), length))
            residuals = left_out_residuals(torch.linalg.inv(kernel + noise * eye), means)
            loss = (residuals.square() / (1 + between)).sum() / 2 + log_weights.square().sum() / (2 * spread**2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return (log_weights.detach() / 2).exp()
