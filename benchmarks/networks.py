"""Generated data and networks of the default settings, for the benchmarks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from revcd_cli.config import BackboneRecord, Config
from revcd_cli.core.model import RevCD
from revcd_cli.core.trainer import TrainingRows
from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.data.datasets.dataset import FeaturedDataset, add_features, make_dataset
from revcd_cli.data.datasets.splits import Split

FEATURES, ATTRIBUTES, CLASSES = 1280, 85, 50  # of the shipped model


def single_network() -> Config:
    """Return the default settings with one network instead of two."""
    return Config.from_dict({"precondition": {"kind": "whiten"}})


def rows(photos: int, classes: int = CLASSES, noise: float = 1.0) -> TrainingRows:
    """Return photos whose features are a linear map of their class's description, plus noise."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(classes, ATTRIBUTES, generator=generator)
    lift = torch.randn(ATTRIBUTES, FEATURES, generator=generator) / ATTRIBUTES**0.5
    labels = torch.arange(photos) % classes
    features = prototypes[labels] @ lift + noise * torch.randn(photos, FEATURES, generator=generator)
    return TrainingRows(features, labels, prototypes)


def dataset(photos: int, unseen: int = 10) -> FeaturedDataset:
    """Return the photos of `rows` as a data set with `unseen` further classes that have no photos."""
    data = rows(photos)
    table = torch.cat([data.prototypes, torch.rand(unseen, ATTRIBUTES, generator=torch.Generator().manual_seed(1))])
    names = tuple(f"class {number}" for number in range(len(table)))
    paths = [f"{names[label]}/{number}.jpg" for number, label in enumerate(data.labels.tolist())]
    nothing = np.arange(0)
    photos_of_classes = make_dataset(
        name="generated",
        classes=ClassAttributes(names, tuple(f"trait {k}" for k in range(ATTRIBUTES)), table.numpy(), "", ""),
        labels=data.labels.numpy(),
        paths=paths,
        keys=paths,
        split=Split(np.arange(photos), nothing, nothing),
        source="generated",
    )
    backbone = BackboneRecord(tag="generated", weights_sha256="", preprocessing={}, feature_dim=FEATURES)
    return add_features(photos_of_classes, data.features.numpy(), backbone)


def network(data: TrainingRows) -> RevCD:
    """Return an untrained network with fitted preconditioning and no weight at exactly zero."""
    torch.manual_seed(0)
    model = RevCD(single_network(), FEATURES, ATTRIBUTES, len(data.prototypes)).eval().requires_grad_(False)
    model.fit_preprocessing(data.features, data.labels, data.prototypes)
    for parameter in model.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def largest_difference(left: Tensor, right: Tensor) -> float:
    """Return the largest difference, divided by the standard deviation of `right`."""
    return float((left - right).abs().max() / right.std())
