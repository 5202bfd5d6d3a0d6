"""The attributes that a photo shows, as the diffusion draws them: the model's own account of what it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..config import InferenceConfig
from ..core.sample import sample_semantics
from .model import ZeroShotModel

_STEPS = 20  # of DDIM: fewer blur the samples into their mean, more change them hardly


class DrawnAttributes(NamedTuple):
    """Mean and standard deviation over samples of p(s | x), in the class table's own values: (B, A) each."""

    mean: Tensor
    spread: Tensor


@torch.inference_mode()
def drawn_attributes(
    model: ZeroShotModel, x: Tensor, config: InferenceConfig, generators: Sequence[Generator]
) -> DrawnAttributes:
    """Draw `config.samples` descriptions for each photo from every network of the model, by unguided DDIM.

    x: (B, D) raw features; generators: one for each photo. Descriptions that were brought to one length before
    training come back at that length, which is the seen classes' usual one.
    """
    steps = min(_STEPS, model.config.diffusion.timesteps)
    settings = replace(config, steps=steps, sampler="ddim", eta=0.0, guidance_scale=1.0)
    drawn = [
        network.preconditioner.inverse(sample_semantics(network, network.encode(x), settings, generators))
        for network in model.networks
    ]
    samples = torch.cat(drawn, dim=1)  # (B, M K, A)
    return DrawnAttributes(samples.mean(1), samples.std(1, correction=0))


def attribute_reliability(drawn: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    """Return for each attribute how well what is drawn from photos follows the descriptions of their classes: (A,).

    The correlation over classes between an attribute's value and its mean over the class's photos, each class counting
    once; NaN where either does not vary. It says something about new classes if none of these was trained on.
    drawn: (N, A) means of `drawn_attributes`; labels: (N,) rows of prototypes (C, A), raw.
    """
    classes, group = labels.unique(return_inverse=True)
    sums = torch.zeros(len(classes), drawn.shape[1], dtype=torch.double).index_add_(0, group, drawn.double())
    of_photos = sums / group.bincount().unsqueeze(1)
    of_table = prototypes[classes].double()
    a, b = of_photos - of_photos.mean(0), of_table - of_table.mean(0)
    scale = (a.square().sum(0) * b.square().sum(0)).sqrt()
    return torch.where(scale > 1e-12, (a * b).sum(0) / scale, torch.nan)
