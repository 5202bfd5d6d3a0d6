"""From a photo's condition to a score for every class, and from scores to an answer (paper section 3.6).

Two rules. "cosine" is the paper's: draw semantic vectors and compare each with the prototypes (Eq. 23-24). "evidence"
reads the same network as a classifier: how much better does it denoise a class's description when it sees the photo
than when it does not? Symbols: B photos, C classes, A attributes, K samples, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ..config import InferenceConfig
from .model import RevCD
from .objective import Estimate, velocity
from .sample import OnStep, ddim_sample, ddpm_sample

# Largest number of floats in one hidden activation of the evidence rule: 64 MiB, whatever the number of classes.
_ACTIVATION_FLOATS = 1 << 24


@torch.inference_mode()
def class_scores(
    model: RevCD, x: Tensor, prototypes: Tensor, config: InferenceConfig, generators: Sequence[Generator]
) -> Tensor:
    """Score every class for every photo; higher is better.

    x: (B, D) raw features; prototypes: (C, A) raw class descriptions; generators: one for each photo, so that its
    answer does not depend on its batch-mates. Returns (B, C).
    """
    z = model.precondition(prototypes)  # (C, A)
    c = model.encode(x)  # (B, W)
    if config.rule == "cosine":
        samples = sample_semantics(model, c, config, generators)
        if config.space == "attributes":
            samples, z = model.preconditioner.inverse(samples), prototypes
        return cosine_scores(samples, z, config.average)
    return evidence_scores(model, c, z, config)


def sample_semantics(
    model: RevCD,
    c: Tensor,
    config: InferenceConfig,
    generators: Sequence[Generator],
    on_step: OnStep | None = None,
) -> Tensor:
    """Draw K preconditioned semantic vectors for each photo (Algorithm 2). c: (B, W). Returns (B, K, A).

    on_step: called with (t, s_t) for every s_t (B, K, A) of the chain.
    """
    shape = (config.samples, model.n_attributes)

    def noise() -> Tensor:
        drawn = [torch.randn(shape, generator=generator, device=generator.device) for generator in generators]
        return torch.stack(drawn).to(c)  # (B, K, A)

    def denoise(s_t: Tensor, t: Tensor) -> Estimate:
        estimate = model.estimate(s_t, t, c.unsqueeze(1))
        if config.guidance_scale != 1:
            estimate = estimate.guided(model.estimate(s_t, t, model.null), config.guidance_scale)
        return estimate.clipped(config.clip, s_t, model.schedule.alpha_bar(t, s_t)) if config.clip else estimate

    if config.sampler == "ddpm":
        return ddpm_sample(denoise, model.schedule, noise, variance=config.variance, on_step=on_step)
    return ddim_sample(denoise, model.schedule, noise, steps=config.steps, eta=config.eta, on_step=on_step)


def cosine_scores(samples: Tensor, z: Tensor, average: str = "cosines") -> Tensor:
    """Return cosines between samples and prototypes (Eq. 24). samples: (B, K, A); z: (C, A). Returns (B, C).

    average: "cosines" is the mean over samples of cos(s_hat, s_c), "samples" the cosine of the mean sample.
    """
    if average == "samples":
        samples = samples.mean(1, keepdim=True)
    return F.normalize(samples, dim=-1).mean(1) @ F.normalize(z, dim=-1).T


def evidence_scores(model: RevCD, c: Tensor, z: Tensor, config: InferenceConfig) -> Tensor:
    """Return an estimate of log p(s_c | x) - log p(s_c), up to scale, for every class.

    For draws (t, eps) that all photos and classes share, t stratified over the band, the score is the mean of
    ||v_null - v||^2 - ||v_c - v||^2: the denoising error without the photo minus the error with it. The first term
    takes out what a description costs whatever the photo, which unseen descriptions would otherwise always lose by.
    c: (B, W); z: (C, A) preconditioned. Returns (B, C).
    """
    t, eps = evidence_draws(model, config, z)  # (R, 1), (R, 1, A)
    per_photo = len(t) * len(z) * model.config.denoiser.width
    photos_at_once = max(1, _ACTIVATION_FLOATS // per_photo)
    classes_at_once = max(1, _ACTIVATION_FLOATS // (len(t) * model.config.denoiser.width))
    columns = []
    for some in z.split(classes_at_once):  # (C', A)
        alpha_bar = model.schedule.alpha_bar(t, some)  # (R, 1, 1)
        s_t = model.schedule.q_sample(some, t, eps)  # (R, C', A)
        v = velocity(some, eps, alpha_bar)

        def error(condition: Tensor, s_t: Tensor = s_t, v: Tensor = v, alpha_bar: Tensor = alpha_bar) -> Tensor:
            estimate = model.estimate(s_t, t, condition)
            return (velocity(*estimate, alpha_bar) - v).square().mean(-1)  # (..., R, C')

        unconditional = error(model.null)
        rows = [
            (unconditional - error(photos[:, None, None, :])).mean(1)  # (B', C')
            for photos in c.split(photos_at_once)
        ]
        columns.append(torch.cat(rows))
    return torch.cat(columns, dim=1)


def evidence_draws(model: RevCD, config: InferenceConfig, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shared times (R, 1), one from each stratum of the band, and noises (R, 1, A) in antithetic pairs."""
    timesteps, draws = model.schedule.timesteps, config.draws
    place = (torch.arange(draws) + 0.5) / draws
    t = config.band_low + (config.band_high - config.band_low) * place
    t = (t * timesteps).round().long().clamp(1, timesteps)
    generator = Generator().manual_seed(0)  # the draws belong to the rule, not to a photo or a run
    half = torch.randn((draws + 1) // 2, model.n_attributes, generator=generator)
    eps = torch.stack([half, -half], dim=1).flatten(0, 1)[:draws]  # neighbours in time share a noise, with both signs
    return t.unsqueeze(-1).to(like.device), eps.unsqueeze(1).to(like)


def calibrated(scores: Tensor, seen: Tensor, gamma: float) -> Tensor:
    """Subtract the seen penalty gamma from the scores of seen classes: calibrated stacking. seen: (C,) bool."""
    return torch.where(seen, scores - gamma, scores)


def rank(scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Return the best `top_k` scores of each row and their classes. scores: (B, C), finite; ties to the lower index."""
    ordered, classes = scores.sort(dim=-1, descending=True, stable=True)
    return ordered[:, :top_k], classes[:, :top_k]
