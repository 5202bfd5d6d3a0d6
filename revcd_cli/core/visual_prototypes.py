"""Visual prototypes: a network from a class's description to the direction in which the features of its photos point.

Its hidden units are standardised over the classes (Skorokhodov & Elhoseiny, "Class Normalization for (Continual)?
Generalized Zero-Shot Learning", ICLR 2021), which keeps prototypes of classes without photos as long as the others.
Trained to tell the seen classes apart, its logit approaches log p(x | s) - log p(x): the same quantity as the evidence
of the diffusion, estimated from the other side. Symbols: B photos, C classes, A attributes, D feature size, H width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import PrototypeConfig

_EPSILON = 1e-5


class ClassStandardisation(nn.Module):
    """(h - mean) / std over the classes of a batch; at inference over what training saw, in a running average."""

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, h: Tensor) -> Tensor:
        """h: (C, H), a row a class. Returns (C, H)."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = h.mean(0), h.var(0, correction=min(1, len(h) - 1))
            self.mean.lerp_(mean.detach(), self.momentum)
            self.variance.lerp_(variance.detach(), self.momentum)
        return (h - mean) * (variance + _EPSILON).rsqrt()


class ClassNormNetwork(nn.Sequential):
    """Descriptions (C, A) to visual prototypes (C, D)."""

    def __init__(self, n_attributes: int, width: int, feature_dim: int) -> None:
        last = nn.Linear(width, feature_dim)
        # The paper's: prototypes keep the variance of what enters when the last layer's is 1 / (H D).
        bound = (3 / (width * feature_dim)) ** 0.5
        nn.init.uniform_(last.weight, -bound, bound)
        super().__init__(
            nn.Linear(n_attributes, width),
            nn.ReLU(),
            nn.Linear(width, width),
            ClassStandardisation(width),
            nn.ReLU(),
            ClassStandardisation(width),
            last,
        )


class VisualPrototypes(nn.Module):
    """Logits of photos for classes: scale^2 times the cosine between a photo's features and a class's prototype.

    Features that are never negative (after a ReLU, pooled) are taken as they are, and the prototypes rectified;
    others are standardised. n_tokens: spatial tokens a row of features is, whose mean is taken.
    """

    shift: Tensor
    gain: Tensor
    floor: Tensor

    def __init__(self, config: PrototypeConfig, feature_dim: int, n_attributes: int, n_tokens: int = 1) -> None:
        super().__init__()
        self.config, self.n_tokens = config, n_tokens
        channels = feature_dim // n_tokens
        self.network = ClassNormNetwork(n_attributes, config.width, channels)
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("gain", torch.ones(channels))
        self.register_buffer("floor", torch.zeros(()))  # of a prototype's values: 0, or minus infinity

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Look at training features (N, D): have they negative values?"""
        features = self._pooled(features)
        if (features >= 0).all():
            return
        spread = features.std(0, correction=0)
        self.shift.copy_(features.mean(0))
        self.gain.copy_(torch.where(spread > 1e-6 * spread.max(), spread.reciprocal(), 0.0))
        self.floor.fill_(torch.finfo(self.floor.dtype).min)  # finite, as everything in a model file is

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """x: (B, D) raw features; s: (C, A) raw descriptions, whose length does not count. Returns (B, C)."""
        x = (self._pooled(x) - self.shift) * self.gain
        prototypes = self.network(F.normalize(s, dim=-1)).maximum(self.floor)
        return self.config.scale**2 * F.normalize(x, dim=-1) @ F.normalize(prototypes, dim=-1).T

    def _pooled(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_tokens, -1)).mean(-2)
