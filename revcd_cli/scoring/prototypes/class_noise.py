"""The noise of each kind of class in the Gaussian process of visual prototypes, measured on the training classes.

A class with photos has the noise of the settings. A known class has more: its mean photo is only inferred from the
classifier's weights, and its description may be written rather than measured. The noise of a kind is the one with which
the process predicts the photos of the classes that have some best, each class left out in turn.
Symbols: C training classes, P components, in which photos of one class have variance 1.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from .class_kernel import left_out_residuals

# Kinds of classes: with photos, or known with an official or a written description.
PHOTOS, OFFICIAL, WRITTEN = range(3)
WITHOUT_PHOTOS = 3.0  # the factor if no class has photos, the usual one on the animals
FACTORS = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0)  # of the noise of a class with photos, that are tried


def fit_class_noise(kernel: Tensor, means: Tensor, between: Tensor, kinds: Tensor, noise: float) -> Tensor:
    """Return the noise of each training class (C,).

    kernel: (C, C), of the classes' descriptions; means: (C, P), their mean photos; between: (P,), their variance;
    kinds: (C,), one of `PHOTOS`, `OFFICIAL`, `WRITTEN`; noise: of classes with photos. A written description is given
    at least the noise of an official one.
    """
    if not (kinds == PHOTOS).any():  # nothing to measure it on
        return torch.full_like(kernel[0], noise * WITHOUT_PHOTOS)
    present = [kind for kind in (OFFICIAL, WRITTEN) if (kinds == kind).any()]
    trials = []
    for factors in itertools.combinations_with_replacement(FACTORS, len(present)):
        values = torch.full_like(kernel[0], noise)
        for kind, factor in zip(present, factors, strict=True):
            values[kinds == kind] = noise * factor
        trials.append(values)
    if len(trials) == 1:
        return trials[0]
    merits = [left_out_log_likelihood(kernel, means, between, kinds == PHOTOS, each, noise) for each in trials]
    return trials[max(range(len(trials)), key=merits.__getitem__)]


def left_out_log_likelihood(
    kernel: Tensor, means: Tensor, between: Tensor, tested: Tensor, noise: Tensor, described: float
) -> float:
    """Return the mean log density of the mean photos of the tested classes, as photos of classes that are left out.

    tested: (C,) bool; noise: (C,); described: the noise of a class known by its description. Constants are left out.
    """
    inverse = torch.linalg.inv(kernel + noise.diag())
    residuals = left_out_residuals(inverse, means)
    unknown = 1 / inverse.diagonal() - noise + described
    variances = 1 + (unknown / (1 + described)).unsqueeze(-1) * between
    density = -0.5 * (residuals.square() / variances + variances.log()).sum(-1)
    return float(density[tested].mean())
