"""Evaluation files: they name the model and the data, other programs can read them, and old files are kept."""

from __future__ import annotations

import csv
import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from revcd_cli.checkpoint.model_file import load_checkpoint
from revcd_cli.errors import UsageError
from revcd_cli.metrics.curve import SeenUnseenCurve, seen_unseen_curve
from revcd_cli.pipeline.evaluate.evaluate import GZSLReport, evaluate, evaluation_scores
from revcd_cli.pipeline.evaluate.split_scores import ClassAccuracy
from revcd_cli.pipeline.fingerprint import features_sha256
from revcd_cli.reports.evaluation.metrics import METRICS_FILES, curve_points, describe_evaluation, write_metrics
from revcd_cli.system.files import check_output_folder, file_sha256

AWKWARD = GZSLReport(
    acc_seen=1 / 3,
    acc_unseen=None,
    harmonic_mean=None,
    acc_zsl=None,
    ausuc=None,
    acc_seen_alone=1 / 3,
    sample_acc_seen=0.5,
    sample_acc_unseen=None,
    seen_as_unseen=0.0,
    unseen_as_seen=None,
    neighbour_photos_kept=None,
    seen_photos=3,
    unseen_photos=0,
    seen_classes=2,
    unseen_classes=1,
    known_classes=0,
    untested_classes=1,
    per_class=(
        ClassAccuracy('wolf, "grey"', True, 2, 0.1 + 0.2),
        ClassAccuracy("жаба\nlarge", True, 1, 1 / 3),
    ),
)


