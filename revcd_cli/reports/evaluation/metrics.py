"""Write metrics.json, the per-class table, and the seen-unseen curve of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoint.model_file import Checkpoint
from ...data.classes.kinds import KNOWN
from ...data.datasets.dataset import FeaturedDataset
from ...metrics.bootstrap import SETTINGS, Interval
from ...metrics.curve import SeenUnseenCurve
from ...metrics.reliability import Reliability
from ...metrics.summary import KEPT, METRIC_NAMES
from ...pipeline.evaluate.split_scores import GZSLReport
from ...pipeline.fingerprint import describe_data
from ...system.files import write_bytes
from ...version import __version__
from ..documents import csv_bytes, json_bytes
from ..plots.figures import plot_su_curve

METRICS_FILES = ("metrics.json", "metrics.csv", "per_class.csv", "su_curve.csv", "su_curve.png", "su_curve.svg")
# The key of each metric in metrics.json, under "metrics".
METRIC_KEYS = {"S": "acc_seen", "U": "acc_unseen", "H": "harmonic_mean", "T1": "acc_zsl", "AUSUC": "ausuc"}
_CURVE = ("gamma", "S", "U")
_MOST_POINTS = 200  # of the curve in metrics.json; su_curve.csv has all points


def describe_evaluation(
    report: GZSLReport,
    checkpoint: Checkpoint,
    dataset: FeaturedDataset,
    *,
    rule: str | None = None,
    curve: SeenUnseenCurve | None = None,
    confidence: dict[str, Reliability] | None = None,
    intervals: Mapping[str, Interval | None] | None = None,
    candidates: Sequence[str] = (),
    whole_table: bool = True,
) -> dict[str, Any]:
    """Return the evaluation as JSON values, with everything needed to repeat it.

    confidence: of all photos, and of those of seen and unseen classes (`diagnosis.calibration_bins`). intervals: of S,
    U, H, T1 and AUSUC (`metrics.bootstrap`). candidates: names of the classes that could be predicted; whole_table:
    whether they are all classes of the table, or those with photos in the split.
    """
    rule = checkpoint.model.config.inference.with_rule(rule).rule
    figures = report.to_dict()
    per_class = figures.pop("per_class")
    points = None if curve is None else curve_points(curve)
    calibration = checkpoint.calibration_for(rule).for_candidates(report.unseen_classes)
    return {
        "revcd": __version__,
        "metrics": figures,
        "intervals": {
            name: None if each is None or figures[METRIC_KEYS[name]] is None else asdict(each)
            for name, each in (intervals or {}).items()
        },
        "validation": _validation(checkpoint, rule),
        "bootstrap": SETTINGS,
        "rule": rule,
        "gamma": calibration.gamma,
        "temperature": calibration.temperature,
        "calibration_error": {part: bins.expected_error() for part, bins in (confidence or {}).items()},
        "seed": checkpoint.seed,
        "model": {"name": checkpoint.name, "sha256": checkpoint.sha256},
        **describe_data(dataset),
        "candidates": {
            "whole_table": whole_table,
            **{kind: figures[f"{kind}_classes"] for kind in ("seen", "unseen", "known", "untested")},
        },
        "known_candidates": [name for name in candidates if checkpoint.kind(name) == KNOWN],
        "per_class": list(per_class),
        "su_curve": points and thinned(points, _MOST_POINTS),
    }


def _validation(checkpoint: Checkpoint, rule: str) -> dict[str, float | None]:
    """Return S, U, H, T1, AUSUC and `KEPT` of the rule when the model was validated; {} if it was not."""
    found = checkpoint.metrics.get("validation_by_rule", {}).get(rule, {})
    return {name: found[name] for name in (*METRIC_NAMES, KEPT) if name in found}


def _summary_rows(document: dict[str, Any]) -> Iterator[list[object]]:
    for name, key in METRIC_KEYS.items():
        interval = document["intervals"].get(name) or {}
        values = document["metrics"][key], interval.get("low"), interval.get("high"), document["validation"].get(name)
        yield [name, *values]


def curve_points(curve: SeenUnseenCurve) -> dict[str, list[float]]:
    """Return all points of a seen-unseen curve: the seen penalty "gamma", rising, and "S" and "U" there."""
    return {name: column.tolist() for name, column in zip(_CURVE, curve.points(), strict=True)}


def thinned(points: dict[str, list[float]], most: int) -> dict[str, list[float]]:
    """Return at most `most` points of a curve, including both ends."""
    count = len(points["gamma"])
    kept = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return {name: [column[k] for k in kept] for name, column in points.items()}


def write_metrics(folder: Path, document: dict[str, Any], curve: SeenUnseenCurve | None = None) -> None:
    """Write `METRICS_FILES`, each atomically; those of the curve only if there is one."""
    metrics, summary, per_class, table, *pictures = (folder / name for name in METRICS_FILES)
    write_bytes(metrics, json_bytes(document))
    write_bytes(summary, csv_bytes(("metric", "test", "low", "high", "validation"), _summary_rows(document)))
    columns = ("name", "seen", "photos", "accuracy")
    write_bytes(per_class, csv_bytes(columns, ([entry[name] for name in columns] for entry in document["per_class"])))
    if curve is None:
        return
    points = curve_points(curve)
    write_bytes(table, csv_bytes(_CURVE, zip(*points.values(), strict=True)))
    figures = document["metrics"]
    title = f"{document['dataset']['name']}, rule {document['rule']}, AUSUC {100 * figures['ausuc']:.1f}"
    drawn = plot_su_curve(points, (figures["acc_seen"], figures["acc_unseen"]), title)
    for picture, data in zip(pictures, drawn, strict=True):
        write_bytes(picture, data)
