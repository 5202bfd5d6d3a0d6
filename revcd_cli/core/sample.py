"""Samplers of the reverse process (paper section 3.5, Algorithm 2, Eq. 18), as pure functions.

A denoiser is any callable `(s_t, t) -> Estimate`, with s_t (..., A) and t an integer tensor that broadcasts against
s_t's leading axes. Noise is the caller's: `noise()` returns a fresh tensor of s_t's shape, so that an answer can
depend on the photo alone. Who wants to watch the chain passes `on_step(t, s_t)`, called for every s_t that is visited.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from .objective import Estimate
from .schedule import NoiseSchedule

Denoise = Callable[[Tensor, Tensor], Estimate]
Noise = Callable[[], Tensor]
OnStep = Callable[[int, Tensor], None]


def timestep_path(timesteps: int, steps: int) -> list[int]:
    """Return `steps` + 1 times from T down to 0, evenly spaced; T steps visit every time."""
    return [round(timesteps * (steps - k) / steps) for k in range(steps + 1)]


def ddpm_sample(
    denoise: Denoise,
    schedule: NoiseSchedule,
    noise: Noise,
    *,
    variance: str = "posterior",
    on_step: OnStep | None = None,
) -> Tensor:
    """Run the full chain of Algorithm 2: s_{t-1} = mu_q(s_0_hat, s_t) + sigma_t z, with no noise at t = 1.

    variance: "posterior" (sigma_q^2, the default) or "beta" (beta_t). Returns s_0, shaped as the noise.
    """
    watch = on_step or _ignore
    s_t = noise()
    for step in range(schedule.timesteps, 0, -1):
        watch(step, s_t)
        t = torch.tensor(step, device=s_t.device)
        mean = schedule.posterior_mean(denoise(s_t, t).s_0, s_t, t)
        if step == 1:
            watch(0, mean)
            return mean
        spread = schedule.posterior_variance(t, s_t) if variance == "posterior" else schedule.betas[step].to(s_t)
        s_t = mean + spread.sqrt() * noise()
    raise AssertionError("a schedule has at least one step")


def ddim_sample(
    denoise: Denoise,
    schedule: NoiseSchedule,
    noise: Noise,
    *,
    steps: int,
    eta: float = 0.0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Run DDIM over `steps` evenly spaced times; eta = 0 is deterministic given s_T, eta = 1 as noisy as DDPM.

    One step reads the estimate of s_0 at t = T. Returns s_0, shaped as the noise.
    """
    watch = on_step or _ignore
    s_t = noise()
    path = timestep_path(schedule.timesteps, steps)
    for now, after in pairwise(path):
        watch(now, s_t)
        t = torch.tensor(now, device=s_t.device)
        estimate = denoise(s_t, t)
        if after == 0:
            watch(0, estimate.s_0)
            return estimate.s_0
        ab_now, ab_after = (schedule.alphas_cumprod[k].to(s_t) for k in (now, after))
        sigma = eta * ((1 - ab_after) / (1 - ab_now)).sqrt() * (1 - ab_now / ab_after).sqrt()
        s_t = ab_after.sqrt() * estimate.s_0 + (1 - ab_after - sigma**2).clamp(min=0).sqrt() * estimate.eps
        if eta > 0:
            s_t = s_t + sigma * noise()
    raise AssertionError("a path has at least one step")


def _ignore(t: int, s_t: Tensor) -> None:
    """Watch nothing."""
