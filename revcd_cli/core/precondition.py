"""Affine preprocessing of class descriptions (paper section 3.3.4) and of image features.

Symbols: A attributes, C classes, N photos, D feature size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .precision import in_double

_ROWS_AT_ONCE = 1024


class Preconditioner(nn.Module):
    """z = gain * W (s - mean): brings class descriptions close to a zero-mean, unit-variance Gaussian.

    Fitted on the descriptions of the seen classes, one row a class, never on photos: classes with many photos would
    dominate. Over these descriptions E||z||^2 / A = 1, which the noise schedule assumes.
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
        """Fit on descriptions (C, A), in double precision.

        kind: "standardise" divides each attribute by its standard deviation, "whiten" inverts the square root of the
        covariance, which `shrinkage` moves towards a multiple of the identity, "centre" subtracts the mean only.
        """
        s = in_double(prototypes)
        n_attributes = s.shape[1]
        mean = s.mean(0)
        centred = s - mean
        spread = centred.pow(2).mean(0).sqrt()
        if kind == "centre" or not spread.any():  # without any spread there is nothing to scale by
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
            # An attribute that all seen classes share may differ for an unseen class. Divided by its own spread, zero,
            # it would outweigh all others, so it is divided by their typical spread.
            varies = spread > 1e-6 * spread.max()
            spread = torch.where(varies, spread, spread[varies].pow(2).mean().sqrt())
            forward_map, inverse_map = spread.reciprocal().diag(), spread.diag()
        power = (centred @ forward_map.T).pow(2).mean()
        gain = power.rsqrt() if power > 0 else torch.ones_like(power)
        self.mean.copy_(mean)
        self.forward_map.copy_(gain * forward_map)
        self.inverse_map.copy_(inverse_map / gain)
        return self

    def forward(self, s: Tensor) -> Tensor:
        """Map descriptions (..., A) into the space of the diffusion."""
        return (s - self.mean) @ self.forward_map.T

    def inverse(self, z: Tensor) -> Tensor:
        """Map back to attribute values (..., A)."""
        return z @ self.inverse_map.T + self.mean


class FeatureScaler(nn.Module):
    """Scales image features by a map that is fitted on training photos only.

    "standard" (z-score) and "minmax" give x' = (x - shift) * gain per feature, "l2" gives x / ||x||. "classes" projects
    the square roots of the features on the directions in which the class means differ: what varies only within classes
    is not in the descriptions, and the network would overfit to it. With n_tokens tokens in a row, one after the other,
    shift, gain and basis belong to the C = D / n_tokens channels, and all tokens share them.
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
        """Fit on features (N, D), and labels (N,) from 0 for "classes". A feature that never varies is scaled to 0."""
        features = features.reshape(-1, len(self.shift))  # (N * n_tokens, C)
        if self.kind == "classes":
            if labels is None:
                raise ValueError('scaling by "classes" needs labels')
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
        means = class_means(x, labels.to(x.device), int(labels.max()) + 1)  # (C, D)
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
            return nn.functional.normalize(x, dim=-1) * float(x.shape[-1] ** 0.5)  # unit mean square, like "standard"
        x = x.unflatten(-1, (self.n_tokens, -1))  # (B, N, C)
        if self.kind == "classes":
            projected: Tensor = (roots(x) - self.shift) @ self.basis
            return projected.flatten(-2)
        scaled: Tensor = (x - self.shift) * self.gain
        return scaled.flatten(-2)


def roots(x: Tensor) -> Tensor:
    """Return signed square roots, scaled to unit length (..., D), in which a few large features dominate less."""
    return nn.functional.normalize(x.sign() * x.abs().sqrt(), dim=-1)


def roots_in_double(x: Tensor) -> Tensor:
    """Return `roots` of rows (N, D) in float64, see `in_double`; in parts, as each step makes a copy."""
    result = torch.empty_like(x, dtype=torch.float64, device=in_double(x[:0]).device)
    for part, roots_of_part in zip(x.split(_ROWS_AT_ONCE), result.split(_ROWS_AT_ONCE), strict=True):
        roots_of_part.copy_(roots(in_double(part)))
    return result


def class_means(x: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Return the mean row of each class; zeros for a class without rows. x: (N, D); labels: (N,). Returns (C, D)."""
    members = nn.functional.one_hot(labels, n_classes).to(x)  # (N, C)
    return (members.T @ x) / members.sum(0).clamp(min=1).unsqueeze(1)
