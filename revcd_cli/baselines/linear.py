"""Linear baselines in closed form: ridge regression, ESZSL and SAE.

Each function takes training rows and settings of its grid, and yields a scorer for each setting, in order. Results that
neighbouring settings share are cached, so a whole grid takes little longer than its factorisations.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.trainer import TrainingRows
from .preprocessing import (
    DESCRIPTIONS,
    Compare,
    Describe,
    GridSetting,
    LeastSquares,
    Remembered,
    Scale,
    Scorer,
    class_shares,
    cosines,
    describe_each,
    scale_features,
)

_FEATURES = ("standard", "l2")
_SHRINK = (3.0, 1.0, 10.0, 0.3, 30.0, 0.1)  # the first is used without validation

RIDGE_GRID: tuple[GridSetting, ...] = tuple(
    {"features": features, "shrink": shrink, "descriptions": descriptions, "compare": compare}
    for features, shrink, descriptions, compare in product(_FEATURES, _SHRINK, DESCRIPTIONS, ("cosine", "product"))
)
ESZSL_GRID: tuple[GridSetting, ...] = tuple(
    {"features": features, "labels": labels, "shrink": shrink, "descriptions": descriptions, "lambda": weight}
    for features, labels, shrink, descriptions, weight in product(
        (*_FEATURES, "raw"), ("-1 and 1", "0 and 1"), _SHRINK, DESCRIPTIONS, (1.0, 0.3, 3.0, 0.1, 0.03)
    )
)
SAE_GRID: tuple[GridSetting, ...] = tuple(
    {"features": features, "descriptions": descriptions, "lambda": weight, "direction": direction}
    for features, descriptions, weight, direction in product(
        _FEATURES, DESCRIPTIONS, (1e-3, 1e-2, 1e-4, 0.1, 1.0), ("to features", "to descriptions")
    )
)


def ridge(rows: TrainingRows, settings: Sequence[GridSetting], seed: int = 0) -> Iterator[Scorer]:
    """Regress descriptions on features with equal weight per class; compare the prediction with the candidates.

    W minimises sum_i w_i ||x_i W - s_{y_i}||^2 + shrink ||W||^2 with weights of sum 1.
    """
    shares = class_shares(rows.labels, len(rows.prototypes)).sqrt().unsqueeze(1)  # (N, 1)
    members = F.one_hot(rows.labels, len(rows.prototypes)).double()  # (N, C)

    @functools.lru_cache(1)
    def system(kind: str) -> tuple[Scale, LeastSquares]:
        scale, x = scale_features(rows.features, kind)
        return scale, LeastSquares(shares * x)

    @functools.lru_cache(1)
    def by_class(kind: str, shrink: float) -> Remembered:
        scale, least_squares = system(kind)
        weight = least_squares.solve(shares * members, shrink)  # (D, C): the targets are linear in the prototypes
        return _projection(scale, weight)

    maps = describe_each(rows.prototypes, settings)
    for setting in settings:
        kind, describe = setting["features"], maps[setting["descriptions"]]
        left, right = by_class(kind, setting["shrink"]), describe(rows.prototypes)  # W = (D, C) @ (C, A)
        compare = cosines if setting["compare"] == "cosine" else _products
        yield functools.partial(_in_descriptions, left, right, describe, compare)


def eszsl(rows: TrainingRows, settings: Sequence[GridSetting], seed: int = 0) -> Iterator[Scorer]:
    """Embarrassingly simple zero-shot learning (Romera-Paredes & Torr, ICML 2015): scores x V s^T.

    V = (X^T X / N + shrink I)^-1 X^T Y S / N (S^T S + lambda I)^-1. The labels Y are -1 and 1 as published, or 0 and 1.
    """
    n_rows, n_classes = len(rows), len(rows.prototypes)
    members = F.one_hot(rows.labels, n_classes).double()  # (N, C)
    coded = {"-1 and 1": 2 * members - 1, "0 and 1": members}

    @functools.lru_cache(1)
    def system(kind: str) -> tuple[Scale, LeastSquares]:
        scale, x = scale_features(rows.features, kind)
        return scale, LeastSquares(x)

    @functools.lru_cache(1)
    def by_class(kind: str, labels: str, shrink: float) -> Remembered:
        scale, least_squares = system(kind)
        weight = least_squares.solve(coded[labels], shrink * n_rows)  # (D, C)
        return _projection(scale, weight)

    maps = describe_each(rows.prototypes, settings)
    for setting in settings:
        kind, describe = setting["features"], maps[setting["descriptions"]]
        s = describe(rows.prototypes)  # (C, A)
        inner = s.T @ s + setting["lambda"] * torch.eye(s.shape[1], dtype=s.dtype)
        left, right = by_class(kind, setting["labels"], setting["shrink"]), torch.linalg.solve(inner, s.T).T
        yield functools.partial(_in_descriptions, left, right, describe, _products)  # V = (D, C) @ (C, A)


def sae(rows: TrainingRows, settings: Sequence[GridSetting], seed: int = 0) -> Iterator[Scorer]:
    """Semantic autoencoder (Kodirov et al., CVPR 2017): W (A, D) minimises ||X - T W||^2 + lambda ||X W^T - T||^2.

    T: each row's description. The minimum solves Sylvester's equation T^T T W + lambda W X^T X = (1 + lambda) T^T X.
    In the eigenvectors of T^T T it separates into one shifted linear system for each of them.
    """
    maps = describe_each(rows.prototypes, settings)
    counts = torch.bincount(rows.labels, minlength=len(rows.prototypes)).double()
    members = F.one_hot(rows.labels, len(rows.prototypes)).double()  # (N, C)

    @functools.lru_cache(1)
    def system(kind: str) -> tuple[Scale, LeastSquares]:
        scale, x = scale_features(rows.features, kind)
        return scale, LeastSquares(x)

    @functools.lru_cache(1)
    def solved(kind: str, descriptions: str, weight: float) -> tuple[Tensor, Tensor]:
        s = maps[descriptions](rows.prototypes)  # (C, A)
        values, vectors = torch.linalg.eigh(s.T @ (counts.unsqueeze(1) * s))  # of T^T T
        kept = values > 1e-10 * values.max()  # T^T X is zero in the other directions, too
        values, vectors = values[kept], vectors[:, kept]  # (r,), (A, r)
        targets = members @ (s @ vectors)  # (N, r): T in these vectors
        columns = system(kind)[1].solve_each(targets, values / weight)  # (D, r)
        return (1 + weight) / weight * columns, vectors.T  # W^T = (D, r) @ (r, A)

    for setting in settings:
        kind, describe = setting["features"], maps[setting["descriptions"]]
        left, right = solved(kind, setting["descriptions"], setting["lambda"])
        if setting["direction"] == "to descriptions":
            yield functools.partial(_in_descriptions, _projection(system(kind)[0], left), right, describe, cosines)
        else:
            yield functools.partial(_in_features, system(kind)[0], left, right, describe)


def _projection(scale: Scale, weight: Tensor) -> Remembered:
    """Return the map from photos (B, D) to their scaled features times a weight (D, k)."""
    return Remembered(lambda x: scale(x) @ weight)


def _in_descriptions(
    left: Remembered, right: Tensor, describe: Describe, compare: Compare, x: Tensor, prototypes: Tensor
) -> Tensor:
    return compare(left(x) @ right, describe(prototypes))


def _in_features(
    scale: Scale, left: Tensor, right: Tensor, describe: Describe, x: Tensor, prototypes: Tensor
) -> Tensor:
    return cosines(scale(x), describe(prototypes) @ right.T @ left.T)


def _products(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.T
