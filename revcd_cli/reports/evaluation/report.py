"""Write all files of `revcd evaluate -o DIR`: metrics, tables, plots and the HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...data.formats.path_encoding import encode_path
from ...metrics.curve import SeenUnseenCurve
from ...pipeline.evaluate.diagnosis import Diagnosis
from ...pipeline.evaluate.photo_answers import TOP
from ...pipeline.predict.predictions import rounded
from ...system.files import write_bytes
from ..documents import csv_bytes
from ..plots.evaluation import plot_attributes, plot_calibration, plot_confusion, plot_per_class
from . import metrics
from .page import evaluation_page

PAGE = "report.html"
_PLOTS = ("confusion", "calibration", "per_class", "attributes")
EVALUATION_FILES = (
    *metrics.METRICS_FILES,
    *("confusion.csv", "calibration.csv", "attributes.csv", "predictions.csv"),
    *(f"{name}.{kind}" for name in _PLOTS for kind in ("png", "svg")),
    PAGE,
)


def write_evaluation(
    folder: Path, document: dict[str, Any], curve: SeenUnseenCurve | None, diagnosis: Diagnosis
) -> None:
    """Write `EVALUATION_FILES`, each atomically, the page last.

    document: of `metrics.describe_evaluation`. Without a curve (no unseen classes), the curve's files of an older
    evaluation in the folder are removed.
    """
    if curve is None:
        for name in metrics.METRICS_FILES:
            if name.startswith("su_curve"):
                (folder / name).unlink(missing_ok=True)
    metrics.write_metrics(folder, document, curve)
    write_bytes(folder / "confusion.csv", _confusion_csv(diagnosis))
    write_bytes(folder / "calibration.csv", csv_bytes(("photos_of", *_BINS), _calibration_rows(diagnosis)))
    columns = ("attribute", "unseen", "seen", "validation")
    rows = ((each.name, each.unseen, each.seen, each.validation) for each in diagnosis.attributes)
    write_bytes(folder / "attributes.csv", csv_bytes(columns, rows))
    write_bytes(folder / "predictions.csv", csv_bytes(_ANSWER_COLUMNS, _answer_rows(diagnosis)))
    title = f"{document['dataset']['name']}, model {document['model']['name']}, rule {document['rule']}"
    pictures = (
        plot_confusion(diagnosis, title),
        plot_calibration(diagnosis, title),
        plot_per_class(document["per_class"], title),
        plot_attributes(diagnosis.attributes, title),
    )
    for name, drawn in zip(_PLOTS, pictures, strict=True):
        for kind, data in zip(("png", "svg"), drawn, strict=True):
            write_bytes(folder / f"{name}.{kind}", data)
    write_bytes(folder / PAGE, evaluation_page(document, curve, diagnosis))


_ANSWER_COLUMNS = (
    *("path", "part", "truth", "answer", "score", "probability"),
    *(f"answer_{k}" for k in range(2, TOP + 1)),
)
_BINS = ("from", "to", "photos", "confidence", "accuracy")


def _confusion_csv(diagnosis: Diagnosis) -> bytes:
    """Return the confusion matrix as CSV: a row per class with test photos, a column per candidate."""
    rows = zip(diagnosis.names, diagnosis.confusion.tolist(), strict=True)
    return csv_bytes(("true class", *diagnosis.names), ((name, *counts) for name, counts in rows if any(counts)))


def _answer_rows(diagnosis: Diagnosis) -> Iterator[tuple[object, ...]]:
    """Yield a row for each test photo, with empty cells where there are fewer candidates than answers."""
    for each in diagnosis.answers:
        first, *others = each.answers
        filled = (*others, *(None for _ in range(TOP - 1 - len(others))))
        path, numbers = encode_path(each.path), (rounded(each.score), rounded(each.probability))
        yield path, each.part, each.truth, first, *numbers, *filled


def _calibration_rows(diagnosis: Diagnosis) -> Iterator[tuple[object, ...]]:
    for part, bins in diagnosis.calibration.items():
        count = len(bins.photos)
        for k, (photos, confidence, accuracy) in enumerate(zip(*(each.tolist() for each in bins), strict=True)):
            means = (confidence, accuracy) if photos else (None, None)
            yield part, k / count, (k + 1) / count, photos, *means
