"""The evidence rule: the diffusion network as a classifier.

The score of a class is how much the photo lowers the error of denoising the class's description. Symbols: B photos,
C classes, A attributes, R draws, W condition width.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ..config import InferenceConfig
from ..core.inference_cache import condition_part, denoise_pairs, noisy_part
from ..core.model import RevCD
from ..core.objective import velocity_error

# Largest number of floats in one hidden activation. On the CPU 4 MiB, so that the few that a layer needs fit in the
# cache; elsewhere 64 MiB, so that the launch of a kernel takes a small share of its time.
_ACTIVATION_FLOATS = {"cpu": 1 << 20}
_ACTIVATION_FLOATS_ELSEWHERE = 1 << 24


@torch.inference_mode()
def evidence_scores(model: RevCD, c: Tensor, z: Tensor, config: InferenceConfig) -> Tensor:
    """Return an estimate of log p(s_c | x) - log p(s_c), up to scale, for every class.

    For draws (t, eps) that all photos and classes share, t stratified over the band, the score is the mean of
    ||v_null - v||^2 - ||v_c - v||^2: the denoising error without the photo minus the error with it. The first term
    is the error that a description has for any photo; it is larger for unseen classes, which would lose without it.
    c: (B, W); z: (C, A) preconditioned. Returns (B, C).
    """
    t, eps = evidence_draws(model, config, z)  # (R, 1), (R, 1, A)
    floats = _ACTIVATION_FLOATS.get(z.device.type, _ACTIVATION_FLOATS_ELSEWHERE)
    pairs_at_once = floats // (len(t) * model.config.denoiser.width)
    classes_at_once = max(1, min(len(z), pairs_at_once))
    photos_at_once = max(1, pairs_at_once // classes_at_once)
    # The condition "no photo" is the first row, computed once for each class and draw.
    rows = condition_part(model.denoiser, torch.cat([model.null[None], c])[:, None, None])  # (1+B, 1, 1, H) each
    columns = []
    for clean in z.split(classes_at_once):  # (C', A)
        alpha_bar = model.schedule.alpha_bar(t, clean)  # (R, 1, 1)
        noisy = noisy_part(model.denoiser, model.schedule.q_sample(clean, t, eps), t)  # (R, C', H)
        errors = []
        for photos in zip(*(part.split(photos_at_once) for part in rows), strict=True):
            output = denoise_pairs(model.denoiser, noisy, list(photos))  # (B', R, C', A)
            objective = model.config.diffusion.objective
            errors.append(velocity_error(objective, output, clean, eps, alpha_bar, config.head).mean(1))
        error = torch.cat(errors)  # (1+B, C')
        columns.append(error[0] - error[1:])
    return torch.cat(columns, dim=1)


def evidence_draws(model: RevCD, config: InferenceConfig, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shared times (R, 1), one from each stratum of the band, and noises (R, 1, A) in antithetic pairs."""
    timesteps, draws = model.schedule.timesteps, config.draws
    place = (torch.arange(draws) + 0.5) / draws
    t = config.band_low + (config.band_high - config.band_low) * place
    t = (t * timesteps).round().long().clamp(1, timesteps)
    generator = Generator().manual_seed(0)  # the same draws for every photo and every run
    half = torch.randn((draws + 1) // 2, model.n_attributes, generator=generator)
    # Two neighbouring times share one noise, with both signs.
    eps = torch.stack([half, -half], dim=1).flatten(0, 1)[:draws]
    return t.unsqueeze(-1).to(like.device), eps.unsqueeze(1).to(like)
