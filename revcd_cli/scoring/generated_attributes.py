"""Attribute values that the diffusion generates from a photo, which explain an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..config import InferenceConfig
from ..core.sample import sample_semantics
from .model import ZeroShotModel

_STEPS = 20  # of DDIM: with fewer, samples shrink towards their mean; more change little
_CLIP = 10.0  # of the chain for an "eps" head, if none is set; preconditioned values lie within this bound


class AttributeStatistics(NamedTuple):
    """Mean and standard deviation over samples of p(s | x), in the class table's own values: (B, A) each."""

    mean: Tensor
    spread: Tensor


@torch.inference_mode()
def generated_attributes(
    model: ZeroShotModel, x: Tensor, config: InferenceConfig, generators: Sequence[Generator]
) -> AttributeStatistics:
    """Draw `config.samples` descriptions for each photo from every network of the model, without guidance.

    By DDIM; for the objective "eps", whose error DDIM amplifies, by the full chain. Of two heads the clean one is used.
    x: (B, D) raw features; generators: one for each photo. If training scaled all descriptions to one length, the
    samples have about that length, the typical one of the seen classes.
    """
    steps = min(_STEPS, model.config.diffusion.timesteps)
    settings = replace(config, steps=steps, sampler="ddim", eta=0.0, guidance_scale=1.0, head="x0")
    if model.config.diffusion.objective == "eps":
        settings = replace(settings, sampler="ddpm", clip=config.clip or _CLIP)
    drawn = [
        network.preconditioner.inverse(sample_semantics(network, network.encode(x), settings, generators))
        for network in model.networks
    ]
    samples = torch.cat(drawn, dim=1)  # (B, M K, A)
    return AttributeStatistics(samples.mean(1), samples.std(1, correction=0))


def attribute_reliability(drawn: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    """Return the correlation of drawn and described values over classes, for each attribute: (A,).

    The drawn value of a class is the mean over its photos; NaN where either does not vary. The correlation tells how
    reliable an attribute is for new classes if none of these classes was trained on.
    drawn: (N, A) means of `generated_attributes`; labels: (N,) rows of prototypes (C, A), raw.
    """
    classes, group = labels.unique(return_inverse=True)
    sums = torch.zeros(len(classes), drawn.shape[1], dtype=torch.double).index_add_(0, group, drawn.double())
    of_photos = sums / group.bincount().unsqueeze(1)
    of_table = prototypes[classes].double()
    a, b = of_photos - of_photos.mean(0), of_table - of_table.mean(0)
    scale = (a.square().sum(0) * b.square().sum(0)).sqrt()
    return torch.where(scale > 1e-12, (a * b).sum(0) / scale, torch.nan)
