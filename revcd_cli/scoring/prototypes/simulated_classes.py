"""Simulated classes: made-up descriptions with a photo each, drawn from the Gaussian process of the visual prototypes.

Photos of C seen classes show C descriptions only. The best estimate of a description is then a weighted mean of these,
and generated descriptions are those of seen classes (docs/method.md, section 9). Every simulated photo has a
description of its own, so a network that is trained on such photos learns p(s | x) under a continuous prior:

    s ~ p(s)      mean photo | s ~ N( m(s), v(s) B )      photo | mean photo ~ N( mean photo, W )

B and W are those of the fitted process, which has seen the training classes only. m and v are those of this process, or
of processes on the same mean photos with other lengths and noises, one drawn for every batch.
Symbols: R drawn rows, N training photos, C seen classes, A attributes, D feature size, P components.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from torch import Tensor

from ...config import PROTOTYPE_GRID, SimulationConfig
from ...core.precision import in_double
from ...core.precondition import roots
from ...core.trainer import ClassBalancedSampler, TrainingRows
from .visual_prototypes import VisualPrototypes

_ROWS_AT_ONCE = 1024
_MIXED = 2, 4  # least and most seen descriptions in a mixture


class SimulatedClasses:
    """Draws photos of made-up classes; all randomness comes from torch's global generator."""

    def __init__(
        self,
        config: SimulationConfig,
        prototypes: VisualPrototypes,
        rows: TrainingRows,
        kinds: Tensor | None = None,
    ) -> None:
        """prototypes: fitted on these rows; kinds: of the classes, as for `VisualPrototypes.fit`."""
        self.config, self.prototypes, self.rows = config, prototypes, rows
        self.processes = [prototypes]
        if config.process == "drawn":
            grid = itertools.product(PROTOTYPE_GRID["length"], PROTOTYPE_GRID["noise"])
            settings = [replace(prototypes.config, length=length, noise=noise) for length, noise in grid]
            self.processes = [prototypes.with_kernel(each, rows.prototypes, kinds) for each in settings]
        # From components back to roots of features; the components are not orthonormal.
        self.from_components = torch.linalg.pinv(in_double(prototypes.to_components)).to(prototypes.to_components)
        self.components = torch.cat([prototypes.photo_components(part) for part in rows.features.split(_ROWS_AT_ONCE)])
        self.sampler = ClassBalancedSampler(rows.labels)
        self.covariance_root = _covariance_root(rows.prototypes, config.shrinkage)  # (A, A)

    @torch.no_grad()
    def draw(self, rows: int, photos: int = 1) -> tuple[Tensor, Tensor]:
        """Return features (R n, D) and raw descriptions (R, A) of R = `rows` simulated classes.

        photos: n, of each class, one after the other.
        """
        s = self.descriptions(rows)
        means, variances = self._process().posterior(s)  # (R, P)
        means = (means + variances.sqrt() * torch.randn_like(means)).repeat_interleave(photos, dim=0)
        return self.features(means + torch.randn_like(means), self.sampler.draw(len(means))), s

    def _process(self) -> VisualPrototypes:
        """Return the fitted process, or draw one of several. The fitted one takes no random number."""
        if len(self.processes) == 1:
            return self.prototypes
        return self.processes[int(torch.randint(len(self.processes), ()))]

    def descriptions(self, rows: int) -> Tensor:
        """Return descriptions of the configured kind: (R, A)."""
        return self._gaussian(rows) if self.config.kind == "gaussian" else self._mixtures(rows)

    def features(self, photos: Tensor, others: Tensor) -> Tensor:
        """Return features (R, D) that have the components `photos` (R, P).

        others: (R,) numbers of training photos. What the components do not contain is taken from these: the rest of
        the roots, the length of the features, and the differences between spatial tokens.
        """
        tokens = self.rows.features[others].unflatten(-1, (self.prototypes.n_tokens, -1))  # (R, N, C)
        pooled = tokens.mean(-2)
        simulated = roots(pooled) + (photos - self.components[others]) @ self.from_components
        # `roots` takes square roots and scales them to unit length; both are undone.
        simulated = simulated * simulated.abs() * pooled.abs().sum(-1, keepdim=True)
        features: Tensor = (tokens + (simulated - pooled).unsqueeze(-2)).flatten(-2)
        return features

    def _gaussian(self, rows: int) -> Tensor:
        """Draw from a Gaussian with mean and covariance, shrunk, of the seen descriptions."""
        s = self.rows.prototypes
        return s.mean(0) + torch.randn(rows, s.shape[1], device=s.device, dtype=s.dtype) @ self.covariance_root

    def _mixtures(self, rows: int) -> Tensor:
        """Draw convex combinations of a few seen descriptions, with weights uniform on the simplex."""
        s, (least, most) = self.rows.prototypes, _MIXED
        most = min(most, len(s))
        count = torch.randint(min(least, most), most + 1, (rows, 1), device=s.device)
        chosen = torch.rand(rows, len(s), device=s.device).topk(most).indices  # (R, most)
        weights = torch.empty(rows, most, device=s.device, dtype=s.dtype).exponential_()
        weights = weights * (torch.arange(most, device=s.device) < count)
        return ((weights / weights.sum(1, keepdim=True)).unsqueeze(-1) * s[chosen]).sum(1)


def _covariance_root(s: Tensor, shrinkage: float) -> Tensor:
    """Return the square root of the covariance of descriptions s (C, A), shrunk towards its diagonal: (A, A)."""
    centred = in_double(s) - in_double(s).mean(0)
    covariance = centred.T @ centred / len(s)
    values, vectors = torch.linalg.eigh(torch.lerp(covariance, covariance.diagonal().diag(), shrinkage))
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root.to(s)
