"""A small data set of pictures drawn on the fly, and a model trained on it by the command line, once."""

from __future__ import annotations

import contextlib
import csv
import io
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
import pytest
from PIL import Image

from revcd_cli.__main__ import main

SEEN, UNSEEN = ("red", "green", "striped", "dotted"), ("blue", "plain")  # of "plain" there is no photo at all
PHOTOS = 8  # of each other class
SMALL = ("train.epochs=2", "denoiser.width=32", "encoder.width=32", "encoder.n_tokens=4", "encoder.feedforward=32")
SMALL_OPTIONS = ["--backbone", "embedded", *(part for setting in SMALL for part in ("--set", setting))]


class Trained(NamedTuple):
    """A data set folder, the model trained on it, and what the training said."""

    folder: Path
    model: Path
    said: str
    options: list[str]  # of `revcd train`, beside the data set and the output
    seen: tuple[str, ...] = SEEN
    unseen: tuple[str, ...] = UNSEEN


def draw(name: str, generator: np.random.Generator) -> Image.Image:
    """Return a picture of 64 x 64 that shows its class by colour or pattern, under noise."""
    canvas = generator.integers(0, 60, (64, 64, 3))
    if name in ("red", "green", "blue"):
        canvas[:, :, ("red", "green", "blue").index(name)] += 180
    elif name == "striped":
        canvas[:: generator.integers(4, 8)] += 180
    else:
        canvas[:: generator.integers(6, 10), :: generator.integers(6, 10)] += 180
    return Image.fromarray(canvas.astype(np.uint8))


def make_folder(root: Path) -> Path:
    generator = np.random.default_rng(0)
    for name in (*SEEN, "blue"):
        (root / name).mkdir(parents=True)
        for number in range(PHOTOS):
            draw(name, generator).save(root / name / f"{number}.png")
    with (root / "attributes.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["class", *(f"trait {k}" for k in range(6))])
        writer.writerows([name, *generator.uniform(0, 1, 6).round(3)] for name in (*SEEN, *UNSEEN))
    parts = ["trainval"] * 6 + ["test_seen"] * 2
    lines = [f"{name}/{k}.png,{name},{parts[k]}" for name in SEEN for k in range(PHOTOS)]
    lines += [f"blue/{k}.png,blue,test_unseen" for k in range(PHOTOS)]
    (root / "images.csv").write_text("\n".join(["path,class,split", *lines]), encoding="utf-8")
    return root


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
