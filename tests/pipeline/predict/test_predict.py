"""Prediction with the shipped model: it depends on the photo and the class table only."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import math
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, variance

import pytest
import torch
from PIL import Image

from revcd_cli.checkpoint.metadata import find_checkpoint
from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.data.photos.images import decode_rgb
from revcd_cli.errors import CheckpointError, ConfigError, RevcdError, UsageError
from revcd_cli.pipeline.predict.predictions import Prediction
from revcd_cli.pipeline.predict.predictor import Predictor
from revcd_cli.system.image_noise import image_generator
from tests.makers.predictions import EVERY_CLASS, TOLERANCE, assert_same_predictions, probabilities, scores


@pytest.fixture(scope="module")
def table(predictor: Predictor) -> ClassAttributes:
    return predictor.checkpoint.classes


def test_a_raccoon_is_classified_as_one(alone: dict[str, Prediction]):
    assert (alone["raccoon.jpg"].best.name, alone["raccoon.jpg"].best.seen) == ("raccoon", True)


def test_photos_of_seen_animals_are_classified_correctly(predictor: Predictor, shared_data: Path):
    animals = shared_data / "animals"
    with (animals / "images.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test_seen"]
    rows = [row for row in rows if row["class"] in predictor.checkpoint.seen]
    some = rows[:: len(rows) // 60][:60]
    found = predictor.predict([animals / row["path"] for row in some], top_k=1)
    right = sum(prediction.best.name == row["class"] for prediction, row in zip(found, some, strict=True))
    assert right >= 0.8 * len(some)


def test_every_class_has_a_finite_score_and_the_probabilities_sum_to_1(
    alone: dict[str, Prediction], table: ClassAttributes
):
    for prediction in alone.values():
        assert sorted(scores(prediction)) == sorted(table.names)
        assert all(map(math.isfinite, scores(prediction).values()))
        assert all(0 <= share <= 1 for share in probabilities(prediction).values())
        assert sum(probabilities(prediction).values()) == pytest.approx(1, abs=1e-5)


def test_candidates_are_sorted_by_score_and_probability(alone: dict[str, Prediction]):
    for prediction in alone.values():
        for values in (scores(prediction), probabilities(prediction)):
            assert list(values.values()) == sorted(values.values(), reverse=True)


def test_probabilities_are_the_softmax_of_the_scores_over_the_temperature(
    predictor: Predictor, alone: dict[str, Prediction]
):
    temperature = predictor.checkpoint.calibration_for(predictor.inference.rule).temperature
    found = alone["raccoon.jpg"]
    weights = {name: math.exp(score / temperature) for name, score in scores(found).items()}
    expected = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    assert probabilities(found) == pytest.approx(expected, abs=1e-5)


def test_the_seen_classes_are_those_that_the_model_was_trained_on(predictor: Predictor, alone: dict[str, Prediction]):
    for prediction in alone.values():
        assert {each.name for each in prediction.candidates if each.seen} == predictor.checkpoint.seen


@pytest.mark.parametrize("rule", ["evidence", "cosine"])
def test_a_score_is_that_of_the_feature_minus_the_seen_penalty_of_the_rule(
    predictor: Predictor, photos: Path, rule: str
):
    inference = dataclasses.replace(predictor.inference, rule=rule)
    found = Predictor(predictor.checkpoint, predictor.backbone, inference=inference).predict(
        photos / "cat.jpg", top_k=EVERY_CLASS
    )
    data, checkpoint = (photos / "cat.jpg").read_bytes(), predictor.checkpoint
    feature = predictor.backbone(predictor.backbone.transform(decode_rgb(data))[None])
    key = hashlib.sha256(data).digest()
    by_hand = checkpoint.model.score(
        feature,
        torch.from_numpy(checkpoint.classes.values),
        inference,
        [image_generator(checkpoint.seed, key)],
    )[0].tolist()
    names, gamma = checkpoint.classes.names, checkpoint.calibration_for(rule).gamma
    # Known candidates have the classifier's log probability in addition, see `tests/scoring/test_label_evidence.py`.
    expected = {
        n: s - gamma * (n in checkpoint.seen) for n, s in zip(names, by_hand, strict=True) if n not in checkpoint.known
    }
    assert len(expected) == 50
    assert {n: s for n, s in scores(found[0]).items() if n in expected} == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("top_k", [1, 3, EVERY_CLASS, 1000])
def test_top_k_truncates_the_list_and_changes_nothing_in_it(
    predictor: Predictor, photos: Path, alone: dict[str, Prediction], top_k: int
):
    found = predictor.predict(photos / "cat.jpg", top_k=top_k)[0]
    assert found.candidates == alone["cat.jpg"].candidates[:top_k]
    assert len(found.candidates) == min(top_k, EVERY_CLASS)


def test_an_unreadable_photo_has_a_reason_and_changes_no_other_prediction(
    predictor: Predictor, photos: Path, alone: dict[str, Prediction], tmp_path: Path
):
    whole = (photos / "cat.jpg").read_bytes()
    bad = {"empty.jpg": b"", "text.jpg": b"not a photo\n", "half.jpg": whole[: len(whole) // 2]}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    first, *others = sorted(photos.iterdir())
    inputs = [
        tmp_path / "empty.jpg",
        first,
        tmp_path / "text.jpg",
        tmp_path / "none.jpg",
        *others,
        tmp_path / "half.jpg",
    ]
    found = predictor.predict(inputs, top_k=EVERY_CLASS)
    assert [each.path for each in found] == [str(path) for path in inputs]
    failed = {Path(each.path).name: each.reason for each in found if each.status != "ok"}
    assert failed == {
        "empty.jpg": "empty_file",
        "text.jpg": "unsupported_format",
        "none.jpg": "not_found",
        "half.jpg": "truncated",
    }
    assert all(each.detail and not each.candidates and each.best is None for each in found if each.reason)
    assert_same_predictions([each for each in found if each.status == "ok"], alone)


def test_the_noise_of_the_cosine_rule_depends_on_the_seed_and_averages_out(cosine: Predictor, files: list[str]):
    first = cosine.predict(files, top_k=EVERY_CLASS, seed=1)
    assert cosine.predict(files, top_k=EVERY_CLASS, seed=1) == first
    assert all(one != other for one, other in zip(cosine.predict(files, top_k=EVERY_CLASS, seed=2), first, strict=True))

    def noise(samples: int) -> float:
        """Root mean square over photos and classes of a score's standard deviation over eight seeds."""
        inference = dataclasses.replace(cosine.inference, samples=samples)
        predictor = Predictor(cosine.checkpoint, cosine.backbone, inference=inference)
        runs = [predictor.predict(files, top_k=EVERY_CLASS, seed=seed) for seed in range(8)]
        found = [[scores(photo) for photo in run] for run in runs]
        return math.sqrt(
            fmean(variance(run[k][name] for run in found) for k in range(len(files)) for name in found[0][k])
        )

    assert noise(400) == pytest.approx(noise(16) / 5, rel=0.2)


