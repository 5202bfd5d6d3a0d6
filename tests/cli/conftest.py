"""A small data set of drawn images, and a model that `revcd train` trains on it once per test run."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import platformdirs
import pytest

from revcd_cli.__main__ import main
from tests.makers.feature_folder import make_feature_folder
from tests.makers.once import made_once
from tests.makers.shapes import SEEN, SMALL_OPTIONS, UNSEEN, make_folder


class Trained(NamedTuple):
    """A data set folder, the model trained on it, and the messages of the training."""

    folder: Path
    model: Path
    said: str
    options: list[str]  # of `revcd train`, without the data set and the output
    seen: tuple[str, ...] = SEEN
    unseen: tuple[str, ...] = UNSEEN


@contextlib.contextmanager
def user_cache(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platformdirs, "user_cache_dir", lambda name: str(folder / name))
        yield


def train_on_shapes(root: Path) -> None:
    """Fill a folder with the data set, the model, the cache of its features and the messages of the training."""
    folder, messages = make_folder(root / "shapes"), io.StringIO()
    output = str(root / "models" / "shapes.safetensors")
    with user_cache(root / "cache"), contextlib.redirect_stderr(messages):
        assert main(["train", "--dataset", str(folder), "-o", output, *SMALL_OPTIONS]) == 0
    (root / "messages.txt").write_text(messages.getvalue(), encoding="utf-8")


@pytest.fixture(scope="package")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "trained", train_on_shapes)


@pytest.fixture(scope="package")
def features_folder(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the cache of features, a copy of the training's for this process."""
    folder = tmp_path_factory.mktemp("cache")
    shutil.copytree(trained_folder / "cache", folder, dirs_exist_ok=True)
    with user_cache(folder):
        yield folder / "revcd" / "features"


@pytest.fixture(scope="package")
def trained(features_folder: Path, trained_folder: Path) -> Trained:
    said = (trained_folder / "messages.txt").read_text(encoding="utf-8")
    return Trained(trained_folder / "shapes", trained_folder / "models" / "shapes.safetensors", said, SMALL_OPTIONS)


@pytest.fixture
def dataset_copy(trained: Trained, tmp_path: Path) -> Path:
    """Return a copy of the data set's folder."""
    return Path(shutil.copytree(trained.folder, tmp_path / "shapes"))


@pytest.fixture(scope="package")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set folder of 4 seen and 2 unseen classes, with features and no photos."""
    return make_feature_folder(tmp_path_factory.mktemp("animals"))
