"""Class normalisation: the network of `scoring.class_network` alone, with a grid of its settings.

Skorokhodov & Elhoseiny, "Class Normalization for (Continual)? Generalized Zero-Shot Learning", ICLR 2021.
Symbols: B photos, K candidates, D feature size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor, nn

from ..core.trainer import TrainingRows
from ..scoring.class_network import ClassNormNetwork, cosine_logits, train_to_classify
from .preprocessing import Describe, GridSetting, Scale, Scorer, describe_by, scale_features

# The second part has the sizes of the authors' code. Whitened descriptions were worse in validation by 6 points of H.
CLASS_NORM_GRID: tuple[GridSetting, ...] = (
    *(
        {"features": features, "descriptions": descriptions, "length": "unit", "width": 512, "epochs": epochs}
        for features, descriptions, epochs in product(("l2", "standard"), ("standardise", "raw"), (15, 30))
    ),
    *(
        {"features": features, "descriptions": "raw", "length": "root", "width": 1024, "epochs": 50}
        for features in ("l2", "standard")
    ),
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
    scale, x = scale_features(rows.features, setting["features"])
    describe = describe_by(rows.prototypes, setting["descriptions"])
    if setting["length"] == "root":
        describe = _longer(describe, rows.prototypes.shape[1] ** 0.5)
    s = describe(rows.prototypes).float()
    network = ClassNormNetwork(s.shape[1], setting["width"], x.shape[1])
    if setting["features"] == "l2":
        network.append(nn.ReLU())
    train_to_classify(network, x.float(), rows.labels, s, setting["epochs"])
    return functools.partial(_scores, scale, network, describe)


def _longer(describe: Describe, factor: float) -> Describe:
    return lambda s: factor * describe(s)


def _scores(scale: Scale, network: ClassNormNetwork, describe: Describe, x: Tensor, prototypes: Tensor) -> Tensor:
    return cosine_logits(network, scale(x).float(), describe(prototypes).float())
