"""A small data set of pictures drawn on the fly, and a model trained on it by the command line, once."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import NamedTuple

import platformdirs
import pytest

from revcd_cli.__main__ import main
from tests.makers.feature_folder import make_feature_folder
from tests.makers.shapes import SEEN, SMALL_OPTIONS, UNSEEN, make_folder


class Trained(NamedTuple):
    """A data set folder, the model trained on it, and what the training said."""

    folder: Path
    model: Path
    said: str
    options: list[str]  # of `revcd train`, beside the data set and the output
    seen: tuple[str, ...] = SEEN
    unseen: tuple[str, ...] = UNSEEN


@pytest.fixture(scope="package")
def features_folder(tmp_path_factory: pytest.TempPathFactory):
    """A cache of features of these tests' own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platformdirs, "user_cache_dir", lambda name: str(folder / name))
        yield folder / "revcd" / "features"


@pytest.fixture(scope="package")
def trained(features_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("trained")
    folder, model, said = make_folder(root / "shapes"), root / "models" / "shapes.safetensors", io.StringIO()
    with contextlib.redirect_stderr(said):
        assert main(["train", "--dataset", str(folder), "-o", str(model), *SMALL_OPTIONS]) == 0
    return Trained(folder, model, said.getvalue(), SMALL_OPTIONS)


@pytest.fixture
def dataset_copy(trained: Trained, tmp_path: Path) -> Path:
    """The same data set elsewhere, its photos unchanged."""
    return Path(shutil.copytree(trained.folder, tmp_path / "shapes"))


@pytest.fixture(scope="package")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set folder of 4 seen and 2 unseen classes, whose photos are there as features only."""
    return make_feature_folder(tmp_path_factory.mktemp("animals"))
