"""Features have the answers of their photos, and `only` the answers of a table with these rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.data.features.feature_set import FeatureSet
from revcd_cli.data.features.files import read_features, write_features
from revcd_cli.errors import InputFileError, UsageError
from revcd_cli.pipeline.extract.extract import extract
from revcd_cli.pipeline.predict.only import read_names, restrict
from revcd_cli.pipeline.predict.predictions import Prediction
from revcd_cli.pipeline.predict.predictor import Predictor
from tests.makers.predictions import EVERY_CLASS, assert_same_prediction, assert_same_predictions


@pytest.fixture(scope="module")
def features(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    path = tmp_path_factory.mktemp("features") / "f.parquet"
    extract([str(photos)], path, backbone="embedded@300", precision="float32")
    return read_features(path)


@pytest.fixture(scope="module")
def of_features() -> Predictor:
    return Predictor.from_checkpoint("animals", with_backbone=False)


@pytest.mark.parametrize("suffix", ["parquet", "npz", "mat"])
def test_features_of_every_form_have_the_answers_of_the_photos(
    suffix: str, features: FeatureSet, of_features: Predictor, alone: dict[str, Prediction], tmp_path: Path
):
    write_features(tmp_path / f"f.{suffix}", [features])
    found = of_features.predict(read_features(tmp_path / f"f.{suffix}"), top_k=EVERY_CLASS)
    assert_same_predictions(found, alone)


def test_the_noise_of_a_photo_is_that_of_its_bytes(features: FeatureSet, predictor: Predictor, files: list[str]):
    cosine = dataclasses.replace(predictor.inference, rule="cosine")
    of_photos = Predictor(predictor.checkpoint, predictor.backbone, inference=cosine)
    of_features = Predictor(predictor.checkpoint, None, inference=cosine)
    photos = {each.path: each for each in of_photos.predict(files, top_k=EVERY_CLASS)}
    for each in of_features.predict(features, top_k=EVERY_CLASS):
        assert_same_prediction(each, photos[each.path])


def test_the_order_of_the_features_does_not_matter(features: FeatureSet, of_features: Predictor):
    unknown = dataclasses.replace(features, sha256=("",) * len(features))
    turned = dataclasses.replace(unknown, paths=unknown.paths[::-1], features=unknown.features[::-1].copy())
    for one, other in zip(of_features.predict(unknown), of_features.predict(turned)[::-1], strict=True):
        assert_same_prediction(one, other)


def test_a_photo_without_a_feature_is_a_failed_prediction(features: FeatureSet, of_features: Predictor):
    values = features.features.copy()
    values[1] = np.nan
    status = tuple("failed" if row == 1 else "ok" for row in range(len(features)))
    reason = tuple("truncated" if row == 1 else "" for row in range(len(features)))
    found = of_features.predict(dataclasses.replace(features, features=values, status=status, reason=reason))
    assert [each.status for each in found] == list(status)
    assert (found[1].reason, found[1].path) == ("truncated", features.paths[1])


@pytest.mark.parametrize(
    ("field", "value"), [("tag", "other"), ("weights_sha256", "0" * 64), ("preprocessing", {"input_size": [3, 8, 8]})]
)
def test_features_of_another_backbone_are_refused(
    field: str, value: object, features: FeatureSet, of_features: Predictor
):
    record = dataclasses.replace(features.backbone, **{field: value})
    with pytest.raises(UsageError, match=f"another backbone than the model's: {field}") as caught:
        of_features.predict(dataclasses.replace(features, backbone=record))
    assert caught.value.hint and "revcd extract --backbone embedded@300)" in caught.value.hint


def test_a_predictor_without_a_backbone_says_so_for_photos(of_features: Predictor, files: list[str]):
    with pytest.raises(UsageError, match="no backbone"):
        of_features.predict(files)


def test_only_gives_the_answers_of_a_table_with_these_rows(features: FeatureSet, of_features: Predictor):
    table, names = of_features.checkpoint.classes, ["Grizzly_Bear", "moose", "deer", "moose"]
    rows = [row for row, name in enumerate(table.names) if name in ("grizzly bear", "moose", "deer")]
    restricted = restrict(of_features.candidates(), names)
    assert restricted.names == tuple(table.names[row] for row in rows)
    part = dataclasses.replace(table, names=restricted.names, values=table.values[rows])
    by_rows = of_features.stream(features, classes=part)
    for one, other in zip(of_features.stream(features, classes=restricted), by_rows, strict=True):
        assert_same_prediction(one, other)


def test_a_name_that_is_no_candidate_is_refused(of_features: Predictor):
    with pytest.raises(UsageError, match=r'"moos" is not one of the 109 classes \(did you mean "moose"\?\)'):
        restrict(of_features.candidates(), ["deer", "moos"])


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        (
            "region.txt",
            "\ufeffmoose\r\n\r\n grizzly bear \r\nbear, black\r\n",
            ["moose", "grizzly bear", "bear, black"],
        ),
        ("region.csv", 'class,count\nmoose,3\n"bear, black",1\n', ["moose", "bear, black"]),
        ("region.csv", "moose\ndeer\n", ["moose", "deer"]),
    ],
)
def test_names_are_read_from_a_file_or_between_commas(name: str, text: str, names: list[str], tmp_path: Path):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert read_names(str(tmp_path / name)) == names
    assert read_names("moose, grizzly bear,") == ["moose", "grizzly bear"]


def test_a_list_without_names_is_refused(tmp_path: Path):
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(InputFileError, match="names no class"):
        read_names(str(tmp_path / "empty.txt"))
    with pytest.raises(UsageError, match="names no class"):
        read_names(" , ")
