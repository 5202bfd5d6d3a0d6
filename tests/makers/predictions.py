"""Compare predictions, and make images to predict on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revcd_cli.pipeline.predict.predictions import Prediction

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EVERY_CLASS = 109  # the number of classes of the shipped model
TOLERANCE = 1e-4  # of scores and probabilities, between batches of different photos and tables of different sizes


def pattern(seed: int, side: int = 48) -> Image.Image:
    """Return an image of random coloured blocks, another for each seed."""
    colours = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((side, side + 8 * seed), Image.Resampling.NEAREST)


def scores(prediction: Prediction) -> dict[str, float]:
    return {candidate.name: candidate.score for candidate in prediction.candidates}


def probabilities(prediction: Prediction) -> dict[str, float]:
    return {candidate.name: candidate.probability for candidate in prediction.candidates}


def assert_same_prediction(one: Prediction, other: Prediction) -> None:
    assert one.status == other.status == "ok"
    assert one.best.name == other.best.name
    assert scores(one) == pytest.approx(scores(other), rel=0, abs=TOLERANCE)
    assert probabilities(one) == pytest.approx(probabilities(other), rel=0, abs=TOLERANCE)
    assert {c.name: c.seen for c in one.candidates} == {c.name: c.seen for c in other.candidates}


def assert_same_predictions(predictions: list[Prediction], alone: dict[str, Prediction]) -> None:
    """Assert that there is one prediction for each photo, equal to that for the photo alone."""
    assert sorted(Path(each.path).name for each in predictions) == sorted(alone)
    for prediction in predictions:
        assert_same_prediction(prediction, alone[Path(prediction.path).name])
