"""The share of a seen class's photos that a new class would take, in closed form from the visual prototypes.

Under the prototypes, photos of a seen class are N(m, 1 + v) in components, with mean m and variance v of its mean photo
by its own photos. The difference of two classes' scores is a quadratic function of the photo with a diagonal matrix,
whose mean and variance are known. The share of photos for which it is positive is taken from a Gaussian. Real photos
spread further than those of one covariance for all classes, so its standard deviation is `SPREAD` times the known one.
The arrays of a model file are enough; torch is not imported, so that commands about tables start at once.
Symbols: C training classes, K classes, A attributes, P components.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from ...config import PrototypeConfig

ARRAYS = (
    "between", "centre", "relevance", "support", "length", "described_noise", "explained", "inverse", "weights",
    "means", "counts",
)  # fmt: skip
WHITENING = "whitening"  # in files of models with `prototypes.whitening` above 0
NEAREST = 3  # seen classes that each new class is compared with
SPREAD = 2.0  # of the standard deviation of margins; measured on validation folds (docs/results.md)


class Quadratic(NamedTuple):
    """The scores of K classes as functions sum_p (a x_p^2 + b x_p) + c of a photo. a, b: (K, P); c: (K,)."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    def mixed(self, other: Quadratic, share: float) -> Quadratic:
        """Return (1 - share) times these scores plus share times others of the same classes."""
        return Quadratic(*((1 - share) * one + share * two for one, two in zip(self, other, strict=True)))

    def of(self, rows: np.ndarray) -> Quadratic:
        """Return the scores of some of the classes, by position."""
        return Quadratic(*(part[rows] for part in self))


