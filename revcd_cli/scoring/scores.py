"""From a photo's features to a score for every class, and from scores to an answer (paper section 3.6).

Four rules. "cosine" is the paper's: draw semantic vectors and compare each with the class descriptions (Eq. 23-24).
"evidence" reads the same network as a classifier (`core.evidence`). "prototype" compares the photo with the visual
prototypes that the descriptions have (`core.visual_prototypes`). "joint" is the weighted mean of these two, which
estimate the same quantity, log p(s | x) - log p(s), from both sides. Symbols: B photos, C classes, A attributes,
K samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ..config import InferenceConfig
from ..core.inference_cache import condition_part, denoise_pairs, noisy_part
from ..core.model import RevCD
from ..core.objective import Estimate, to_estimate
from ..core.sample import OnStep, ddim_sample, ddpm_sample
from .calibration import score_unit
from .ensemble import Ensemble, members_of
from .evidence import evidence_scores

_PARTS = ("evidence", "prototype", "cosine")  # what `RevCD.units` holds, in this order


@torch.inference_mode()
def class_scores(
    model: RevCD | Ensemble, x: Tensor, prototypes: Tensor, config: InferenceConfig, generators: Sequence[Generator]
) -> Tensor:
    """Score every class for every photo; higher is better. An ensemble has the mean over members that know the rule.

    x: (B, D) raw features; prototypes: (C, A) raw class descriptions; generators: one for each photo, so that its
    answer does not depend on its batch-mates. Returns (B, C).
    """
    if config.rule in ("joint", "auto"):
        return _joint_scores(model, x, prototypes, config, generators)
    members = _able(model, config.rule)
    return sum(_member_scores(member, x, prototypes, config, generators) for member in members) / len(members)


def _joint_scores(
    model: RevCD | Ensemble, x: Tensor, prototypes: Tensor, config: InferenceConfig, generators: Sequence[Generator]
) -> Tensor:
    share = config.prototype_share if _able(model, "prototype") else 0.0
    by_prototypes = by_evidence = x.new_zeros(())
    if share > 0:
        by_prototypes = class_scores(model, x, prototypes, replace(config, rule="prototype"), generators)
    if share < 1:
        evidence = replace(config, rule="evidence")
        if share > 0 and 0 < config.shortlist < len(prototypes):
            by_evidence = _shortlisted_scores(model, x, prototypes, by_prototypes, evidence, generators)
        else:
            by_evidence = class_scores(model, x, prototypes, evidence, generators)
    return (1 - share) * by_evidence + share * by_prototypes


def _shortlisted_scores(
    model: RevCD | Ensemble,
    x: Tensor,
    prototypes: Tensor,
    first: Tensor,
    config: InferenceConfig,
    generators: Sequence[Generator],
) -> Tensor:
    """Score each photo's best `config.shortlist` classes by other scores `first` (B, C), the others as its worst one.

    A class outside is behind each one inside by both scores, so a mixture of the two has them in this order, too.
    """
    rows = []
    for photo, generator, scores in zip(x.split(1), generators, first.split(1), strict=True):
        chosen = rank(scores, config.shortlist)[1][0].sort().values
        of_chosen = class_scores(model, photo, prototypes[chosen], config, [generator])[0]
        rows.append(torch.full_like(scores[0], of_chosen.amin()).index_copy(0, chosen, of_chosen))
    return torch.stack(rows)


def _able(model: RevCD | Ensemble, rule: str) -> list[RevCD]:
    """Return the networks of a model that can score by this rule: not all of them have visual prototypes."""
    return [member for member in members_of(model) if rule != "prototype" or member.visual is not None]


def _member_scores(
    model: RevCD, x: Tensor, prototypes: Tensor, config: InferenceConfig, generators: Sequence[Generator]
) -> Tensor:
    z = model.precondition(prototypes)  # (C, A)
    if config.rule == "prototype":
        scores = model.visual(x, prototypes)
    elif config.rule == "cosine":
        samples = sample_semantics(model, model.encode(x), config, generators)
        if config.space == "attributes":
            samples, z = model.preconditioner.inverse(samples), prototypes
        scores = cosine_scores(samples, z, config.average)
    else:
        scores = evidence_scores(model, model.encode(x), z, config)
    return scores / model.units[_PARTS.index(config.rule)]


@torch.inference_mode()
def fit_units(
    model: RevCD | Ensemble, x: Tensor, prototypes: Tensor, config: InferenceConfig, rules: Sequence[str]
) -> None:
    """Set the units of the scores by these rules to their spread over classes, so that scores of members can be added.

    x: (N, D) features of some training photos; prototypes: (C, A) raw descriptions of the classes that trained.
    """
    for rule in rules:
        for member in _able(model, rule):
            member.units[_PARTS.index(rule)] = 1
            generators = [Generator(x.device).manual_seed(0) for _ in x]
            scores = _member_scores(member, x, prototypes, replace(config, rule=rule), generators)
            member.units[_PARTS.index(rule)] = score_unit(scores)


@torch.inference_mode()
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
    objective = model.config.diffusion.objective
    # Both branches of guidance in one call, whose conditions pass the layers' maps once for all steps.
    branches = [c] if config.guidance_scale == 1 else [c, model.null.expand_as(c)]
    conditions = condition_part(model.denoiser, torch.stack(branches).unsqueeze(2))  # (1 or 2, B, 1, H) each

    def noise() -> Tensor:
        drawn = [torch.randn(shape, generator=generator, device=generator.device) for generator in generators]
        return torch.stack(drawn).to(c)  # (B, K, A)

    def denoise(s_t: Tensor, t: Tensor) -> Estimate:
        output = denoise_pairs(model.denoiser, noisy_part(model.denoiser, s_t, t), conditions)
        alpha_bar = model.schedule.alpha_bar(t, s_t)
        with_photo, *without = (to_estimate(objective, branch, s_t, alpha_bar) for branch in output)
        estimate = with_photo.guided(*without, config.guidance_scale) if without else with_photo
        return estimate.clipped(config.clip, s_t, alpha_bar) if config.clip else estimate

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


def calibrated(scores: Tensor, seen: Tensor, gamma: float) -> Tensor:
    """Subtract the seen penalty gamma from the scores of seen classes: calibrated stacking. seen: (C,) bool."""
    return torch.where(seen, scores - gamma, scores)


def rank(scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Return the best `top_k` scores of each row and their classes. scores: (B, C), finite; ties to the lower index."""
    ordered, classes = scores.sort(dim=-1, descending=True, stable=True)
    return ordered[:, :top_k], classes[:, :top_k]