def test_the_default_seed_is_that_of_the_model(cosine: Predictor, files: list[str]):
    assert cosine.predict(files[:1], seed=cosine.checkpoint.seed) == cosine.predict(files[:1])


def test_the_evidence_rule_does_not_depend_on_the_seed(predictor: Predictor, files: list[str]):
    assert predictor.predict(files[:1], seed=1) == predictor.predict(files[:1], seed=2)


def test_progress_counts_photos_and_failures_up_to_the_total(predictor: Predictor, photos: Path, tmp_path: Path):
    (tmp_path / "bad.jpg").write_bytes(b"")
    reported: list[tuple[int, int | None, int]] = []
    inputs = [str(tmp_path / "bad.jpg"), str(photos)]
    list(predictor.stream(inputs, batch_size=2, on_progress=lambda *counts: reported.append(counts)))
    assert reported == [(done, 6, 1) for done in range(1, 7)]


def test_thumbnails_are_small_jpegs_of_readable_photos_and_made_only_on_request(
    predictor: Predictor, photos: Path, tmp_path: Path
):
    (tmp_path / "bad.jpg").write_bytes(b"")
    inputs = [str(photos / "raccoon.jpg"), str(tmp_path / "bad.jpg")]
    good, bad = predictor.stream(inputs, thumbnails=True)
    with Image.open(io.BytesIO(good.thumbnail)) as image:
        assert image.format == "JPEG"
        assert max(image.size) == 320
    assert bad.thumbnail is None
    assert all(each.thumbnail is None for each in predictor.stream(inputs))


def decoders() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("revcd-")]


def test_a_stream_that_is_closed_early_ends_its_threads(predictor: Predictor, files: list[str]):
    answers: Iterator[Prediction] = predictor.stream(files, batch_size=1)
    assert next(answers).path == files[0]
    assert decoders()
    answers.close()
    assert not decoders()


def test_a_model_is_loaded_by_its_name_or_by_its_path(predictor: Predictor, files: list[str], tmp_path: Path):
    path = tmp_path / "copy.safetensors"
    shutil.copy(find_checkpoint("animals"), path)
    by_path = Predictor.from_checkpoint(path)
    assert by_path.checkpoint.sha256 == predictor.checkpoint.sha256
    assert by_path.predict(files[:2]) == predictor.predict(files[:2])


def test_the_rule_can_be_chosen_when_a_model_is_loaded(cosine: Predictor, files: list[str]):
    assert Predictor.from_checkpoint("animals", rule="cosine").predict(files[:2]) == cosine.predict(files[:2])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "animal"}, CheckpointError),
        ({"rule": "cosinus"}, ConfigError),
        ({"device": "abacus"}, UsageError),
        ({"precision": "float8"}, UsageError),
    ],
)
def test_invalid_options_of_a_model_are_refused(options: dict[str, str], error: type[RevcdError]):
    with pytest.raises(error):
        Predictor.from_checkpoint(**options)


@pytest.mark.parametrize("inputs", [[], ["no such photo.jpg"], ["no such*pattern"]])
def test_invalid_inputs_are_a_usage_error(predictor: Predictor, inputs: list[str]):
    with pytest.raises(UsageError):
        predictor.predict(inputs)


def test_a_folder_without_photos_is_an_error(predictor: Predictor, tmp_path: Path):
    with pytest.raises(RevcdError, match="no photo found"):
        predictor.predict(tmp_path)
