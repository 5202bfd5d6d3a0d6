"""The page of an evaluation: metrics, seen-unseen curve, confusion matrix, classes, confidence and attributes."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...metrics.curve import SeenUnseenCurve
from ...metrics.reliability import Reliability
from ...pipeline.evaluate.diagnosis import FEWEST_CLASSES, PHOTOS_OF_A_CLASS, SUBSETS, Diagnosis
from ...pipeline.evaluate.worst_classes import PHOTOS, WORST_CLASSES
from ...version import __version__
from ..pages import render_page
from .metrics import METRIC_KEYS, curve_points, thinned

_CURVE_POINTS = 400
_MOST_CONFUSED = 100  # pairs in the table; confusion.csv has all


class _Headline(NamedTuple):
    """A figure at the top of the page: its name, the key of its number of photos in metrics.json, and its meaning."""

    name: str
    photos_key: str | None
    meaning: str


_HEADLINES = (
    _Headline("S", "seen_photos", "Accuracy on photos of seen classes; all classes are candidates."),
    _Headline("U", "unseen_photos", "Accuracy on photos of unseen classes; all classes are candidates."),
    _Headline("H", None, "Harmonic mean of S and U."),
    _Headline("T1", "unseen_photos", "Accuracy on photos of unseen classes; only these are candidates."),
    _Headline("AUSUC", None, "Area under the curve of U over S, for all values of the seen penalty."),
)


def evaluation_page(document: dict[str, Any], curve: SeenUnseenCurve | None, diagnosis: Diagnosis) -> bytes:
    """Return the page. document: of `metrics.describe_evaluation`; curve: None without unseen classes."""
    metrics = document["metrics"]
    points = None if curve is None else _curve(curve, document)
    return render_page(
        "evaluation",
        version=__version__,
        document=document,
        metrics=metrics,
        headline=[
            {
                "name": each.name,
                "share": metrics[METRIC_KEYS[each.name]],
                "interval": document["intervals"].get(each.name),
                "validation": document["validation"].get(each.name),
                "photos": metrics[each.photos_key] if each.photos_key else None,
                "meaning": each.meaning,
            }
            for each in _HEADLINES
        ],
        curve=points,
        curve_path=None if points is None else _path(zip(points["S"], points["U"], strict=True)),
        calibration={part: _bins(diagnosis.calibration[part]) for part in SUBSETS},
        calibration_error=diagnosis.calibration_errors(),
        most_photos=max(diagnosis.calibration["all"].photos.tolist()),
        classes=_classes(diagnosis),
        confused=_confused(diagnosis),
        most_confused=_MOST_CONFUSED,
        attributes=sorted(
            diagnosis.attributes, key=lambda each: (each.unseen is None, -(each.unseen or 0), -(each.seen or 0))
        ),
        drawn_photos=diagnosis.drawn_photos,
        photos_of_a_class=PHOTOS_OF_A_CLASS,
        fewest_classes=FEWEST_CLASSES,
        worst=diagnosis.worst,
        worst_classes=WORST_CLASSES,
        worst_photos=PHOTOS,
        has_photos=diagnosis.has_photos,
        unreadable=diagnosis.unreadable,
        matrix=_matrix(diagnosis),
    )


def _curve(curve: SeenUnseenCurve, document: dict[str, Any]) -> dict[str, Any]:
    """Return the curve's points by rising penalty, including the model's own point, and its index as "own"."""
    points, gamma = thinned(curve_points(curve), _CURVE_POINTS), document["gamma"]
    own = sum(each < gamma for each in points["gamma"])
    mine = {"gamma": gamma, "S": document["metrics"]["acc_seen"], "U": document["metrics"]["acc_unseen"]}
    return {name: [*column[:own], mine[name], *column[own:]] for name, column in points.items()} | {"own": own}


def _path(points: Any) -> str:
    """Return an SVG path through points with coordinates in 0..1."""
    return "M" + " L".join(f"{x:.5g} {y:.5g}" for x, y in points)


def _bins(bins: Reliability) -> dict[str, Any]:
    count = len(bins.photos)
    rows = [
        {"low": k / count, "high": (k + 1) / count, "photos": photos, "confidence": confidence, "accuracy": accuracy}
        for k, (photos, confidence, accuracy) in enumerate(zip(*(each.tolist() for each in bins), strict=True))
        if photos
    ]
    return {"rows": rows, "path": _path((row["confidence"], row["accuracy"]) for row in rows) if rows else None}


def _classes(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """Return the tested classes, the least accurate first, each with its most frequent wrong class."""
    taken_for: dict[int, tuple[int, int]] = {}
    for true, answer, photos in diagnosis.confused():
        taken_for.setdefault(true, (answer, photos))
    found = []
    for c, name in enumerate(diagnosis.names):
        photos, right = int(diagnosis.confusion[c].sum()), int(diagnosis.confusion[c, c])
        if photos:
            other = taken_for.get(c)
            found.append(
                {"name": name, "seen": diagnosis.seen[c], "photos": photos, "right": right, "share": right / photos}
                | {"taken_for": other and _named(diagnosis, other[0]), "times": other and other[1]}
            )
    return sorted(found, key=lambda entry: entry["share"])


def _confused(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    of_class = diagnosis.confusion.sum(1)
    return [
        {"true": _named(diagnosis, true), "answer": _named(diagnosis, answer), "photos": photos}
        | {"share": photos / int(of_class[true])}
        for true, answer, photos in diagnosis.confused()[:_MOST_CONFUSED]
    ]


def _named(diagnosis: Diagnosis, c: int) -> dict[str, Any]:
    return {"name": diagnosis.names[c], "seen": diagnosis.seen[c]}


def _matrix(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the non-zero cells of the confusion matrix, for confusion.js."""
    true, answer = diagnosis.confusion.nonzero()
    return {
        "names": diagnosis.names,
        "seen": diagnosis.seen,
        "photos": diagnosis.confusion.sum(1).tolist(),
        "cells": [*zip(true.tolist(), answer.tolist(), diagnosis.confusion[true, answer].tolist(), strict=True)],
    }