def strict_json(text: str) -> Any:
    """Parse JSON, and refuse NaN and Infinity, which are not valid JSON."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def document(toy_model, report: GZSLReport, **options: Any) -> dict[str, Any]:
    return describe_evaluation(report, load_checkpoint(toy_model.path), toy_model.dataset, **options)


def random_curve(photos: int) -> SeenUnseenCurve:
    generator = torch.Generator().manual_seed(0)
    seen = torch.tensor([True, True, False, False])
    scores = torch.randn(2 * photos, 4, generator=generator).split(photos)
    labels = torch.randint(2, (photos,), generator=generator)
    return seen_unseen_curve(scores[0], labels, scores[1], labels + 2, seen)


def test_a_report_names_the_model_and_the_data(toy_model):
    checkpoint = load_checkpoint(toy_model.path)
    described = describe_evaluation(evaluate(checkpoint, toy_model.dataset), checkpoint, toy_model.dataset)
    assert described["model"] == {"name": "toy", "sha256": file_sha256(toy_model.path)}
    assert described["dataset"] == {
        "name": "toy",
        "split_sha256": toy_model.dataset.split_sha256,
        "features_sha256": features_sha256(toy_model.dataset),
    }
    assert described["backbone"] == toy_model.dataset.backbone.to_dict()
    rule = checkpoint.model.config.inference.rule
    assert described["rule"] == rule and described["seed"] == 0
    assert described["gamma"] == checkpoint.calibrations[rule].gamma


def test_a_rule_that_replaces_that_of_the_model_is_reported(toy_model):
    assert document(toy_model, AWKWARD, rule="cosine")["rule"] == "cosine"
    assert document(toy_model, AWKWARD, rule="auto") == document(toy_model, AWKWARD)


def test_the_hash_of_features_depends_on_every_number_and_not_on_the_order(toy_model):
    dataset = toy_model.dataset
    order = np.random.default_rng(0).permutation(len(dataset.labels))
    place = order.argsort()
    parts = {name: np.sort(place[part]) for name, part in dataset.split.parts()}
    shuffled = dataclasses.replace(
        dataset,
        labels=dataset.labels[order],
        keys=tuple(dataset.keys[row] for row in order),
        features=dataset.features[order],
        split=dataclasses.replace(dataset.split, **parts),
    )
    assert features_sha256(shuffled) == features_sha256(dataset)
    changed = dataset.features.copy()
    changed[dataset.split.test_unseen[-1], -1] += 1e-3
    assert features_sha256(dataclasses.replace(dataset, features=changed)) != features_sha256(dataset)


def test_metrics_are_read_back_unchanged(toy_model, tmp_path: Path):
    checkpoint = load_checkpoint(toy_model.path)
    scores, gamma = evaluation_scores(checkpoint, toy_model.dataset)
    report, curve = scores.report(gamma), scores.curve()
    assert report == evaluate(checkpoint, toy_model.dataset)
    described = document(toy_model, report, curve=curve)
    write_metrics(tmp_path / "a" / "report", described, curve)
    read = strict_json((tmp_path / "a" / "report" / "metrics.json").read_text("utf-8"))
    assert read == described
    entries = tuple(ClassAccuracy(**entry) for entry in read["per_class"])
    assert GZSLReport(**read["metrics"], per_class=entries) == report


@pytest.mark.parametrize("photos", [5, 400], ids=["few points", "more than the document takes"])
def test_the_curve_is_complete_in_its_file_and_thinned_in_the_document(toy_model, tmp_path: Path, photos: int):
    curve = random_curve(photos)
    report = dataclasses.replace(AWKWARD, acc_unseen=0.1, ausuc=curve.ausuc())
    described = document(toy_model, report, curve=curve)
    write_metrics(tmp_path, described, curve)
    with (tmp_path / "su_curve.csv").open(encoding="utf-8", newline="") as stream:
        rows = [tuple(map(float, row.values())) for row in csv.DictReader(stream)]
    points = curve_points(curve)
    assert rows == list(zip(*points.values(), strict=True))
    area = sum((a[1] - b[1]) * (a[2] + b[2]) / 2 for a, b in pairwise(rows))
    assert area == pytest.approx(curve.ausuc())
    thin = list(zip(*described["su_curve"].values(), strict=True))
    assert len(thin) == min(len(rows), 200) and (thin[0], thin[-1]) == (rows[0], rows[-1])
    assert set(thin) <= set(rows) and list(described["su_curve"]) == ["gamma", "S", "U"]
    assert (tmp_path / "su_curve.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "su_curve.svg").read_bytes()
    before = {path.name: file_sha256(path) for path in tmp_path.iterdir()}
    write_metrics(tmp_path, described, curve)
    assert {path.name: file_sha256(path) for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("report", [AWKWARD, dataclasses.replace(AWKWARD, per_class=())], ids=["awkward", "empty"])
def test_undefined_metrics_are_null_and_names_are_unchanged(toy_model, tmp_path: Path, report: GZSLReport):
    write_metrics(tmp_path / "report", document(toy_model, report))
    read = strict_json((tmp_path / "report" / "metrics.json").read_text("utf-8"))
    assert read["metrics"]["acc_seen"] == 1 / 3 and read["su_curve"] is None
    assert [read["metrics"][name] for name in ("acc_unseen", "harmonic_mean", "acc_zsl", "ausuc")] == [None] * 4
    with (tmp_path / "report" / "per_class.csv").open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    assert reader.fieldnames == ["name", "seen", "photos", "accuracy"]
    assert [(row["name"], row["seen"], int(row["photos"]), float(row["accuracy"])) for row in rows] == [
        (entry.name, str(entry.seen), entry.photos, entry.accuracy) for entry in report.per_class
    ]
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "metrics.csv", "metrics.json", "per_class.csv"
    ]  # fmt: skip
    with (tmp_path / "report" / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[1] == ["S", str(1 / 3), "", "", rows[1][-1]] and rows[2][:4] == ["U", "", "", ""]


def test_a_metric_that_is_nan_is_an_error_and_the_old_report_is_kept(toy_model, tmp_path: Path):
    write_metrics(tmp_path, document(toy_model, AWKWARD))
    before = {path.name: file_sha256(path) for path in tmp_path.iterdir()}
    with pytest.raises(ValueError):
        write_metrics(tmp_path, document(toy_model, dataclasses.replace(AWKWARD, acc_seen=float("nan"))))
    assert {path.name: file_sha256(path) for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", METRICS_FILES)
def test_an_existing_report_needs_overwrite(tmp_path: Path, name: str):
    (tmp_path / name).write_text("old")
    with pytest.raises(UsageError, match="exists already") as caught:
        check_output_folder(tmp_path, METRICS_FILES, overwrite=False)
    assert name in caught.value.message
    check_output_folder(tmp_path, METRICS_FILES, overwrite=True)


def test_a_report_folder_may_be_new_or_contain_other_files(tmp_path: Path):
    check_output_folder(tmp_path / "new" / "report", METRICS_FILES, overwrite=False)
    (tmp_path / "notes.txt").write_text("mine")
    check_output_folder(tmp_path, METRICS_FILES, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_refused_as_report_folder(tmp_path: Path, overwrite: bool):
    (tmp_path / "file").write_text("old")
    with pytest.raises(UsageError, match="is a file"):
        check_output_folder(tmp_path / "file", METRICS_FILES, overwrite=overwrite)
