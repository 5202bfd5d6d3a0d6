"""Shared helpers of the benchmarks: a model of the default settings, generated data, and timing in alternation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

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


def one_member() -> Config:
    """The default settings of a single network; the default model is two of them."""
    return Config.from_dict({"precondition": {"kind": "whiten"}})


def rows(photos: int, classes: int = CLASSES, noise: float = 1.0) -> TrainingRows:
    """Photos whose features follow from their class's description, with noise."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(classes, ATTRIBUTES, generator=generator)
    lift = torch.randn(ATTRIBUTES, FEATURES, generator=generator) / ATTRIBUTES**0.5
    labels = torch.arange(photos) % classes
    features = prototypes[labels] @ lift + noise * torch.randn(photos, FEATURES, generator=generator)
    return TrainingRows(features, labels, prototypes)


def dataset(photos: int, unseen: int = 10) -> FeaturedDataset:
    """The same photos as a data set, beside classes of which there are only descriptions."""
    data = rows(photos)
    table = torch.cat([data.prototypes, torch.rand(unseen, ATTRIBUTES, generator=torch.Generator().manual_seed(1))])
    names = tuple(f"class {number}" for number in range(len(table)))
    paths = [f"{names[label]}/{number}.jpg" for number, label in enumerate(data.labels.tolist())]
    nothing = np.arange(0)
    photos_of_classes = make_dataset(
        name="made up",
        classes=ClassAttributes(names, tuple(f"trait {k}" for k in range(ATTRIBUTES)), table.numpy(), "", ""),
        labels=data.labels.numpy(),
        paths=paths,
        keys=paths,
        split=Split(np.arange(photos), nothing, nothing),
        source="made up",
    )
    backbone = BackboneRecord(tag="made up", weights_sha256="", preprocessing={}, feature_dim=FEATURES)
    return add_features(photos_of_classes, data.features.numpy(), backbone)


def network(data: TrainingRows) -> RevCD:
    """An untrained network with fitted preconditioning, every weight of it at work."""
    torch.manual_seed(0)
    model = RevCD(one_member(), FEATURES, ATTRIBUTES, len(data.prototypes)).eval().requires_grad_(False)
    model.fit_preprocessing(data.features, data.labels, data.prototypes)
    for parameter in model.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def in_turn(
    ways: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
    warm: bool = True,
) -> dict[str, list[float]]:
    """Run every way once to warm up, then all in turn, round by round. Returns seconds, by default of the processor."""
    for way in ways.values() if warm else ():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = clock()
            way()
            seconds[name].append(clock() - started)
    return seconds


def ratio(slow: list[float], fast: list[float], factor: float = 1.0) -> str:
    """Return the median ratio of two ways over the rounds, with its range; factor scales it to equal amounts."""
    ratios = [factor * a / b for a, b in zip(slow, fast, strict=True)]
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})"


def largest_difference(left: Tensor, right: Tensor) -> float:
    """Return the largest difference as a share of the usual size of the right one."""
    return float((left - right).abs().max() / right.std())