@dataclass(frozen=True, eq=False)
class PhotoModel:
    """The Gaussian model of photos in a model file, as float64 arrays.

    own_share, taken_limit: see `PrototypeConfig`; unit: of the scores, by which they are divided before the seen
    penalty. The other fields are the buffers of `VisualPrototypes`.
    """

    between: np.ndarray
    centre: np.ndarray
    relevance: np.ndarray
    support: np.ndarray
    length: np.ndarray
    described_noise: np.ndarray
    explained: np.ndarray
    inverse: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    counts: np.ndarray
    whitening: np.ndarray | None
    own_share: float
    taken_limit: float
    unit: float

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], config: PrototypeConfig, unit: float) -> PhotoModel:
        """Return the model of arrays by the names of `ARRAYS`, and of `WHITENING` if the model has it."""
        values: dict[str, Any] = {name: np.asarray(arrays[name], np.float64) for name in ARRAYS}
        axes = arrays.get(WHITENING)
        values[WHITENING] = None if axes is None else np.asarray(axes, np.float64)
        config = config.fixed()
        return cls(**values, own_share=float(config.own_share), taken_limit=float(config.taken_limit), unit=unit)

    def kernel(self, s: np.ndarray) -> np.ndarray:
        """Return the covariance of classes with descriptions s (K, A), raw, and the training classes: (K, C)."""
        x = s.astype(np.float64) - self.centre
        if self.whitening is not None:
            x = x - x @ self.whitening.T @ self.whitening
        x = x * self.relevance
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        lengths = (x**2).sum(1)[:, None] + (self.support**2).sum(1)
        found: np.ndarray = np.exp(-np.maximum(lengths - 2 * x @ self.support.T, 0) / self.length)
        return found

    def posterior(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance (K, P) of the mean photo by the description, as `VisualPrototypes.posterior`."""
        kernel = self.kernel(s)
        unknown = np.maximum(1 - ((kernel @ self.inverse) * kernel).sum(1), 0) + self.described_noise
        return kernel @ self.weights, (self.explained * unknown)[:, None] * self.between

    def own_photos(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance (C, P) of each training class's mean photo, as `VisualPrototypes.own_photos`."""
        precision = self.inverse.diagonal()[:, None]
        prior = self.explained / precision * self.between
        share = 1 / (1 + self.counts[:, None] * prior)
        return share * (self.means - self.weights / precision) + (1 - share) * self.means, share * prior

    def scores(self, means: np.ndarray, variances: np.ndarray) -> Quadratic:
        """Return the log-likelihood ratios of photos with and without a class, whose mean photo is Gaussian (K, P)."""
        precision, plain = 1 / (1 + variances), 1 / (1 + self.between)
        constant = -0.5 * (means**2 * precision - np.log(precision / plain)).sum(1)
        return Quadratic((plain - precision) / 2, means * precision, constant)

    def taken(
        self, new: np.ndarray, seen: np.ndarray, own: np.ndarray, penalty: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each new class, the most similar seen classes and the shares of their photos that it would take.

        new: (U, A), raw descriptions; seen: (K, A), those of the seen candidates, and own: (K,), their positions among
        the training classes; penalty: the seen penalty in units of the scores, before `taken_limit`. Returns positions
        in `seen` and shares in 0..1, (U, N) each with N = min(NEAREST, K), the most similar class first.
        """
        gaussians = self.posterior(new)
        pairs = self.nearest(gaussians[0], seen)
        centre, deviation = self.margins(gaussians, seen, own, pairs)
        penalties = np.minimum(penalty, np.maximum(self._largest_penalty(centre, deviation), 0))
        normal = NormalDist()
        z = (centre + penalties * self.unit) / np.maximum(SPREAD * deviation, 1e-12)
        return pairs, np.array([[normal.cdf(value) for value in row] for row in z.tolist()])

    def penalty_limits(self, new: tuple[np.ndarray, np.ndarray], seen: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Return the largest penalty of each seen class with which no new class takes more than `taken_limit`: (K,).

        At least 0, as a new class may take more without a penalty; infinite for a class that no new one resembles. new:
        mean and variance (U, P) of the mean photo of each new class; seen, own: as for `taken`. In units of the scores.
        """
        limits = np.full(len(seen), np.inf)
        if len(new[0]) and len(seen):
            pairs = self.nearest(new[0], seen)
            np.minimum.at(limits, pairs, self._largest_penalty(*self.margins(new, seen, own, pairs)))
        found: np.ndarray = np.maximum(limits, 0)
        return found

    def nearest(self, means: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Return the seen classes whose prototypes are closest to mean photos (U, P), the closest first: (U, N)."""
        others = self.posterior(seen)[0]
        squares = (means**2).sum(1)[:, None] + (others**2).sum(1) - 2 * means @ others.T
        order: np.ndarray = np.argsort(squares, axis=1, kind="stable")[:, :NEAREST]
        return order

    def margins(
        self, new: tuple[np.ndarray, np.ndarray], seen: np.ndarray, own: np.ndarray, pairs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of a new class's score minus a seen one's, over photos of the latter.

        pairs: (U, N), the seen classes of each new one; other parameters: see `penalty_limits`. Returns (U, N) each, in
        nats and without the penalty.
        """
        of_new = self.scores(*new)
        by_photos = tuple(part[own] for part in self.own_photos())
        of_seen = self.scores(*self.posterior(seen)).mixed(self.scores(*by_photos), self.own_share)
        centre, deviation = np.empty(pairs.shape), np.empty(pairs.shape)
        for place, rows in enumerate(pairs.T):
            means, variances = by_photos[0][rows], 1 + by_photos[1][rows]  # of photos of the seen class
            a, b, c = (one - two for one, two in zip(of_new, of_seen.of(rows), strict=True))
            centre[:, place] = (a * (means**2 + variances) + b * means).sum(1) + c
            squares = 2 * (a * variances) ** 2 + (2 * a * means + b) ** 2 * variances
            deviation[:, place] = np.sqrt(squares.sum(1))
        return centre, deviation

    def _largest_penalty(self, centre: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Return the penalties with which margins of this mean and deviation give the share `taken_limit`."""
        if self.taken_limit >= 1:
            return np.full_like(centre, np.inf)
        limits: np.ndarray = (SPREAD * deviation * NormalDist().inv_cdf(self.taken_limit) - centre) / self.unit
        return limits
