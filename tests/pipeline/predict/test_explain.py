"""Explanations: generated attributes depend on the photo only, and do not change predictions."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.pipeline.predict.predictions import REJECTED, Prediction
from revcd_cli.pipeline.predict.predictor import Predictor

TOLERANCE = 0.01  # of generated values, in 0..100, between batches of different photos


@pytest.fixture(scope="module")
def explained(predictor: Predictor, files: list[str]) -> list[Prediction]:
    return predictor.predict(files, explain=True)


def test_an_explanation_changes_no_prediction(predictor: Predictor, files: list[str], explained: list[Prediction]):
    plain = predictor.predict(files)
    assert all(each.drawn is None for each in plain)
    assert [dataclasses.replace(each, drawn=None) for each in explained] == plain


def test_every_prediction_has_a_mean_and_a_spread_for_each_attribute(predictor: Predictor, explained: list[Prediction]):
    attributes = predictor.checkpoint.classes.attributes
    for each in explained:
        assert each.drawn.is_finite
        assert len(each.drawn.mean) == len(each.drawn.spread) == len(attributes)
        assert min(each.drawn.spread) >= 0


def test_generated_attributes_do_not_depend_on_the_other_photos(
    predictor: Predictor, files: list[str], explained: list[Prediction]
):
    (alone,) = predictor.predict(files[1], explain=True)
    for part in ("mean", "spread"):
        found, expected = (getattr(each.drawn, part) for each in (explained[1], alone))
        assert found == pytest.approx(expected, abs=TOLERANCE)


def test_generated_attributes_depend_on_the_seed(predictor: Predictor, files: list[str], explained: list[Prediction]):
    default = predictor.predict(files, explain=True, seed=predictor.checkpoint.seed)
    other = predictor.predict(files, explain=True, seed=predictor.checkpoint.seed + 1)
    assert [each.drawn for each in default] == [each.drawn for each in explained]
    assert all(one.drawn != another.drawn for one, another in zip(other, explained, strict=True))


def test_generated_attributes_of_a_raccoon_are_closer_to_its_description_than_to_the_second_class(
    predictor: Predictor, files: list[str], explained: list[Prediction]
):
    raccoon = next(each for file, each in zip(files, explained, strict=True) if file.endswith("raccoon.jpg"))
    described = predictor.descriptions(predictor.candidates())
    gaps = [
        np.abs(np.array(raccoon.drawn.mean) - described.rows[candidate.name]) / described.unit
        for candidate in raccoon.candidates[:2]
    ]
    assert gaps[0].mean() < gaps[1].mean()


def test_only_classified_photos_are_explained(predictor: Predictor, files: list[str], tmp_path: Path):
    (tmp_path / "broken.jpg").write_bytes(b"")
    shutil.copy(files[0], tmp_path / "good.jpg")
    rule = predictor.inference.rule
    strict = dataclasses.replace(predictor.calibration, threshold=1e9)
    rejecting = Predictor(dataclasses.replace(predictor.checkpoint, calibrations={rule: strict}), predictor.backbone)
    failed, named = predictor.predict(tmp_path, explain=True)
    assert (failed.status, failed.drawn) == ("failed", None) and named.drawn is not None
    withheld = rejecting.predict(tmp_path, explain=True, reject=True)[1]
    assert (withheld.status, withheld.drawn) == (REJECTED, None)


def test_reliability_is_none_in_a_model_that_did_not_measure_it(predictor: Predictor):
    known, unknown = (
        Predictor(dataclasses.replace(predictor.checkpoint, metrics=metrics), predictor.backbone)
        for metrics in ({"attributes": {"stripes": 0.75, "smelly": None}}, {})
    )
    attributes = predictor.checkpoint.classes.attributes
    found = dict(zip(attributes, known.descriptions(known.candidates()).reliability, strict=True))
    assert (found["stripes"], found["smelly"]) == (0.75, None)
    assert set(unknown.descriptions(unknown.candidates()).reliability) == {None}
