"""Classifier-free guidance (paper section 3.5.1, Eq. 19-22): how strongly a sample follows its condition.

The paper derives it for scores, the gradients of log densities of s_t; Tweedie's formula turns a score into a noise and
back. Sampling uses the result, `guided`. All arguments are (..., A), alpha_bar is (..., 1).
"""

from __future__ import annotations

import torch
from torch import Tensor


def noise_to_score(eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return the gradient of log p(s_t) that belongs to the mean noise in s_t: -eps / sqrt(1 - alpha_bar_t)."""
    return -eps / (1 - alpha_bar).sqrt()


def score_to_noise(score: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return the inverse of `noise_to_score`."""
    return -score * (1 - alpha_bar).sqrt()


def conditional_score(unconditional: Tensor, likelihood: Tensor) -> Tensor:
    """Return grad log p(s_t | x) = grad log p(s_t) + grad log p(x | s_t), Bayes' rule (Eq. 19)."""
    return unconditional + likelihood


def likelihood_score(conditional: Tensor, unconditional: Tensor) -> Tensor:
    """Return grad log p(x | s_t) = grad log p(s_t | x) - grad log p(s_t) (Eq. 20): a classifier without a network."""
    return conditional - unconditional


def guided_score(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Return grad log p(s_t) + scale * grad log p(x | s_t) (Eq. 21)."""
    return conditional_score(unconditional, scale * likelihood_score(conditional, unconditional))


def guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Return unconditional + scale * (conditional - unconditional), for noises or clean vectors (Eq. 22).

    Both are linear in the score, so Eq. 21 holds for them as it is. A scale of 1 means no guidance.
    """
    return torch.lerp(unconditional, conditional, scale)
