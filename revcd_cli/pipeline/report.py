"""An evaluation as files: metrics.json, which repeats what was evaluated on what, and per_class.csv."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..checkpoint import Checkpoint
from ..data.dataset import Dataset
from ..errors import UsageError
from ..files import check_output, write_bytes
from .evaluate import GZSLReport

_FILES = ("metrics.json", "per_class.csv")


def describe(
    report: GZSLReport, checkpoint: Checkpoint, dataset: Dataset, *, rule: str | None = None
) -> dict[str, Any]:
    """Return the evaluation as plain JSON values, with all that is needed to repeat it."""
    rule = rule or checkpoint.model.config.inference.rule
    figures = report.to_dict()
    per_class = figures.pop("per_class")
    return {
        "revcd": __version__,
        "metrics": figures,
        "rule": rule,
        "gamma": checkpoint.calibration_for(rule).gamma,
        "seed": checkpoint.seed,
        "model": {"name": checkpoint.name, "sha256": checkpoint.sha256},
        "dataset": {"name": dataset.name, "split_sha256": dataset.split_sha256},
        "backbone": dataset.backbone.to_dict() if dataset.backbone else None,
        "per_class": list(per_class),
    }


def check_report_folder(folder: Path, names: Sequence[str] = _FILES, *, overwrite: bool) -> None:
    """Raise `UsageError` if files of these names could not be written there, before any work is done."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; the results go to a folder.")
    for name in names:
        check_output(folder / name, overwrite=overwrite)


def write_report(folder: Path, document: dict[str, Any]) -> None:
    """Write the report's files, each whole or not at all."""
    rows = io.StringIO()
    writer = csv.DictWriter(rows, ["name", "seen", "photos", "accuracy"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(document["per_class"])
    metrics, per_class = (folder / name for name in _FILES)
    write_bytes(metrics, (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    write_bytes(per_class, rows.getvalue().encode())
