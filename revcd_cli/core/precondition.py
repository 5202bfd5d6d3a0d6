"""Affine maps at the two doors of the network: semantic vectors (paper section 3.3.4) and image features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_ROWS_AT_ONCE = 1024


class Preconditioner(nn.Module):
    """z = gain * W (s - mean): class descriptions brought near to a zero-mean, unit-variance Gaussian.

    Fitted on the prototypes of the seen classes, one row a class, never on images (classes with many photos would
    dominate). E||z||^2 / A = 1 over the prototypes it was fitted on, which the noise schedule assumes.
    """

    mean: Tensor
    forward_map: Tensor
    inverse_map: Tensor

    def __init__(self, n_attributes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_attributes))
        self.register_buffer("forward_map", torch.eye(n_attributes))
        self.register_buffer("inverse_map", torch.eye(n_attributes))

    @torch.no_grad()
    def fit(self, prototypes: Tensor, kind: str, shrinkage: float) -> Preconditioner:
        """Fit on prototypes (C, A) by "standardise", "whiten" (shrunk towards a round covariance), "centre" or "none".

        "centre" moves the mean alone, so that attributes keep their own scales.
        """
        s = prototypes.double()
        n_attributes = s.shape[1]
        mean = torch.zeros_like(s[0]) if kind == "none" else s.mean(0)
        centred = s - mean
        spread = centred.pow(2).mean(0).sqrt()
        if kind in ("centre", "none") or not spread.any():  # or all are alike: there is nothing to scale by
            forward_map = inverse_map = torch.eye(n_attributes, dtype=s.dtype, device=s.device)
        elif kind == "whiten":
            covariance = centred.T @ centred / len(s)
            round_part = covariance.diagonal().mean() * torch.eye(n_attributes, dtype=s.dtype, device=s.device)
            # With fewer classes than attributes the covariance is singular; some shrinkage is always needed.
            alpha = max(shrinkage, 1e-3)
            values, vectors = torch.linalg.eigh((1 - alpha) * covariance + alpha * round_part)
            forward_map = (vectors * values.rsqrt()) @ vectors.T
            inverse_map = (vectors * values.sqrt()) @ vectors.T
        else:
            # An attribute that all seen classes share says nothing of them, but may of an unseen class. It is scaled
            # like the others are on the whole: by its own spread of zero it would outweigh them all.
            varies = spread > 1e-6 * spread.max()
            spread = torch.where(varies, spread, spread[varies].pow(2).mean().sqrt())
            forward_map, inverse_map = spread.reciprocal().diag(), spread.diag()
        power = (centred @ forward_map.T).pow(2).mean()
        gain = power.rsqrt() if power > 0 else torch.ones_like(power)  # all prototypes alike: nothing to scale
        self.mean.copy_(mean)
        self.forward_map.copy_(gain * forward_map)
        self.inverse_map.copy_(inverse_map / gain)
        return self

    def forward(self, s: Tensor) -> Tensor:
        """Map semantic vectors (..., A) into the diffusion's space."""
        return (s - self.mean) @ self.forward_map.T

    def inverse(self, z: Tensor) -> Tensor:
        """Map back to attribute values (..., A)."""
        return z @ self.inverse_map.T + self.mean


class FeatureScaler(nn.Module):
    """x' = (x - shift) * gain per feature, x / ||x||, or what tells classes apart: fitted on training rows only.

    "classes" keeps, of the roots of the features, the directions in which the mean photos of the classes differ. What
    varies within classes alone is nothing that descriptions could speak of, and a network would learn it by heart.
    A row of n_tokens tokens, one after the other, has one shift and gain per channel C = D / n_tokens, which all
    tokens share: what a channel means does not depend on the place in the photo.
    """

    shift: Tensor
    gain: Tensor
    basis: Tensor

    def __init__(self, feature_dim: int, kind: str, n_tokens: int = 1, n_classes: int = 0) -> None:
        super().__init__()
        self.kind, self.n_tokens = kind, n_tokens
        channels = feature_dim // n_tokens
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("gain", torch.ones(channels))
        if kind == "classes":
            self.register_buffer("basis", torch.zeros(channels, max(1, min(n_classes - 1, channels))))

    @property
    def width(self) -> int:
        """The length of a scaled row."""
        return self.n_tokens * (self.basis.shape[1] if self.kind == "classes" else len(self.shift))

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor | None = None) -> FeatureScaler:
        """Fit on features (N, D), "classes" with labels (N,) from 0 on; a feature that never varies is left at zero."""
        features = features.reshape(-1, len(self.shift))  # (N * n_tokens, C)
        if self.kind == "classes":
            self._fit_basis(roots_in_double(features), labels.repeat_interleave(self.n_tokens))
            return self
        if self.kind == "standard":
            shift, scale = features.mean(0), features.std(0, correction=0)
        elif self.kind == "minmax":
            shift = features.amin(0)
            scale = features.amax(0) - shift
        else:
            return self
        self.shift.copy_(shift)
        varies = scale > 1e-6 * scale.max().clamp(min=1e-12)
        self.gain.copy_(torch.where(varies, scale.reciprocal(), 0.0))
        return self

    def _fit_basis(self, x: Tensor, labels: Tensor) -> None:
        means = class_means(x, labels, int(labels.max()) + 1)  # (C, D)
        shift = means.mean(0)
        self.shift.copy_(shift)
        width = self.basis.shape[1]
        basis = torch.linalg.svd(means - shift, full_matrices=False).Vh[:width].T  # (D, <= width)
        power = (x.sub_(shift) @ basis).square().mean()
        apart = (means - shift).square().sum() > 1e-24  # else there is no direction
        gain = power.rsqrt() if apart else torch.zeros_like(power)
        self.basis.copy_(nn.functional.pad(gain * basis, (0, width - basis.shape[1])))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, D) features. Returns (B, width)."""
        if self.kind == "l2":
            return nn.functional.normalize(x, dim=-1) * x.shape[-1] ** 0.5  # unit mean square, as "standard" has
        x = x.unflatten(-1, (self.n_tokens, -1))
        if self.kind == "classes":
            return ((roots(x) - self.shift) @ self.basis).flatten(-2)
        return ((x - self.shift) * self.gain).flatten(-2)


def roots(x: Tensor) -> Tensor:
    """Return square roots with their signs, at length 1 (..., D): few large features weigh less than they would."""
    return nn.functional.normalize(x.sign() * x.abs().sqrt(), dim=-1)


def roots_in_double(x: Tensor) -> Tensor:
    """Return the roots of many rows (N, D) in float64, a part at a time: each step of `roots` makes a copy of it."""
    result = torch.empty_like(x, dtype=torch.float64)
    for part, roots_of_part in zip(x.split(_ROWS_AT_ONCE), result.split(_ROWS_AT_ONCE), strict=True):
        roots_of_part.copy_(roots(part.double()))
    return result


def class_means(x: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Return the mean row of each class; zeros for a class without rows. x: (N, D); labels: (N,). Returns (C, D)."""
    members = nn.functional.one_hot(labels, n_classes).to(x)  # (N, C)
    return (members.T @ x) / members.sum(0).clamp(min=1).unsqueeze(1)
