"""A toy data set that is learnt in less than a second, a model trained on it, and random backbone weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from revcd_cli.config import BackboneRecord, Config
from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.data.datasets.dataset import Dataset, FeaturedDataset, add_features, make_dataset
from revcd_cli.data.datasets.splits import Split
from revcd_cli.pipeline.train.train import train

from .once import made_once

TINY_BACKBONE = "test_resnet.r160_in1k"
N_ATTRIBUTES, FEATURE_DIM = 12, 24
BACKBONE = BackboneRecord(tag="toy", weights_sha256="ab", preprocessing={"size": 8}, feature_dim=FEATURE_DIM)
SMALL = {
    "precondition": {"kind": "standardise"},  # one network; ensembles have their own tests
    "diffusion": {"timesteps": 50},
    "encoder": {"n_tokens": 4, "width": 16, "heads": 2, "feedforward": 32},
    "denoiser": {"width": 32, "time_width": 16},
    # The search for the settings of the prototypes has its own tests.
    "prototypes": {"components": 16, "whitening": 0.0, "length": 2.0, "noise": 0.2, "own_share": 0.1},
    "class_network": {"width": 16, "epochs": 5},
    "train": {"epochs": 4, "evaluate_every": 2, "batch_size": 16, "learning_rate": 0.01, "validation_folds": 2},
}


class ToyModel(NamedTuple):
    dataset: FeaturedDataset
    config: Config
    path: Path


def _make_toy(n_seen: int = 6, n_unseen: int = 2) -> FeaturedDataset:
    """Return features that are a linear map of the class description plus noise, with unequal class sizes."""
    generator = np.random.default_rng(1)
    names = tuple(f"class {number}" for number in range(n_seen + n_unseen))
    values = generator.normal(size=(len(names), N_ATTRIBUTES)).astype(np.float32)
    labels = np.repeat(np.arange(len(names)), [16 + number % 5 for number in range(len(names))])
    clean = values[labels] @ generator.normal(size=(N_ATTRIBUTES, FEATURE_DIM))
    features = (clean + 0.5 * generator.normal(size=clean.shape)).astype(np.float32)
    place = np.concatenate([np.arange(count) for count in np.bincount(labels)])
    is_test, is_unseen = place < 3 + labels % 3, labels >= n_seen
    keys = [f"{names[label]}/{number}.jpg" for label, number in zip(labels, place, strict=True)]
    dataset = make_dataset(
        name="toy",
        classes=ClassAttributes(names, tuple(f"trait {k}" for k in range(N_ATTRIBUTES)), values, "toy.csv", "00"),
        labels=labels,
        paths=keys,
        keys=keys,
        split=Split(
            np.flatnonzero(~is_unseen & ~is_test), np.flatnonzero(~is_unseen & is_test), np.flatnonzero(is_unseen)
        ),
        source="toy.csv",
        published=True,  # as a benchmark: the penalty with the best H, and no use of descriptions of unseen classes
    )
    return add_features(dataset, features, BACKBONE)


def without_features(dataset: Dataset) -> Dataset:
    """Return the same dataset as it is before features are extracted."""
    return Dataset(**{field.name: getattr(dataset, field.name) for field in dataclasses.fields(Dataset)})


def _small_config(**sections: dict[str, Any]) -> Config:
    return Config.from_dict({name: SMALL.get(name, {}) | sections.get(name, {}) for name in SMALL | sections})


@pytest.fixture(scope="session")
def make_toy() -> Callable[..., FeaturedDataset]:
    """Return make_toy(n_seen=6, n_unseen=2), which returns a new, deterministic data set."""
    return _make_toy


@pytest.fixture(scope="session")
def small_config() -> Callable[..., Config]:
    """Return small_config(train={"epochs": 3}), which returns a fast configuration with changes."""
    return _small_config


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> ToyModel:
    """Return a model trained on the toy data set. Tests must not change its file."""
    dataset, config = _make_toy(), _small_config()
    folder = made_once(
        tmp_path_factory, "toy", lambda folder: train(dataset, config, folder / "toy.safetensors", device="cpu")
    )
    return ToyModel(dataset, config, folder / "toy.safetensors")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights of TINY_BACKBONE, timm's smallest network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(timm.create_model(TINY_BACKBONE, pretrained=False).state_dict(), path)
    return path
