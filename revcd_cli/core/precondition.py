"""Affine maps at the two doors of the network: semantic vectors (paper section 3.3.4) and image features."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
        """Fit on prototypes (C, A) by "standardise", "whiten" (with shrinkage towards a round covariance) or "none"."""
        s = prototypes.double()
        n_attributes = s.shape[1]
        mean = torch.zeros_like(s[0]) if kind == "none" else s.mean(0)
        centred = s - mean
        spread = centred.pow(2).mean(0).sqrt()
        if kind == "none" or not spread.any():  # all prototypes alike: there is nothing to scale by
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
    """x' = (x - shift) * gain per feature, or x / ||x||: fitted on training rows only.

    A row of n_tokens tokens, one after the other, has one shift and gain per channel C = D / n_tokens, which all
    tokens share: what a channel means does not depend on the place in the photo.
    """

    shift: Tensor
    gain: Tensor

    def __init__(self, feature_dim: int, kind: str, n_tokens: int = 1) -> None:
        super().__init__()
        self.kind, self.n_tokens = kind, n_tokens
        self.register_buffer("shift", torch.zeros(feature_dim // n_tokens))
        self.register_buffer("gain", torch.ones(feature_dim // n_tokens))

    @torch.no_grad()
    def fit(self, features: Tensor) -> FeatureScaler:
        """Fit on features (N, D); a feature that never varies is left at zero."""
        features = features.reshape(-1, len(self.shift))  # (N * n_tokens, C)
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

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, D) features. Returns (B, D)."""
        if self.kind == "l2":
            return nn.functional.normalize(x, dim=-1) * x.shape[-1] ** 0.5  # unit mean square, as "standard" has
        return ((x.unflatten(-1, (self.n_tokens, -1)) - self.shift) * self.gain).flatten(-2)
