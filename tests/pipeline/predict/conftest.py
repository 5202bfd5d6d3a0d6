"""The shipped model with its backbone, a few photos, and the prediction for each photo alone."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from revcd_cli.pipeline.predict.predictions import Prediction
from revcd_cli.pipeline.predict.predictor import Predictor
from tests.makers.predictions import EVERY_CLASS, EXAMPLES, pattern


@pytest.fixture(scope="package")
def predictor() -> Predictor:
    return Predictor.from_checkpoint("animals")


@pytest.fixture(scope="package")
def cosine(predictor: Predictor) -> Predictor:
    return Predictor(
        predictor.checkpoint, predictor.backbone, inference=dataclasses.replace(predictor.inference, rule="cosine")
    )


@pytest.fixture(scope="package")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five photos: two real ones and three patterns, in three formats."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("cat.jpg", "raccoon.jpg"):
        shutil.copy(EXAMPLES / name, folder)
    for number, suffix in enumerate(("png", "jpg", "bmp")):
        pattern(number).save(folder / f"pattern {number}.{suffix}")
    return folder


@pytest.fixture(scope="package")
def files(photos: Path) -> list[str]:
    return [str(path) for path in sorted(photos.iterdir())]


@pytest.fixture(scope="package")
def alone(predictor: Predictor, files: list[str]) -> dict[str, Prediction]:
    """The prediction for each photo alone, by file name."""
    return {Path(file).name: predictor.predict(file, top_k=EVERY_CLASS)[0] for file in files}
