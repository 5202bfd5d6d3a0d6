"""Class network: visual prototypes by a network from descriptions, trained to tell photos of different classes apart.

The Gaussian process and the diffusion describe the photos of each class on its own. This network is trained by the
cross-entropy of photos over classes instead, so it uses what separates similar classes. The classes are all seen ones
and, in every batch, simulated ones (`simulated_classes`), which makes it better at classes that it has not seen. Its
hidden units are standardised over classes, so that prototypes of classes without photos are as long as the others
(Skorokhodov & Elhoseiny, "Class Normalization for (Continual)? Generalized Zero-Shot Learning", ICLR 2021). Optimiser
and schedule are the authors'.
Symbols: B photos, N training photos, C seen classes, K candidates, A attributes, D feature size, H width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import ClassNetworkConfig
from ..core.precondition import roots
from ..core.trainer import TrainingRows
from .calibration import score_unit
from .prototypes.simulated_classes import SimulatedClasses

SCALE = 5.0  # of photos and prototypes: logits are its square times the cosine
# Further classes of a batch: photos (G n, D), n of each class one after the other, and descriptions (G, A).
FurtherClasses = Callable[[], tuple[Tensor, Tensor]]
_EPSILON = 1e-5
_BATCH = 256
_RATE, _DECAY = 5e-4, 1e-4  # of Adam
_SIMULATED_PHOTOS = 2  # of each simulated class in a batch


class ClassStandardisation(nn.Module):
    """(h - mean) / std over the classes of a batch; at inference with running averages from training."""

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, h: Tensor) -> Tensor:
        """h: (C, H), one row per class. Returns (C, H)."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = h.mean(0), h.var(0, correction=min(1, len(h) - 1))
            self.mean.lerp_(mean.detach(), self.momentum)
            self.variance.lerp_(variance.detach(), self.momentum)
        return (h - mean) * (variance + _EPSILON).rsqrt()


class ClassNormNetwork(nn.Sequential):
    """Descriptions (C, A) to visual prototypes (C, D)."""

    def __init__(self, n_attributes: int, width: int, feature_dim: int) -> None:
        last = nn.Linear(width, feature_dim)
        # The paper's initialisation: with variance 1 / (H D), prototypes have the variance of the last layer's input.
        bound = (3 / (width * feature_dim)) ** 0.5
        nn.init.uniform_(last.weight, -bound, bound)
        super().__init__(
            nn.Linear(n_attributes, width),
            nn.ReLU(),
            nn.Linear(width, width),
            ClassStandardisation(width),
            nn.ReLU(),
            ClassStandardisation(width),
            last,
        )


class Rectifier(nn.Module):
    """ReLU if no feature of the training photos is negative, else the identity."""

    slope: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("slope", torch.zeros(()))  # of negative values: 0 or 1

    def fit(self, x: Tensor) -> None:
        """x: (N, D)."""
        self.slope.fill_(float((x < 0).any()))

    def forward(self, h: Tensor) -> Tensor:
        """Return values of the same shape."""
        return torch.where(h < 0, self.slope * h, h)


def cosine_logits(network: nn.Module, x: Tensor, s: Tensor) -> Tensor:
    """Return `SCALE` squared times the cosine of photos x (B, D) with the prototypes of s (C, A): (B, C)."""
    return SCALE**2 * F.normalize(x, dim=1) @ F.normalize(network(s), dim=1).T


def train_to_classify(
    network: nn.Module, x: Tensor, labels: Tensor, s: Tensor, epochs: int, further: FurtherClasses | None = None
) -> None:
    """Train a network to classify photos by the cosine to its outputs, with cross-entropy.

    x: (N, D); labels: (N,) into descriptions s (C, A); further: called for every batch, more classes for it. The
    learning rate falls to a tenth after half of the epochs. All randomness comes from torch's global generator.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE, weight_decay=_DECAY, fused=True)
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * _RATE if epoch >= epochs // 2 else _RATE
        for some in torch.randperm(len(x), device=x.device).split(_BATCH):
            photos, classes, candidates = x[some], labels[some], s
            if further is not None:
                more_photos, more = further()
                numbers = torch.arange(len(more), device=x.device) + len(s)
                photos, candidates = torch.cat([photos, more_photos]), torch.cat([s, more])
                classes = torch.cat([classes, numbers.repeat_interleave(len(more_photos) // len(more))])
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(cosine_logits(network, photos, candidates), classes).backward()
            optimizer.step()
    network.eval().requires_grad_(False)


class ClassNetwork(nn.Module):
    """Scores classes by the cosine of a photo with the prototype of each description.

    Features and descriptions are scaled to fixed lengths. Scores are in units of their usual spread over classes
    (`fit_unit`). n_tokens: spatial tokens in a row of features, which are averaged.
    """

    unit: Tensor

    def __init__(self, config: ClassNetworkConfig, feature_dim: int, n_attributes: int, n_tokens: int = 1) -> None:
        super().__init__()
        self.config, self.n_tokens = config, n_tokens
        self.network = ClassNormNetwork(n_attributes, config.width, feature_dim // n_tokens).append(Rectifier())
        self.register_buffer("unit", torch.ones(()))

    def fit(self, rows: TrainingRows, simulated: SimulatedClasses | None = None, seed: int = 0) -> None:
        """Train on photos of seen classes and, in each batch, of `config.simulated` simulated classes.

        seed: of the order of the photos and of the simulated classes.
        """

        def further() -> tuple[Tensor, Tensor]:
            assert simulated is not None
            x, s = simulated.draw(self.config.simulated, photos=_SIMULATED_PHOTOS)
            return self._pooled(x), _scaled(s)

        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(seed)
            self.network.train().requires_grad_(True)
            x = self._pooled(rows.features)
            rectifier = self.network[-1]
            assert isinstance(rectifier, Rectifier)
            rectifier.fit(x)
            train_to_classify(
                self.network,
                x,
                rows.labels,
                _scaled(rows.prototypes),
                self.config.epochs,
                further if simulated is not None and self.config.simulated > 0 else None,
            )

    def fit_unit(self, x: Tensor, s: Tensor) -> None:
        """Set the unit of the scores. x: (N, D) features of some training photos; s: (C, A) of their classes."""
        self.unit.fill_(1)
        self.unit.fill_(score_unit(self(x, s)))

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """Return scores (B, K). x: (B, D) raw features; s: (K, A) raw descriptions."""
        return cosine_logits(self.network, self._pooled(x), _scaled(s)) / self.unit

    def _pooled(self, x: Tensor) -> Tensor:
        """Return roots of the features, averaged over tokens: (B, D / n_tokens)."""
        return roots(x.unflatten(-1, (self.n_tokens, -1)).mean(-2))


def _scaled(s: Tensor) -> Tensor:
    """Return descriptions (K, A) with a mean square of 1, as in the authors' code."""
    scaled: Tensor = s.shape[-1] ** 0.5 * F.normalize(s, dim=-1)
    return scaled
