"""The variational bound on log p(s | x) (paper section 3.1, Eq. 3-7). The losses minimise its terms, reweighted."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .objective import Estimate
from .schedule import NoiseSchedule


def equal_variance_kl(mean: Tensor, other_mean: Tensor, variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance I) || N(other_mean, variance I)) = ||mean - other_mean||^2 / (2 variance) (Eq. 6, 7).

    mean, other_mean: (..., A); variance: (..., 1). Returns (...).
    """
    return ((mean - other_mean) ** 2 / (2 * variance)).sum(-1)


def denoising_kl(schedule: NoiseSchedule, s_0_hat: Tensor, s_0: Tensor, s_t: Tensor, t: Tensor) -> Tensor:
    """Return KL(q(s_{t-1} | s_t, s_0) || p_theta(s_{t-1} | s_t, x)) for t >= 2: one term of Eq. 5, (...).

    Both are Gaussians of the posterior's variance; the mean of p_theta is that of q with the estimate s_0_hat.
    """
    mean, guess = schedule.posterior_mean(s_0, s_t, t), schedule.posterior_mean(s_0_hat, s_t, t)
    return equal_variance_kl(mean, guess, schedule.posterior_variance(t, s_t))


def variational_bound(denoise: Callable[[Tensor, Tensor], Estimate], schedule: NoiseSchedule, s_0: Tensor) -> Tensor:
    """Return the bound on log p(s_0 | x) without the terms at t = 1 and t = T (Eq. 3, 4), from one noise per t: (B,).

    The paper drops the other two: one has no parameters, the other is small. denoise: as in `sample`; s_0: (B, A).
    """
    total = s_0.new_zeros(len(s_0))
    for step in range(2, schedule.timesteps + 1):
        t = torch.full((len(s_0),), step, device=s_0.device)
        s_t = schedule.q_sample(s_0, t, torch.randn_like(s_0))
        total = total - denoising_kl(schedule, denoise(s_t, t).s_0, s_0, s_t, t)
    return total
