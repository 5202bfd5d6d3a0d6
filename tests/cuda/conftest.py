"""Fixtures of the tests that need an NVIDIA GPU.

python -m pytest tests/cuda                              # skipped where there is no GPU
REVCD_TEST_DEVICE=cpu python -m pytest tests/cuda        # dry run on the CPU
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.conftest import SHARED_DATA
from tests.cuda.photos import crops, drawn
from tests.makers.feature_folder import make_feature_folder
from tests.makers.shapes import make_folder
from tests.makers.toy import make_toy, small_config, toy_model, weights

__all__ = ["make_toy", "small_config", "toy_model", "weights"]

PHOTOS = 200


@pytest.fixture(scope="session")
def device() -> str:
    """The device under test: "cuda", or what REVCD_TEST_DEVICE says. Skips where it is a GPU and there is none."""
    name = os.environ.get("REVCD_TEST_DEVICE", "cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device; REVCD_TEST_DEVICE=cpu runs these tests on the CPU")
    return name


@pytest.fixture(scope="session")
def gpu(device: str) -> torch.device:
    """The GPU, for tests that mean nothing on the CPU."""
    if not device.startswith("cuda"):
        pytest.skip("about a GPU's own memory and types; not part of the dry run")
    return torch.device(device)


@pytest.fixture(scope="session")
def photos(device: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 200 JPEG files: real photos of animals if they are on this machine, else crops and drawings."""
    folder = tmp_path_factory.mktemp("photos")
    animals = sorted((SHARED_DATA / "animals" / "images").glob("*/*.jpg"))
    if animals:
        for number, path in enumerate(animals[:: len(animals) // PHOTOS][:PHOTOS]):
            (folder / f"{number:03}.jpg").symlink_to(path)
        return folder
    pictures = [*crops(PHOTOS - PHOTOS // 4), *drawn(PHOTOS // 4)]
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number:03}.jpg", quality=90)
    return folder


@pytest.fixture(scope="session")
def shapes(device: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 40 pictures in 5 classes."""
    return make_folder(tmp_path_factory.mktemp("shapes") / "shapes")


@pytest.fixture(scope="session")
def feature_folder(device: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 60 image features in 6 classes, without pictures."""
    return make_feature_folder(tmp_path_factory.mktemp("features"))
