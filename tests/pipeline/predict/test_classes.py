"""Class tables in prediction: attributes are matched by name, classes scored independently, oddities noted."""

from __future__ import annotations

import dataclasses
import math
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from revcd_cli.data.classes.attributes import ClassAttributes, write_attribute_csv
from revcd_cli.errors import InputFileError
from revcd_cli.pipeline.predict.predictions import Prediction
from revcd_cli.pipeline.predict.predictor import Predictor
from tests.makers.predictions import EVERY_CLASS, EXAMPLES, TOLERANCE, probabilities, scores


@pytest.fixture(scope="module")
def table(predictor: Predictor) -> ClassAttributes:
    return predictor.checkpoint.classes


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three photos, one of them made of noise."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("cat.jpg", "raccoon.jpg"):
        shutil.copy(EXAMPLES / name, folder)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    return folder


@pytest.fixture(scope="module")
def own(predictor: Predictor, photos: Path) -> list[Prediction]:
    """The predictions with all classes of the model."""
    return predictor.predict(photos, top_k=EVERY_CLASS)


def test_permuted_columns_give_exactly_the_same_predictions(predictor: Predictor, photos: Path, table: ClassAttributes):
    order = np.random.default_rng(0).permutation(len(table.attributes))
    permuted = dataclasses.replace(
        table, attributes=tuple(table.attributes[k] for k in order), values=table.values[:, order]
    )
    assert predictor.predict(photos, classes=permuted) == predictor.predict(photos)


def test_permuted_rows_give_the_same_predictions(
    predictor: Predictor, photos: Path, table: ClassAttributes, own: list[Prediction]
):
    names = list(table.names)
    random.Random(0).shuffle(names)
    found = predictor.predict(photos, classes=table.select(names), top_k=EVERY_CLASS)
    for one, other in zip(found, own, strict=True):
        assert one.best.name == other.best.name
        assert scores(one) == pytest.approx(scores(other), abs=TOLERANCE)
        assert probabilities(one) == pytest.approx(probabilities(other), abs=TOLERANCE)
        assert {each.name for each in one.candidates if each.seen} == predictor.checkpoint.seen


def test_the_table_of_the_model_written_and_read_again_gives_exactly_the_same_predictions(
    predictor: Predictor, photos: Path, table: ClassAttributes, tmp_path: Path
):
    write_attribute_csv(tmp_path / "own.csv", table)
    expected = predictor.predict(photos)
    assert predictor.predict(photos, classes=tmp_path / "own.csv") == expected
    assert predictor.predict(photos, classes=str(tmp_path / "own.csv")) == expected
    assert predictor.candidates(tmp_path / "own.csv").warnings == ()


@pytest.mark.parametrize("rule", ["evidence", "cosine"])
def test_a_new_class_changes_no_other_score(
    predictor: Predictor, cosine: Predictor, photos: Path, table: ClassAttributes, rule: str
):
    used = cosine if rule == "cosine" else predictor
    new = table.values[[table.index("tiger"), table.index("zebra")]].mean(0)
    wider = dataclasses.replace(
        table, names=("tigra", *table.names), values=np.vstack([new, table.values]).astype(np.float32)
    )
    before = used.predict(photos, top_k=EVERY_CLASS)
    after = used.predict(photos, classes=wider, top_k=EVERY_CLASS + 1)
    for one, other in zip(after, before, strict=True):
        found = scores(one)
        assert math.isfinite(found.pop("tigra"))
        assert found == pytest.approx(scores(other), abs=TOLERANCE)
        assert not next(each.seen for each in one.candidates if each.name == "tigra")
        assert sum(probabilities(one).values()) == pytest.approx(1, abs=1e-5)


def test_a_smaller_table_does_not_change_the_scores_of_its_classes(
    predictor: Predictor, photos: Path, table: ClassAttributes, own: list[Prediction]
):
    few = ["rat", "zebra", "raccoon"]
    for found, prediction in zip(predictor.predict(photos, classes=table.select(few)), own, strict=True):
        whole = scores(prediction)
        assert scores(found) == pytest.approx({name: whole[name] for name in few}, abs=TOLERANCE)
        assert sum(probabilities(found).values()) == pytest.approx(1, abs=1e-5)


def test_seen_classes_are_recognised_by_name_in_any_spelling(predictor: Predictor, table: ClassAttributes):
    spelt = dataclasses.replace(table.select(["grizzly bear", "rat"]), names=("Grizzly_Bear", "RAT"))
    assert predictor.candidates(spelt).seen.tolist() == [True, False]


def test_of_classes_with_equal_descriptions_the_first_is_predicted_with_a_warning(
    predictor: Predictor, photos: Path, table: ClassAttributes
):
    twins = dataclasses.replace(table.select(["rat", "rat"]), names=("one rat", "another rat"))
    candidates = predictor.candidates(twins)
    assert any('"one rat", "another rat"' in warning for warning in candidates.warnings)
    for found in predictor.predict(photos, classes=twins):
        assert [each.name for each in found.candidates] == ["one rat", "another rat"]
        assert [each.probability for each in found.candidates] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("values", [0.0, 50.0, 1e15, -1.0])
def test_scores_are_finite_for_extreme_descriptions(
    predictor: Predictor, photos: Path, table: ClassAttributes, values: float
):
    row = np.full((1, len(table.attributes)), values, np.float32)
    odd = dataclasses.replace(  # not through a table, whose reader refuses values on another scale
        predictor.candidates(table),
        names=("odd", *table.names),
        prototypes=torch.from_numpy(np.vstack([row, table.values])),
        own=torch.cat([torch.tensor([-1]), predictor.candidates(table).own]),
        kinds=("described", *predictor.candidates(table).kinds),
    )
    for found in predictor.predict(photos, classes=odd, top_k=EVERY_CLASS + 1):
        assert all(map(math.isfinite, [*scores(found).values(), *probabilities(found).values()]))
        assert len(found.candidates) == EVERY_CLASS + 1


def test_a_table_with_other_attributes_is_refused_with_the_nearest_name(
    predictor: Predictor, photos: Path, table: ClassAttributes
):
    misspelt = dataclasses.replace(
        table, attributes=tuple(name.replace("stripes", "stripse") for name in table.attributes)
    )
    with pytest.raises(InputFileError, match=r'"stripes" \(did you mean "stripse"\?\)'):
        predictor.predict(photos, classes=misspelt)
