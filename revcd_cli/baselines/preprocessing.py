"""Preprocessing shared by the baselines, and regularised least squares in double precision, on the CPU.

Symbols: N rows, D feature size, C seen classes, A attributes, B photos to score, K candidate classes.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.precondition import FeatureScaler, Preconditioner, roots
from ..core.trainer import TrainingRows

GridSetting = dict[str, Any]  # one point of a baseline's grid: plain JSON values
Scorer = Callable[[Tensor, Tensor], Tensor]  # features (B, D), raw descriptions (K, A) -> scores (B, K)

Scale = Callable[[Tensor], Tensor]  # features (B, D) -> scaled ones (B, D), in double
Describe = Callable[[Tensor], Tensor]  # raw descriptions (K, A) -> preprocessed ones (K, A)
Compare = Callable[[Tensor, Tensor], Tensor]  # rows (B, d) and (K, d) -> scores (B, K)

_REMEMBERED = 24  # tensors of photos; at 1,024 photos of 2,048 features each they take 400 MB
# Preprocessing of descriptions: an affine map fitted on the seen classes ("raw": none), then scaling to unit length.
DESCRIPTIONS = ("standardise", "raw", "whiten", "whiten slightly")
# Kind and shrinkage of `Preconditioner`; the shrinkage is that of the covariance that "whiten" inverts.
_AFFINE = {"standardise": ("standardise", 0.0), "whiten": ("whiten", 0.3), "whiten slightly": ("whiten", 0.9)}


class Remembered:
    """A map of photos (B, D) that keeps its results for the last tensors, for settings that share it.

    Tensors are told apart by identity, so they must not be changed in place.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function
        self.results: deque[tuple[Tensor, Tensor]] = deque(maxlen=_REMEMBERED)

    def __call__(self, x: Tensor) -> Tensor:
        for known, result in self.results:
            if known is x:
                return result
        self.results.append((x, self.function(x)))
        return self.results[-1][1]


def scale_features(features: Tensor, kind: str) -> tuple[Scale, Tensor]:
    """Fit a scaling on training features (N, D). Returns it, with the scaled features in double.

    kind: one of `FeatureScaler`, or two whose scaled features have a mean square of 1, like "standard" and "l2": "raw"
    divides all features by one number, "roots" takes signed square roots of one length.
    """
    features = features.double()
    if kind == "raw":
        size = features.square().mean().sqrt().clamp(min=1e-300)
        return Remembered(lambda x: x.double() / size), features / size
    if kind == "roots":
        length = features.shape[1] ** 0.5
        return Remembered(lambda x: length * roots(x.double())), length * roots(features)
    scaler = FeatureScaler(features.shape[1], kind).double().fit(features)
    return Remembered(lambda x: scaler(x.double())), scaler(features)


def seen_positions(prototypes: Tensor, rows: TrainingRows) -> Tensor:
    """Return for each candidate the training class with the same raw description and with photos, -1 for none.

    prototypes: (K, A). A scorer knows its candidates by their descriptions alone. Of training classes with equal
    descriptions the first counts. Returns (K,).
    """
    photos = torch.bincount(rows.labels, minlength=len(rows.prototypes)) > 0
    equal = (prototypes.unsqueeze(1) == rows.prototypes).all(2) & photos  # (K, C)
    return torch.where(equal.any(1), equal.int().argmax(1), -1)


def describe_by(prototypes: Tensor, kind: str) -> Describe:
    """Fit the preprocessing `kind`, one of `DESCRIPTIONS`, on the seen classes' raw prototypes (C, A).

    Returns the map from raw descriptions (K, A) to unit length, in double precision.
    """
    if kind == "raw":
        return lambda s: F.normalize(s.double(), dim=-1)
    affine = Preconditioner(prototypes.shape[1]).double().fit(prototypes, *_AFFINE[kind])
    return lambda s: F.normalize(affine(s.double()), dim=-1)


def describe_each(prototypes: Tensor, settings: Sequence[GridSetting]) -> dict[str, Describe]:
    """Return `describe_by` of each preprocessing that occurs in the settings, by its name."""
    return {kind: describe_by(prototypes, kind) for kind in dict.fromkeys(s["descriptions"] for s in settings)}


class LeastSquares:
    """(X^T X + a I)^-1 X^T Q for several a and Q, through the smaller of X^T X (D, D) and X X^T (N, N)."""

    def __init__(self, x: Tensor) -> None:
        self.x = x  # (N, D), double
        self.dual = x.shape[0] < x.shape[1]
        self.gram = x @ x.T if self.dual else x.T @ x

    def solve(self, q: Tensor, shift: float) -> Tensor:
        """Return the solution for targets q (N, k) and one a > 0, by a Cholesky factorisation: (D, k)."""
        shifted = self.gram.clone()
        shifted.diagonal().add_(shift)
        factor = torch.linalg.cholesky(shifted)
        if self.dual:
            return self.x.T @ torch.cholesky_solve(q, factor)
        return torch.cholesky_solve(self.x.T @ q, factor)

    def solve_each(self, q: Tensor, shifts: Tensor) -> Tensor:
        """Return the solution for each column of q (N, k) with its own a, shifts (k,): (D, k).

        Uses the eigenvectors of the Gram matrix, which are computed once.
        """
        values, vectors = self.spectrum
        damped = 1 / (values.clamp(min=0).unsqueeze(1) + shifts)  # (r, k)
        if self.dual:
            return self.x.T @ (vectors @ (damped * (vectors.T @ q)))
        return vectors @ (damped * (vectors.T @ (self.x.T @ q)))

    @functools.cached_property
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (r,) and eigenvectors (r, r) of the Gram matrix."""
        return torch.linalg.eigh(self.gram)


def class_shares(labels: Tensor, n_classes: int) -> Tensor:
    """Return weights of rows (N,) that give every class the same total weight; their sum is 1."""
    return 1 / (torch.bincount(labels, minlength=n_classes).double()[labels] * len(labels.unique()))


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of each row of a (B, d) with each of b (K, d). Returns (B, K)."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T
