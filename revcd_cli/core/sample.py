"""Sampling class descriptions from image features (paper section 3.5, Algorithm 2, Eq. 18-22).

`sample_semantics` is Algorithm 2 for a trained network; `ddpm_sample` and `ddim_sample` are its loop over the times as
pure functions. They take the denoiser as a callable `(s_t, t) -> Estimate`, with s_t (..., A) and t an integer tensor
that broadcasts against s_t's leading axes; the source of noise as `noise()`, which returns a new tensor of s_t's shape;
and an observer `on_step(t, s_t)`, which is called for every s_t of the chain.
Symbols: B photos, A attributes, K samples, H hidden width, W condition width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor

from ..config import InferenceConfig
from .inference_cache import condition_part, denoise_pairs, noisy_part
from .model import RevCD
from .objective import Estimate, head_estimate
from .schedule import NoiseSchedule

Denoise = Callable[[Tensor, Tensor], Estimate]
Noise = Callable[[], Tensor]
OnStep = Callable[[int, Tensor], None]


@torch.inference_mode()
def sample_semantics(
    model: RevCD,
    c: Tensor,
    config: InferenceConfig,
    generators: Sequence[Generator],
    on_step: OnStep | None = None,
) -> Tensor:
    """Draw K preconditioned descriptions for each photo (Algorithm 2). Returns s_0 (B, K, A).

    c: (B, W) conditions; generators: one for each photo, so that its samples do not depend on the rest of the batch;
    on_step: called with (t, s_t) for every s_t (B, K, A) of the chain.
    """
    shape = (config.samples, model.n_attributes)
    objective = model.config.diffusion.objective
    # Guidance needs the network with and without the photo: both in one call, their conditions mapped once (Eq. 22).
    branches = [c] if config.guidance_scale == 1 else [c, model.null.expand_as(c)]
    conditions = condition_part(model.denoiser, torch.stack(branches).unsqueeze(2))  # (1 or 2, B, 1, H) each

    def noise() -> Tensor:
        drawn = [torch.randn(shape, generator=generator, device=generator.device) for generator in generators]
        return torch.stack(drawn).to(c)  # (B, K, A)

    def denoise(s_t: Tensor, t: Tensor) -> Estimate:
        output = denoise_pairs(model.denoiser, noisy_part(model.denoiser, s_t, t), conditions)
        alpha_bar = model.schedule.alpha_bar(t, s_t)
        with_photo, *without = (head_estimate(objective, config.head, branch, s_t, alpha_bar) for branch in output)
        estimate = with_photo.guided(without[0], config.guidance_scale) if without else with_photo
        return estimate.clipped(config.clip, s_t, alpha_bar) if config.clip else estimate

    if config.sampler == "ddpm":
        return ddpm_sample(denoise, model.schedule, noise, variance=config.variance, on_step=on_step)
    return ddim_sample(denoise, model.schedule, noise, steps=config.steps, eta=config.eta, on_step=on_step)


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
    """Run the full chain of Algorithm 2, the reverse process of Eq. 2, with no noise at t = 1.

    variance: "posterior" (sigma_q^2, the default) or "beta" (beta_t). Returns s_0, shaped as the noise.
    """
    observe = on_step or _ignore
    s_t = noise()
    for step in range(schedule.timesteps, 0, -1):
        observe(step, s_t)
        t = torch.full((), step, device=s_t.device)
        s_t = reverse_step(schedule, denoise(s_t, t), s_t, t, noise if step > 1 else None, variance)
    observe(0, s_t)
    return s_t


def reverse_step(
    schedule: NoiseSchedule, estimate: Estimate, s_t: Tensor, t: Tensor, noise: Noise | None, variance: str
) -> Tensor:
    """Draw s_{t-1} = (s_t - beta_t / sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_t) + sigma_t z (Eq. 18).

    The mean is computed from the clean vector (Eq. 8): the same for estimates that explain s_t, and exact at t = 1.
    noise: the source of z; None, at t = 1, for no noise. variance: sigma_t^2 is "posterior" or "beta".
    """
    mean = schedule.posterior_mean(estimate.s_0, s_t, t)
    if noise is None:
        return mean
    spread = schedule.posterior_variance(t, s_t) if variance == "posterior" else schedule.beta(t, s_t)
    return mean + spread.sqrt() * noise()


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
    observe = on_step or _ignore
    s_t = noise()
    path = timestep_path(schedule.timesteps, steps)
    for now, after in pairwise(path):
        observe(now, s_t)
        t = torch.full((), now, device=s_t.device)
        estimate = denoise(s_t, t)
        if after == 0:
            observe(0, estimate.s_0)
            return estimate.s_0
        ab_now, ab_after = (schedule.alpha_bar(torch.full((), k, device=s_t.device), s_t) for k in (now, after))
        sigma = eta * ((1 - ab_after) / (1 - ab_now)).sqrt() * (1 - ab_now / ab_after).sqrt()
        s_t = ab_after.sqrt() * estimate.s_0 + (1 - ab_after - sigma**2).clamp(min=0).sqrt() * estimate.eps
        if eta > 0:
            s_t = s_t + sigma * noise()
    raise AssertionError("a path has at least one step")


def _ignore(t: int, s_t: Tensor) -> None:
    """Do nothing at a step."""
