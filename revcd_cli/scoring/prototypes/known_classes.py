"""Known classes: mean features of classes without photos, from the weights of the backbone's own classifier.

In the Gaussian model of linear discriminant analysis all classes have one covariance S of features around their mean,
and the weights of the optimal linear classifier are w_k = S^-1 m_k, up to a vector that all classes share. Read
backwards: m_k - m = s S (w_k - w), where m and w are means over classes that have photos and a label, and s is one
scale for all. (Qi et al. 2018, arXiv 1712.07136, go from means to weights.)
Symbols: N photos, D feature size, C classes with photos, B of them with a label, K known classes without photos.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ...core.precision import in_double
from ...core.precondition import class_means

SHRINKAGE = 0.3  # of the covariance within classes, towards a multiple of the identity
PSEUDO_FEATURES = 40  # of each known class


@dataclass(frozen=True, eq=False)
class WithinCovariance:
    """The covariance of features around their class's mean, V = R^T R / len(R) + rest I, shrunk towards its mean size.

    residuals: R, (N, D), float64, photos minus the mean of their class. With of_photos = False, R is a factor of the
    covariance in low rank, and `rest` the variance of a feature that it leaves out.
    """

    residuals: Tensor
    rest: float = 0.0
    of_photos: bool = True

    def times(self, w: Tensor) -> Tensor:
        """Return the product of rows w (K, D) with (1 - a) V + a r I, a = `SHRINKAGE`, r the mean variance: (K, D)."""
        product = (w @ self.residuals.T) @ self.residuals / len(self.residuals) + self.rest * w
        size = self.residuals.square().sum() / self.residuals.numel() + self.rest
        return (1 - SHRINKAGE) * product + SHRINKAGE * size * w

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return residuals of random photos, or without photos Gaussian ones of this covariance: (count, D)."""
        if self.of_photos:
            chosen = torch.randint(len(self.residuals), (count,), generator=generator)
            return self.residuals.index_select(0, chosen.to(self.residuals.device))
        n, dimensions = self.residuals.shape
        mixed = torch.randn(count, n, generator=generator, dtype=torch.float64) @ self.residuals / math.sqrt(n)
        return mixed + math.sqrt(self.rest) * torch.randn(count, dimensions, generator=generator, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class ClassifierMeans:
    """The map from a classifier's weights to mean features: centre + scale S (w - centre_weights)."""

    within: WithinCovariance
    centre: Tensor  # (D,)
    centre_weights: Tensor  # (D,)
    scale: float
    non_negative: bool  # whether no feature of a photo is negative

    def means(self, weights: Tensor) -> Tensor:
        """Return the mean features of classes with these weights (K, D): (K, D), float64."""
        return self.centre + self.scale * self.within.times(in_double(weights) - self.centre_weights)

    def features(self, weights: Tensor, generator: Generator, count: int = PSEUDO_FEATURES) -> Tensor:
        """Return `count` pseudo features of each class, class by class: (K * count, D), float32.

        Each is the class's mean plus the residual of a random photo; negative values are set to 0 if photos have none.
        """
        drawn = self.means(weights).repeat_interleave(count, 0)
        drawn = drawn + self.within.draw(len(drawn), generator)
        return (drawn.clamp(min=0) if self.non_negative else drawn).float()


def fit_classifier_means(x: Tensor, labels: Tensor, weights: Tensor, own: Tensor) -> ClassifierMeans:
    """Fit on photos x (N, D) with labels (N,) from 0 to C - 1, in double precision.

    weights: (B, D), of the classes with photos and a label; own: (B,), their labels. The scale is the median, over
    these classes, of the ratio of the lengths of m_k - m and S (w_k - w). Raises `ValueError` for fewer than two.
    """
    if len(own) < 2:
        raise ValueError("the scale needs two classes with photos and a label")
    x, weights, labels = in_double(x), in_double(weights), labels.to(x.device)
    means = class_means(x, labels, int(labels.max()) + 1)
    within = WithinCovariance(x - means[labels])
    centre, centre_weights = means[own].mean(0), weights.mean(0)
    lengths = (means[own] - centre).norm(dim=1), within.times(weights - centre_weights).norm(dim=1)
    ratios = lengths[0] / lengths[1].clamp(min=1e-300)
    scale = float(ratios.sort().values[(len(ratios) - 1) // 2 : len(ratios) // 2 + 1].mean())
    return ClassifierMeans(within, centre, centre_weights, scale, bool((x >= 0).all()))
