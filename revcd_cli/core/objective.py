"""Prediction targets of the network, and their conversion to estimates of clean vector and noise (Eq. 11-12).

All conversions follow from s_t = sqrt(ab) s_0 + sqrt(1 - ab) eps, with ab = alpha_bar_t.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .guidance import guided

OBJECTIVES = ("v", "x0", "eps", "both")
HEADS = ("x0", "eps", "mixed")  # of the objective "both": which one sampling and scoring use


class Estimate(NamedTuple):
    """Estimates of the clean vector and of the noise in a noisy vector, both (..., A)."""

    s_0: Tensor
    eps: Tensor

    def guided(self, unconditional: Estimate, guidance_scale: float) -> Estimate:
        """Return the guided estimate (Eq. 22): unconditional + scale * (this - unconditional)."""
        return Estimate(
            guided(self.s_0, unconditional.s_0, guidance_scale), guided(self.eps, unconditional.eps, guidance_scale)
        )

    def clipped(self, limit: float, s_t: Tensor, alpha_bar: Tensor) -> Estimate:
        """Clamp the clean vector and recompute the noise from it. s_t: (..., A); alpha_bar: (..., 1)."""
        s_0 = self.s_0.clamp(-limit, limit)
        return Estimate(s_0, (s_t - alpha_bar.sqrt() * s_0) / (1 - alpha_bar).sqrt())


def velocity(s_0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return v = sqrt(ab) eps - sqrt(1 - ab) s_0, whose squared error is that of s_0 plus that of eps."""
    return alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * s_0


def to_estimate(objective: str, output: Tensor, s_t: Tensor, alpha_bar: Tensor) -> Estimate:
    """Convert a network output to an `Estimate` (Eq. 11).

    output: (..., A), or (..., 2A) for the two heads of "both"; s_t: (..., A); alpha_bar: (..., 1), below 1.
    """
    signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    if objective == "v":
        return Estimate(signal * s_t - noise * output, noise * s_t + signal * output)
    if objective == "x0":
        return Estimate(output, (s_t - signal * output) / noise)
    if objective == "eps":
        return Estimate((s_t - noise * output) / signal, output)
    s_0, eps = output.chunk(2, dim=-1)
    return Estimate(s_0, eps)


def head_estimate(objective: str, head: str, output: Tensor, s_t: Tensor, alpha_bar: Tensor) -> Estimate:
    """Convert a network output to the `Estimate` that sampling uses, by one head if there are two.

    The other part of the estimate follows from it, so that both explain s_t (Eq. 11). head: "eps" is the paper's, as
    Eq. 18 and 22 are written with the noise; "x0" is the clean vector, "mixed" the clean vector while alpha_bar_t < 1/2
    and then the noise. It has no effect with a single head. The shapes are those of `to_estimate`.
    """
    if objective != "both":
        return to_estimate(objective, output, s_t, alpha_bar)
    s_0, eps = output.chunk(2, dim=-1)
    if head == "x0":
        return to_estimate("x0", s_0, s_t, alpha_bar)
    by_noise = to_estimate("eps", eps, s_t, alpha_bar)
    if head == "eps":
        return by_noise
    by_clean = to_estimate("x0", s_0, s_t, alpha_bar)
    early = alpha_bar < 0.5
    return Estimate(torch.where(early, by_clean.s_0, by_noise.s_0), torch.where(early, by_clean.eps, by_noise.eps))


def velocity_error(
    objective: str, output: Tensor, s_0: Tensor, eps: Tensor, alpha_bar: Tensor, head: str = "x0"
) -> Tensor:
    """Return the mean squared error of v over attributes, for a network output: (...).

    output: (..., A), or (..., 2A), of which `head` is used as in `head_estimate`, for the noisy vector of s_0 and eps,
    both (..., A); alpha_bar: (..., 1). Computed without an `Estimate`: with an x0 or eps head, the error of v is the
    head's own error times a factor.
    """
    if objective == "both":
        s_0_hat, eps_hat = output.chunk(2, dim=-1)
        if head == "x0":
            return velocity_error("x0", s_0_hat, s_0, eps, alpha_bar)
        by_noise = velocity_error("eps", eps_hat, s_0, eps, alpha_bar)
        if head == "eps":
            return by_noise
        return torch.where(alpha_bar[..., 0] < 0.5, velocity_error("x0", s_0_hat, s_0, eps, alpha_bar), by_noise)
    target, factor = {
        "v": (velocity(s_0, eps, alpha_bar), torch.ones_like(alpha_bar)),
        "x0": (s_0, 1 / (1 - alpha_bar)),
        "eps": (eps, 1 / alpha_bar),
    }[objective]
    squares: Tensor = torch.linalg.vector_norm(output - target, dim=-1).square()
    return squares * factor[..., 0] / output.shape[-1]


def output_width(objective: str, n_attributes: int) -> int:
    """Return the number of values that the network returns per vector."""
    return 2 * n_attributes if objective == "both" else n_attributes
