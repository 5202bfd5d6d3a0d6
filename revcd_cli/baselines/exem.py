"""EXEM: predict the mean photo of a class, its visual exemplar, from the description by kernel regression.

Changpinyo, Chao & Sha, "Predicting Visual Exemplars of Unseen Classes for Zero-Shot Learning", ICCV 2017
(arXiv 1605.08151), section 3. Deviations: kernel ridge regression in place of a support vector regression for each
dimension (both are regularised regressions with an RBF kernel; ridge has a closed form for all dimensions at once), and
exemplars are centred, in place of an intercept. As published, PCA keeps at most 500 dimensions, and a photo goes to the
nearest exemplar by the Euclidean distance (1NN) or by one that is standardised by the spread within classes (1NNs).
Symbols: B photos, C seen classes, K candidates, A attributes, D feature size, P principal components.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..core.precondition import class_means
from ..core.trainer import TrainingRows
from .preprocessing import (
    DESCRIPTIONS,
    Describe,
    GridSetting,
    Remembered,
    Scorer,
    describe_each,
    scale_features,
)

COMPONENTS = 500  # of PCA, as published

EXEM_GRID: tuple[GridSetting, ...] = tuple(
    {
        "features": features,
        "descriptions": descriptions,
        "distance": distance,
        "kernel length": length,
        "shrink": shrink,
    }
    for features, descriptions, distance, length, shrink in product(
        ("l2", "roots"),
        DESCRIPTIONS,
        ("standardised", "euclidean"),
        (1.0, 2.0, 0.5, 4.0),
        (0.1, 0.01, 0.5),
    )
)


@dataclass(frozen=True, eq=False)
class Exemplars:
    """The mean photos of the training classes that have photos, in principal components.

    axes: (D, P) directions of PCA; means: (C', P) of the classes `classes` (C',); spread: (P,) standard deviations
    within classes, averaged over classes.
    """

    axes: Tensor
    means: Tensor
    classes: Tensor
    spread: Tensor


def find_exemplars(x: Tensor, labels: Tensor, n_classes: int) -> Exemplars:
    """Fit PCA on scaled photos x (N, D) and return the exemplars of the classes. labels: (N,)."""
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    kept = min(COMPONENTS, int((values > 1e-10 * values[-1]).sum()))
    axes = vectors[:, len(values) - kept :].flip(1)  # (D, P), by decreasing variance
    classes, inverse, counts = labels.unique(return_inverse=True, return_counts=True)
    projected = x @ axes
    means = class_means(projected, inverse, len(classes))
    residuals = (projected - means[inverse]).square()
    variances = class_means(residuals, inverse, len(classes))  # (C', P)
    spread = variances[counts > 1].sqrt().mean(0) if (counts > 1).any() else projected.std(0, correction=0)
    return Exemplars(axes, means, classes, spread.clamp(min=1e-6 * float(spread.max().clamp(min=1e-12))))


def rbf_kernel(a: Tensor, b: Tensor, length: float) -> Tensor:
    """Return exp(-||a_i - b_j||^2 / (2 length^2)). a: (K, A); b: (C, A). Returns (K, C)."""
    return (-torch.cdist(a, b).square() / (2 * length**2)).exp()


def exem(rows: TrainingRows, settings: Sequence[GridSetting], seed: int = 0) -> Iterator[Scorer]:
    """Yield scorers: minus the squared distance between a photo and the exemplars, up to a number for each photo.

    "kernel length" is a multiple of the root mean square distance between descriptions of training
    classes, "shrink" the ridge on the kernel matrix. Training classes are represented by the exemplar that is predicted
    from their description, like unseen ones: with their mean photo instead, H is lower in validation.
    """

    @functools.lru_cache(1)
    def fitted(kind: str) -> tuple[Remembered, Exemplars]:
        scale, x = scale_features(rows.features, kind)
        exemplars = find_exemplars(x, rows.labels, len(rows.prototypes))
        return Remembered(lambda x: scale(x) @ exemplars.axes), exemplars

    maps = describe_each(rows.prototypes, settings)
    for setting in settings:
        project, exemplars = fitted(setting["features"])
        describe = maps[setting["descriptions"]]
        regression = KernelRidge(describe(rows.prototypes[exemplars.classes]), exemplars.means, setting)
        yield functools.partial(_scores, project, exemplars, describe, regression, setting)


class KernelRidge:
    """Kernel ridge regression from descriptions s (C, A) to centred exemplars v (C, P)."""

    def __init__(self, s: Tensor, v: Tensor, setting: GridSetting) -> None:
        squared = torch.cdist(s, s).square()
        pairs = max(1, len(s) * (len(s) - 1))
        self.length = setting["kernel length"] * float((squared.sum() / pairs).sqrt().clamp(min=1e-6))
        self.s, self.mean = s, v.mean(0)
        kernel = rbf_kernel(s, s, self.length)
        kernel.diagonal().add_(setting["shrink"])
        self.weights = torch.linalg.solve(kernel, v - self.mean)  # (C, P)

    def __call__(self, s: Tensor) -> Tensor:
        """Predict exemplars (K, P) for descriptions (K, A)."""
        return self.mean + rbf_kernel(s, self.s, self.length) @ self.weights


def _scores(
    project: Remembered,
    exemplars: Exemplars,
    describe: Describe,
    regression: KernelRidge,
    setting: GridSetting,
    x: Tensor,
    prototypes: Tensor,
) -> Tensor:
    v = regression(describe(prototypes))  # (K, P)
    inverse = exemplars.spread.square().reciprocal() if setting["distance"] == "standardised" else 1.0
    # -||p - v||^2 = 2 p v - ||v||^2 - ||p||^2; the last term is the same for all classes of a photo.
    return 2 * project(x) @ (inverse * v).T - (inverse * v * v).sum(1)
