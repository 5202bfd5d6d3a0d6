"""The page of an evaluation: one HTML file with figures, curve, confusion matrix, classes and attributes."""

from __future__ import annotations

from typing import Any

from ... import __version__
from ...metrics.curve import SeenUnseenCurve
from ...metrics.reliability import Reliability
from ...pipeline.evaluate.diagnosis import FEWEST_CLASSES, PARTS, PHOTOS_OF_A_CLASS, Diagnosis
from ...pipeline.evaluate.worst_classes import PHOTOS, WORST_CLASSES
from ..pages import page_bytes, page_environment
from .files import curve_points, thinned

_CURVE_POINTS = 400  # more than a screen can tell apart
_MOST_CONFUSED = 100  # pairs in the table; confusion.csv has them all

MEANINGS = {
    "S": "Photos of seen classes that were named rightly, all candidates being open.",
    "U": "Photos of unseen classes that were named rightly, all candidates being open.",
    "H": "Harmonic mean of S and U: high only if both are.",
    "T1": "Photos of unseen classes that were named rightly, unseen classes being the only candidates.",
    "AUSUC": "Area under the curve of U over S that the seen penalty runs through: no penalty has to be chosen for it.",
}
_SHORT = {"S": "acc_seen", "U": "acc_unseen", "H": "harmonic_mean", "T1": "acc_zsl", "AUSUC": "ausuc"}
_PHOTOS = {"S": "seen_photos", "U": "unseen_photos", "T1": "unseen_photos"}


def evaluation_page(document: dict[str, Any], curve: SeenUnseenCurve | None, diagnosis: Diagnosis) -> bytes:
    """Return the page. document: of `report.describe`; curve: None where there is none to show."""
    metrics = document["metrics"]
    points = None if curve is None else _curve(curve, document)
    template = page_environment().get_template("evaluation.html.jinja")
    text = template.render(
        version=__version__,
        document=document,
        metrics=metrics,
        headline=[
            {"name": name, "share": metrics[key], "photos": metrics.get(_PHOTOS.get(name)), "meaning": MEANINGS[name]}
            for name, key in _SHORT.items()
        ],
        curve=points,
        curve_path=None if points is None else _path(zip(points["S"], points["U"], strict=True)),
        calibration={part: _bins(diagnosis.calibration[part]) for part in PARTS},
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
    return page_bytes(text)


def _curve(curve: SeenUnseenCurve, document: dict[str, Any]) -> dict[str, Any]:
    """Return points by rising penalty, the model's own among them, and its position."""
    points, gamma = thinned(curve_points(curve), _CURVE_POINTS), document["gamma"]
    own = sum(each < gamma for each in points["gamma"])
    mine = {"gamma": gamma, "S": document["metrics"]["acc_seen"], "U": document["metrics"]["acc_unseen"]}
    return {name: [*column[:own], mine[name], *column[own:]] for name, column in points.items()} | {"own": own}


def _path(points: Any) -> str:
    """Return an SVG path through points in 0..1."""
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
    """Return the tested classes, the worst first, each with what it was most often taken for."""
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
    """Return the confusion matrix without its zeros, for the page's script."""
    true, answer = diagnosis.confusion.nonzero()
    return {
        "names": diagnosis.names,
        "seen": diagnosis.seen,
        "photos": diagnosis.confusion.sum(1).tolist(),
        "cells": [*zip(true.tolist(), answer.tolist(), diagnosis.confusion[true, answer].tolist(), strict=True)],
    }
