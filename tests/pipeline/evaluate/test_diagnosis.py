"""The diagnosis of an evaluation: correct counts, misclassified photos, and the files that hold them."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.pipeline.evaluate.diagnosis import FEWEST_CLASSES, attributes_of_photos, diagnose, few_of_each
from revcd_cli.pipeline.evaluate.evaluate import evaluation_scores
from revcd_cli.pipeline.evaluate.split_scores import SplitPredictions
from revcd_cli.pipeline.evaluate.worst_classes import PHOTOS, worst_classes
from revcd_cli.reports.evaluation.metrics import describe_evaluation
from revcd_cli.reports.evaluation.report import EVALUATION_FILES, write_evaluation
from tests.makers.evaluations import diagnosis_of, document_of, many_classes, scores_of
from tests.makers.pictures import encoded, photo

NAMES, SEEN = ("wolf", "fox", "okapi"), (True, True, False)
ANSWERS = [(0, 0, 3), (0, 2, 1), (1, 0, 2), (2, 2, 5), (2, 1, 4)]  # true class, answer, photos


@pytest.fixture(scope="module")
def diagnosed(toy_model):
    checkpoint = load_checkpoint(toy_model.path)
    scores, gamma = evaluation_scores(checkpoint, toy_model.dataset)
    return checkpoint, scores, gamma, diagnose(checkpoint, toy_model.dataset, scores)


def test_the_confusion_matrix_has_the_accuracies_of_the_report(diagnosed):
    _, scores, gamma, diagnosis = diagnosed
    photos = diagnosis.confusion.sum(1)
    for entry in scores.report(gamma).per_class:
        c = diagnosis.names.index(entry.name)
        assert (diagnosis.seen[c], photos[c]) == (entry.seen, entry.photos)
        assert diagnosis.confusion[c, c] / photos[c] == pytest.approx(entry.accuracy)
    assert diagnosis.seen == tuple(sorted(diagnosis.seen, reverse=True))


def test_the_order_of_the_candidates_changes_no_prediction(diagnosed, toy_model):
    checkpoint, scores, _, diagnosis = diagnosed
    order = torch.arange(len(scores.names)).flip(0)
    place = torch.argsort(order)
    flipped = dataclasses.replace(
        scores,
        scores_seen=scores.scores_seen[:, order],
        scores_unseen=scores.scores_unseen[:, order],
        labels_seen=place[scores.labels_seen],
        labels_unseen=place[scores.labels_unseen],
        names=tuple(scores.names[c] for c in order),
        seen=scores.seen[order],
    )
    other = diagnose(checkpoint, toy_model.dataset, flipped)
    assert set(other.seen[: sum(other.seen)]) == {True}
    where = [other.names.index(name) for name in diagnosis.names]
    np.testing.assert_array_equal(other.confusion[np.ix_(where, where)], diagnosis.confusion)


def test_confused_pairs_are_sorted_by_number_and_then_by_share():
    pairs = diagnosis_of(scores_of(ANSWERS, SEEN, NAMES)).confused()
    assert pairs == [(2, 1, 4), (1, 0, 2), (0, 2, 1)]


def test_calibration_is_measured_on_all_photos_and_on_each_part(diagnosed):
    _, scores, _, diagnosis = diagnosed
    counts = {part: int(bins.photos.sum()) for part, bins in diagnosis.calibration.items()}
    assert counts == {
        "all": len(scores.labels_seen) + len(scores.labels_unseen),
        "seen": len(scores.labels_seen),
        "unseen": len(scores.labels_unseen),
    }


def test_a_correlation_over_too_few_classes_is_none(diagnosed, toy_model, make_toy, small_config):
    checkpoint, _, _, diagnosis = diagnosed
    assert len(toy_model.dataset.unseen) < FEWEST_CLASSES <= len(toy_model.dataset.seen)
    assert {each.unseen for each in diagnosis.attributes} == {None}
    assert all(-1 <= each.seen <= 1 for each in diagnosis.attributes)
    assert diagnosis.drawn_photos["unseen"] == 0 < diagnosis.drawn_photos["seen"]
    validated = {each.name: each.validation for each in diagnosis.attributes}
    assert validated == checkpoint.metrics["attributes"]
    again, _ = attributes_of_photos(checkpoint, toy_model.dataset)
    assert again == diagnosis.attributes


def test_the_chosen_photos_of_each_class_are_evenly_spaced():
    labels = np.array([0] * 9 + [1] * 2 + [2] * 3)
    rows = np.arange(11)  # none of class 2
    assert few_of_each(labels, rows, 3).tolist() == [0, 4, 8, 9, 10]
    assert few_of_each(labels, rows[:0], 3).tolist() == []


def test_the_most_confident_errors_have_thumbnails_and_unreadable_photos_are_listed(toy_model, tmp_path: Path):
    dataset = dataclasses.replace(toy_model.dataset, images_root=tmp_path)
    rows = np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])
    labels = torch.from_numpy(dataset.labels[rows])
    predicted = (labels + 1) % len(dataset.classes.names)
    confidence = torch.linspace(0.1, 0.9, len(rows))
    target = int(labels[-1])
    own = [int(row) for row in rows[labels == target]]
    for number, row in enumerate(own[-PHOTOS:]):
        path = tmp_path / dataset.paths[row]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no photo" if number == 0 else encoded(photo(900, 300), "JPEG"))
    seen = torch.tensor([c in dataset.seen for c in range(len(dataset.classes.names))])
    worst, unreadable = worst_classes(
        SplitPredictions(labels, predicted, confidence), dataset.classes.names, seen, dataset
    )
    (mine,) = [each for each in worst if each.name == dataset.classes.names[target]]
    assert (mine.wrong, mine.photos, mine.seen) == (len(own), len(own), False)
    assert [each.path for each in mine.shown] == [dataset.paths[row] for row in own[:-PHOTOS:-1]]
    assert {each.answer for each in mine.shown} == {dataset.classes.names[int(predicted[-1])]}
    with Image.open(io.BytesIO(mine.shown[0].thumbnail)) as image:
        assert (image.format, max(image.size)) == ("JPEG", 160)
    assert any(text.startswith(f"{dataset.paths[own[-PHOTOS]]}: ") for text in unreadable)
    shown = sum(len(each.shown) for each in worst)
    assert shown + len(unreadable) == sum(min(PHOTOS, each.wrong) for each in worst)


def test_the_answers_of_the_photos_have_the_counts_of_the_confusion_matrix(diagnosed, toy_model):
    _, scores, gamma, diagnosis = diagnosed
    split, names = toy_model.dataset.split, toy_model.dataset.classes.names
    rows = [*split.test_seen.tolist(), *split.test_unseen.tolist()]
    assert [each.path for each in diagnosis.answers] == [toy_model.dataset.paths[row] for row in rows]
    assert [each.truth for each in diagnosis.answers] == [names[toy_model.dataset.labels[row]] for row in rows]
    assert [each.part for each in diagnosis.answers] == ["test_seen"] * len(split.test_seen) + ["test_unseen"] * len(
        split.test_unseen
    )
    counts = np.zeros_like(diagnosis.confusion)
    for each in diagnosis.answers:
        counts[diagnosis.names.index(each.truth), diagnosis.names.index(each.answers[0])] += 1
    assert counts.tolist() == diagnosis.confusion.tolist()
    confidence = scores.predictions(gamma, diagnosis.temperature).confidence.tolist()
    assert [each.probability for each in diagnosis.answers] == pytest.approx(confidence, rel=1e-5)
    values, _ = scores.calibrated(gamma)
    for row, each in zip(values.tolist(), diagnosis.answers, strict=True):
        own = dict(zip(scores.names, row, strict=True))
        assert [own[name] for name in each.answers] == sorted(row, reverse=True)[: len(each.answers)]
        assert each.score == max(row)


def test_all_files_are_written_with_the_values_of_the_diagnosis(diagnosed, toy_model, tmp_path: Path):
    checkpoint, scores, gamma, diagnosis = diagnosed
    curve = scores.curve()
    described = describe_evaluation(
        scores.report(gamma), checkpoint, toy_model.dataset, curve=curve, confidence=diagnosis.calibration
    )
    write_evaluation(tmp_path, described, curve, diagnosis)
    assert {path.name for path in tmp_path.iterdir()} == set(EVALUATION_FILES)
    with (tmp_path / "confusion.csv").open(newline="", encoding="utf-8") as stream:
        header, *lines = csv.reader(stream)
    assert header == ["true class", *diagnosis.names]
    assert [[int(cell) for cell in line[1:]] for line in lines] == diagnosis.confusion.tolist()
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        answers = list(csv.DictReader(stream))
    assert [(row["path"], row["part"], row["truth"], row["answer"]) for row in answers] == [
        (each.path, each.part, each.truth, each.answers[0]) for each in diagnosis.answers
    ]
    others = [tuple(row[f"answer_{k}"] for k in range(2, 6)) for row in answers]
    assert others == [(*each.answers[1:], "", "", "", "")[:4] for each in diagnosis.answers]
    with (tmp_path / "calibration.csv").open(newline="", encoding="utf-8") as stream:
        bins = [row for row in csv.DictReader(stream) if row["photos_of"] == "all"]
    assert [int(row["photos"]) for row in bins] == diagnosis.calibration["all"].photos.tolist()
    filled = [(int(row["photos"]), float(row["confidence"]), float(row["accuracy"])) for row in bins if row["accuracy"]]
    error = sum(photos * abs(sure - right) for photos, sure, right in filled) / sum(photos for photos, _, _ in filled)
    assert described["calibration_error"]["all"] == pytest.approx(error)
    with (tmp_path / "attributes.csv").open(newline="", encoding="utf-8") as stream:
        read = {row["attribute"]: row["seen"] for row in csv.DictReader(stream)}
    assert read == {each.name: str(each.seen) for each in diagnosis.attributes}


def test_an_evaluation_without_a_curve_removes_that_of_an_older_one(tmp_path: Path):
    (tmp_path / "su_curve.png").write_bytes(b"old")
    scores = scores_of([(0, 0, 3), (0, 1, 1), (1, 1, 2)], (True, True), NAMES[:2])
    write_evaluation(tmp_path, document_of(scores) | {"su_curve": None}, scores.curve(), diagnosis_of(scores))
    assert not list(tmp_path.glob("su_curve*"))
    assert (tmp_path / "report.html").stat().st_size > 0


def test_the_confusion_plot_names_every_class_and_equal_counts_give_equal_bytes():
    from revcd_cli.reports.plots.evaluation import plot_confusion

    diagnosis = diagnosis_of(many_classes(30, 20))
    png, svg = plot_confusion(diagnosis, "many")
    assert plot_confusion(diagnosis, "many") == (png, svg)
    assert all(f"<!-- {name} -->".encode() in svg for name in diagnosis.names)
