"""Class normalisation: a network from descriptions to visual prototypes, with hidden units standardised over classes.

Prototypes of classes without photos are then as long as the others (Skorokhodov & Elhoseiny, "Class Normalization for
(Continual)? Generalized Zero-Shot Learning", ICLR 2021). Optimiser and schedule are the authors'.
Symbols: B photos, C classes, A attributes, D feature size, H width.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.trainer import TrainingRows
from .preprocessing import DESCRIPTIONS, Describe, GridSetting, Scale, Scorer, describe_by, scale_features

_EPSILON = 1e-5
_BATCH = 256
_RATE, _DECAY = 5e-4, 1e-4  # of Adam
_SCALE = 5.0  # of photos and prototypes: logits are its square times the cosine

CLASS_NORM_GRID: tuple[GridSetting, ...] = tuple(
    {"features": features, "descriptions": descriptions, "length": length, "width": width, "epochs": epochs}
    for (length, width, epochs), features, descriptions in product(
        (("unit", 512, 15), ("unit", 512, 30), ("root", 1024, 50)), ("l2", "standard"), DESCRIPTIONS
    )
)


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


def class_norm(rows: TrainingRows, settings: Sequence[GridSetting], seed: int = 0) -> Iterator[Scorer]:
    """Train a network for each setting to classify seen photos by the scaled cosine to the prototypes; yield scorers.

    "length" of the descriptions: 1, or the root of the number of attributes, as in the authors' code. With "l2"
    features, which are not negative, prototypes pass a ReLU; with "standard" features they do not.
    """
    for setting in settings:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            scorer = _trained(rows, setting)
        yield scorer


def _trained(rows: TrainingRows, setting: GridSetting) -> Scorer:
    scaler, x = scale_features(rows.features, setting["features"])
    describe = describe_by(rows.prototypes, setting["descriptions"])
    if setting["length"] == "root":
        describe = _longer(describe, rows.prototypes.shape[1] ** 0.5)
    x, s = _SCALE * F.normalize(x, dim=1).float(), describe(rows.prototypes).float()
    network = ClassNormNetwork(s.shape[1], setting["width"], x.shape[1])
    if setting["features"] == "l2":
        network.append(nn.ReLU())
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE, weight_decay=_DECAY, foreach=True)
    for epoch in range(setting["epochs"]):
        late = epoch >= setting["epochs"] // 2
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * _RATE if late else _RATE
        for some in torch.randperm(len(x)).split(_BATCH):
            logits = x[some] @ (_SCALE * F.normalize(network(s), dim=1)).T  # (B, C)
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(logits, rows.labels[some]).backward()
            optimizer.step()
    network.eval().requires_grad_(False)
    return functools.partial(_scores, scaler, network, describe)


def _longer(describe: Describe, factor: float) -> Describe:
    return lambda s: factor * describe(s)


def _scores(scaler: Scale, network: ClassNormNetwork, describe: Describe, x: Tensor, prototypes: Tensor) -> Tensor:
    visual = F.normalize(network(describe(prototypes).float()), dim=1)  # (K, D)
    return _SCALE**2 * F.normalize(scaler(x.double()), dim=1).float() @ visual.T
