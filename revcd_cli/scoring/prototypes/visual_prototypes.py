"""Visual prototypes: a Gaussian process from class descriptions to mean photos, and the rule that scores by it.

The process is fitted in closed form on the mean photos of the seen classes. Its posterior is a Gaussian over the mean
photo of any class, narrow for a class whose description is similar to a seen one, and wide elsewhere. Together with the
covariance of photos around their class's mean it gives log p(x | s) - log p(x), where p(x) uses no description. By
Bayes' rule this equals log p(s | x) - log p(s), which the evidence rule estimates, too. Classes and photos have the
Gaussian model of linear discriminant analysis; the kernel extends it to classes without photos.

The mean photo of a class is f(s) + e. f is the part that descriptions explain, with the kernel as its covariance, and e
the part that they do not, independent between classes. In units of the variance of f, e has the variance `noise`. In
every component both together have the variance `between`.
Symbols: B photos, N training photos, C seen classes, K candidates, A attributes, D feature size, P components.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import PrototypeConfig
from ...core.precision import in_double
from ...core.precondition import class_means, roots, roots_in_double
from ..candidate_kinds import CandidateKinds
from .class_kernel import class_kernel, directions, fit_relevance, fit_whitening, kernel_length
from .class_noise import PHOTOS, fit_class_noise


class VisualPrototypes(nn.Module):
    """Log-likelihood ratio of a photo with and without a class description.

    Photos are roots of features (`precondition.roots`) in components in which two covariances are diagonal: that of
    photos around their class's mean (all 1) and that of the classes' means (`between`). n_tokens: spatial tokens in a
    row of features, which are averaged.
    """

    shift: Tensor
    to_components: Tensor
    between: Tensor
    centre: Tensor
    relevance: Tensor
    whitening: Tensor | None
    support: Tensor
    length: Tensor
    noise: Tensor
    described_noise: Tensor
    explained: Tensor
    inverse: Tensor
    weights: Tensor
    means: Tensor
    counts: Tensor

    def __init__(
        self, config: PrototypeConfig, feature_dim: int, n_attributes: int, n_classes: int, n_tokens: int = 1
    ) -> None:
        super().__init__()
        config = config.fixed()
        self.config, self.n_tokens = config, n_tokens
        channels = feature_dim // n_tokens
        components = min(config.components, channels)
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("to_components", torch.zeros(channels, components))
        self.register_buffer("between", torch.zeros(components))
        self.register_buffer("centre", torch.zeros(n_attributes))
        self.register_buffer("relevance", torch.ones(n_attributes))  # of each attribute in a direction
        axes = torch.zeros(min(n_classes, n_attributes), n_attributes) if float(config.whitening) > 0 else None
        self.register_buffer("whitening", axes)
        self.register_buffer("support", torch.zeros(n_classes, n_attributes))  # the seen classes' directions
        self.register_buffer("length", torch.ones(()))  # of the kernel, squared
        self.register_buffer("noise", torch.full((n_classes,), float(config.noise)))  # of each seen class
        self.register_buffer("described_noise", torch.tensor(float(config.noise)))  # of a class without photos
        self.register_buffer("explained", torch.tensor(1 / (1 + float(config.noise))))  # share of `between` that f has
        self.register_buffer("inverse", torch.zeros(n_classes, n_classes))  # of the kernel matrix plus noise
        self.register_buffer("weights", torch.zeros(n_classes, components))  # that matrix times the mean photos
        self.register_buffer("means", torch.zeros(n_classes, components))  # the seen classes' mean photos
        self.register_buffer("counts", torch.zeros(n_classes))  # and their numbers of photos

    @torch.no_grad()
    def fit(
        self,
        features: Tensor,
        labels: Tensor,
        s: Tensor,
        noise: Tensor | None = None,
        counts: Tensor | None = None,
        kinds: Tensor | None = None,
    ) -> None:
        """Fit on photos (N, D) of seen classes, labels (N,) into their raw descriptions s (C, A).

        noise: (C,), of each class, larger where its description or its mean photo is less exact; by default
        `PrototypeConfig.noise` for all. counts: (C,), the numbers of its photos; 0 for a class whose features are not
        of photos, so that it is never represented by them. By default they are counted. kinds: (C,), instead of noise
        and counts: kinds of the classes, see `class_noise`, by which the noise is measured.
        """
        x, s = roots_in_double(self._pooled(features)), in_double(s)
        labels = labels.to(x.device)
        means = class_means(x, labels, len(s))  # (C, D)
        shift = means.mean(0)
        x, means = x.sub_(shift), means - shift
        shares = 1 / labels.bincount(minlength=len(s))[labels].double() / len(s)  # every class counts the same
        basis = _principal(shares.sqrt().unsqueeze(1) * x, len(self.between))  # (D, P)
        photos, means = x @ basis, means @ basis
        within = shares.sqrt().unsqueeze(1) * (photos - means[labels])
        within = _shrunk(within.T @ within, self.config.within_shrinkage)
        between = _shrunk(means.T @ means / len(s), self.config.between_shrinkage)
        # Generalised eigenvectors: in these components `within` is the identity and `between` is diagonal.
        lower = torch.linalg.cholesky(within)
        half = torch.linalg.solve_triangular(lower, between, upper=False)
        values, vectors = torch.linalg.eigh(torch.linalg.solve_triangular(lower, half.T, upper=False))
        turn = torch.linalg.solve_triangular(lower.T, vectors, upper=True)  # (P, P)

        self.shift.copy_(shift)
        self.to_components.copy_(basis @ turn)
        self.between.copy_(values.clamp(min=0))
        kinds = None if kinds is None else kinds.to(s.device)
        counts = labels.bincount(minlength=len(s)) if counts is None else counts
        self.counts.copy_(counts if kinds is None else torch.where(kinds == PHOTOS, counts, 0))
        noise = torch.full_like(s[:, 0], float(self.config.noise)) if noise is None else noise
        self._fit_kernel(s, means @ turn, noise, kinds)

    @torch.no_grad()
    def refit(self, config: PrototypeConfig, s: Tensor, kinds: Tensor | None = None) -> None:
        """Fit the process again, on the same photos, with other settings of the kernel, the noise and own_share.

        s: (C, A) raw descriptions of the seen classes; kinds: as for `fit`.
        """
        self.config = config.fixed()
        s = in_double(s)
        noise = torch.full_like(s[:, 0], float(self.config.noise))
        self._fit_kernel(s, self.means.to(s), noise, None if kinds is None else kinds.to(s.device))

    def with_kernel(self, config: PrototypeConfig, s: Tensor, kinds: Tensor | None = None) -> VisualPrototypes:
        """Return a copy after `refit`; it shares the large tensors, those of the components, with this process."""
        shared = (self.shift, self.to_components, self.between)
        other = copy.deepcopy(self, {id(tensor): tensor for tensor in shared})  # a memo of what is not to be copied
        other.refit(config, s, kinds)
        return other

    def _fit_kernel(self, s: Tensor, means: Tensor, noise: Tensor, kinds: Tensor | None = None) -> None:
        """Fit the process from descriptions s (C, A) to mean photos (C, P), with the noise of each class (C,)."""
        config, centre, noise = self.config, s.mean(0), noise.to(s)
        between, described_noise, factor = self.between.to(s), float(config.noise), float(config.length)
        whitening = fit_whitening(s - centre, float(config.whitening)) if float(config.whitening) > 0 else None
        relevance = fit_relevance(
            s - centre, means, between, spread=config.relevance, length=factor, noise=noise, whitening=whitening
        )
        support = directions(s - centre, relevance, whitening)
        length = kernel_length(support, factor)
        kernel = class_kernel(support, support, length)
        if kinds is not None:
            noise = fit_class_noise(kernel, means, between, kinds, described_noise)
        inverse = torch.linalg.inv(kernel + noise.diag())
        self.centre.copy_(centre)
        self.relevance.copy_(relevance)
        # In the memory layout of a model file, so that a loaded model rounds in the same way.
        self.whitening = None if whitening is None else whitening.to(self.centre).contiguous()
        self.support.copy_(support)
        self.length.copy_(length)
        self.noise.copy_(noise)
        self.described_noise.fill_(described_noise)
        self.explained.fill_(1 / (1 + described_noise))
        self.inverse.copy_(inverse)
        self.weights.copy_(inverse @ means)
        self.means.copy_(means)

    def forward(self, x: Tensor, s: Tensor, kinds: CandidateKinds | None = None) -> Tensor:
        """Return log p(x | s) - log p(x): (B, K).

        x: (B, D) raw features; s: (K, A) raw descriptions; kinds: of these classes, None: all are known by their
        descriptions only. For a class of the training with photos the result is a weighted mean of two such log ratios,
        by its description and by its own photos (`PrototypeConfig.own_share`).
        """
        return self.score_components(self.photo_components(x), s, kinds)

    def score_components(self, photos: Tensor, s: Tensor, kinds: CandidateKinds | None = None) -> Tensor:
        """Return the scores of `forward` for photos in components (B, P): (B, K)."""
        scores = self._log_ratio(photos, *self.candidates(s, kinds))
        share = float(self.config.own_share)
        if kinds is None or share == 0:
            return scores
        rows = torch.nonzero((kinds.own >= 0) & (self.counts[kinds.own] > 0))[:, 0]
        means, variances = (part[kinds.own[rows]] for part in self.own_photos())
        by_photos = self._log_ratio(photos, *_after_photos(means, variances, kinds.select(rows), by_description=False))
        return scores.index_copy(1, rows, torch.lerp(scores[:, rows], by_photos, share))

    def candidates(self, s: Tensor, kinds: CandidateKinds | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the mean photo of each candidate: (K, P) each.

        The Gaussian of its description, see `posterior`, or that of any class for one without a description, is updated
        by the photos that were given for it. s: (K, A) raw; kinds: None: all are known by their descriptions only.
        """
        if kinds is None:
            return self.posterior(s)
        means, variances = self.posterior(s)
        if kinds.described is not None:
            described = kinds.described.unsqueeze(-1)
            means, variances = torch.where(described, means, 0), torch.where(described, variances, self.between)
        means, variances = _after_photos(means, variances, kinds, by_description=True)
        if kinds.broad is not None:
            variances = variances + torch.where(kinds.broad.unsqueeze(-1), self.between, 0)
        return means, variances

    def kinds(self, own: Tensor) -> CandidateKinds | None:
        """Return the kinds of candidates by their positions `own` (K,) among the seen classes, -1 for others.

        None if classes with photos and others are scored alike.
        """
        return CandidateKinds(own) if float(self.config.own_share) > 0 else None

    def photo_components(self, x: Tensor) -> Tensor:
        """Return photos in components: (B, P). x: (B, D) raw features."""
        return (roots(self._pooled(x)) - self.shift) @ self.to_components

    def _log_ratio(self, photos: Tensor, means: Tensor, variances: Tensor) -> Tensor:
        """Return log p(photo | class) - log p(photo), (B, K), for Gaussian mean photos, means and variances (K, P)."""
        precision, plain = 1 / (1 + variances), 1 / (1 + self.between)  # with a description, and without
        # The sum of (x - m)^2 / v minus that of x^2 / v without a description, expanded so that no (B, K, P) is needed.
        distance = photos.square() @ (precision - plain).T - 2 * photos @ (means * precision).T
        return -0.5 * (distance + (means.square() * precision - (precision / plain).log()).sum(-1))

    def posterior(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the mean photo of classes known by their descriptions: (K, P) each.

        s: (K, A) raw. The variance is that of f plus the noise of a class without photos.
        """
        points = directions(s - self.centre, self.relevance, self.whitening)
        kernel = class_kernel(points, self.support, self.length)  # (K, C)
        unknown = (1 - ((kernel @ self.inverse) * kernel).sum(-1)).clamp(min=0)
        unknown = unknown + self.described_noise
        return kernel @ self.weights, (self.explained * unknown).unsqueeze(-1) * self.between

    def own_photos(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the mean photo of each seen class by its own photos: (C, P) each."""
        return updated(*self.left_out(), self.means, self.counts)

    def left_out(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the mean photo of each seen class, given the other classes: (C, P) each.

        Rasmussen & Williams 2006, Eq. 5.12.
        """
        rows = torch.arange(len(self.inverse), device=self.inverse.device)
        precision = self.inverse[rows, rows].unsqueeze(-1)  # (C, 1)
        return self.means - self.weights / precision, self.explained / precision * self.between

    def _pooled(self, x: Tensor) -> Tensor:
        pooled: Tensor = x.unflatten(-1, (self.n_tokens, -1)).mean(-2)
        return pooled


def updated(means: Tensor, variances: Tensor, photos: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Gaussians of mean photos, means and variances (K, P), after some photos of each class.

    photos: (K, P), their means; counts: (K,), their numbers, 0 for none. The variance of a photo is 1.
    """
    shares = 1 / (1 + (counts * variances.T).T)  # of the prior mean
    return shares * means + (1 - shares) * photos, shares * variances


def _after_photos(
    means: Tensor, variances: Tensor, kinds: CandidateKinds, by_description: bool
) -> tuple[Tensor, Tensor]:
    """Return the Gaussians of mean photos (K, P) after the photos that were given for the candidates.

    The covariance of a class's own photos differs from that of all classes and is not known, so the mean of k photos
    has the variance (1 + 1/k) / k instead of 1/k where the Gaussian is that of a description: they count as
    k^2 / (k + 1). Elsewhere they count as k: there the Gaussian is wide, or has photos of the class already.
    """
    if kinds.photos is None or kinds.counts is None:
        return means, variances
    counts = kinds.counts.to(means)
    if by_description:
        fewer = counts.square() / (counts + 1)
        counts = fewer if kinds.described is None else torch.where(kinds.described, fewer, counts)
    return updated(means, variances, kinds.photos.to(means), counts)


def _principal(x: Tensor, components: int) -> Tensor:
    """Return the P directions of largest variance of centred rows x (N, D), padded with zeros: (D, P)."""
    if len(x) < x.shape[1]:  # the smaller of the two products
        values, vectors = torch.linalg.eigh(x @ x.T)
        vectors = x.T @ vectors * values.clamp(min=1e-12 * float(values.amax().clamp(min=1e-300))).rsqrt()
    else:
        values, vectors = torch.linalg.eigh(x.T @ x)
    kept = vectors[:, values > 1e-10 * values.max()].flip(1)[:, :components]
    return F.pad(kept, (0, components - kept.shape[1]))


def _shrunk(covariance: Tensor, shrinkage: float) -> Tensor:
    """Shrink a covariance (P, P) towards a multiple of the identity with the same trace, by at least 0.001."""
    size = covariance.diagonal().mean().clamp(min=1e-12)
    alpha = max(shrinkage, 1e-3)
    return (1 - alpha) * covariance + alpha * size * torch.eye(
        len(covariance), dtype=covariance.dtype, device=covariance.device
    )
