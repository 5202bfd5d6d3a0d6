"""Class normalisation (Skorokhodov & Elhoseiny 2021): the network of `core.visual_prototypes` on its own, with the
optimiser and the schedule of its authors."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..trainer import TrainingRows
from ..visual_prototypes import ClassNormNetwork
from .doors import DESCRIPTIONS, Scorer, Setting, describe_by, scale_features

_BATCH = 256
_RATE, _DECAY = 5e-4, 1e-4  # of Adam
_SCALE = 5.0  # of photos and prototypes: logits are its square times the cosine

CLASS_NORM_GRID: tuple[Setting, ...] = tuple(
    {"features": features, "descriptions": descriptions, "width": 512, "epochs": epochs}
    for features, descriptions, epochs in product(("l2", "standard"), DESCRIPTIONS, (15, 8, 30))
)


def class_norm(rows: TrainingRows, settings: Sequence[Setting], seed: int = 0) -> Iterator[Scorer]:
    """Train a network for each setting to name photos of the seen classes by the scaled cosine to their prototypes.

    Features "l2" are taken as they are, for rectified prototypes; "standard" ones, which have both signs, for others.
    """
    for setting in settings:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            scorer = _trained(rows, setting)
        yield scorer


def _trained(rows: TrainingRows, setting: Setting) -> Scorer:
    scaler, x = scale_features(rows.features, setting["features"])
    describe = describe_by(rows.prototypes, setting["descriptions"])
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


def _scores(scaler, network: ClassNormNetwork, describe, x: Tensor, prototypes: Tensor) -> Tensor:
    visual = F.normalize(network(describe(prototypes).float()), dim=1)  # (K, D)
    return _SCALE**2 * F.normalize(scaler(x.double()), dim=1).float() @ visual.T
