"""The study of the classification loss (paper section 4.3, Fig. 4): S and U of a model trained with each lambda_3.

The results are a CSV that grows by one row per training. Beside it, cls_weight.json holds what all rows have in
common; rows are gone on with only where that is the same.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...checkpoint.model_file import load_checkpoint
from ...config import Config
from ...data.datasets.dataset import FeaturedDataset
from ...errors import InputFileError, UsageError
from ...reports.evaluation.files import check_report_folder
from ...reports.plots.figures import plot_cls_weight
from ...system import files
from ...system.device import choose_device
from ..evaluate.evaluate import evaluate
from ..extract.extract import OnProgress
from ..fingerprint import differences, features_sha256
from ..train.train import train

FILES = ("cls_weight.csv", "cls_weight.json", "cls_weight.png", "cls_weight.svg")
FIGURES = ("S", "U", "H", "T1")
_COLUMNS = ("weight", "seed", *FIGURES, "split")
_WORK = ".cls_weight"  # folder of the model that is being trained


@dataclass(frozen=True)
class WeightResult:
    """What one training came to; figures: S, U, H, T1 as shares, None where there was no photo."""

    weight: float
    seed: int
    figures: dict[str, float | None]
    split: str  # "validation" | "test": the photos that were measured on


def study_cls_weight(
    dataset: FeaturedDataset,
    config: Config,
    output: Path,
    *,
    weights: Sequence[float],
    seeds: Sequence[int],
    test: bool = False,
    device: str = "auto",
    processes: int | None = 1,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[WeightResult]:
    """Train once for every weight and seed, measure, and write the files of `FILES` to the folder `output`.

    Validation figures are those at the epoch that validation chose; with `test`, the final model's on test photos.
    Returns all results in the folder, by weight and seed; those already there are not repeated unless `overwrite`.
    processes: as for `train`. Raises `UsageError` if the folder holds results of other settings.
    """
    note = on_note or (lambda text: None)
    configs = {weight: _with_weight(config, weight) for weight in weights}  # a bad weight ends the study at once
    if not test and (config.train.validation_classes == 0 or len(dataset.seen) < 3):
        raise UsageError(
            "There is no validation part to measure on: it needs three seen classes and train.validation_classes > 0.",
            hint="With --test, test photos are measured on; then no weight may be chosen by the result.",
        )
    check_report_folder(output, FILES, overwrite=True)
    with files.exclusive(output / FILES[0]):
        results = _open_results(output, _settings(dataset, config, test, device), overwrite)
        wanted = [(weight, seed) for weight in sorted(configs) for seed in seeds]
        missing = [pair for pair in wanted if pair not in results]
        if len(missing) < len(wanted):
            note(f"{len(wanted) - len(missing)} of {len(wanted)} trainings are there already.")
        for done, (weight, seed) in enumerate(missing):
            if on_progress:
                on_progress(done, len(missing), 0)
            model = output / _WORK / f"weight-{weight:g}-seed-{seed}.safetensors"
            figures = _measure(dataset, configs[weight], model, seed, test, device, processes)
            results[weight, seed] = WeightResult(weight, seed, figures, "test" if test else "validation")
            _write_results(output, results)
            note(_describe(results[weight, seed]))
        ordered = [results[pair] for pair in sorted(results)]
        png, svg = plot_cls_weight([vars(result) for result in ordered], _title(dataset, test))
        files.write_bytes(output / FILES[2], png)
        files.write_bytes(output / FILES[3], svg)
    return ordered


def _with_weight(config: Config, weight: float) -> Config:
    return replace(config, loss=replace(config.loss, cls_weight=weight))


def _measure(
    dataset: FeaturedDataset, config: Config, model: Path, seed: int, test: bool, device: str, processes: int | None
) -> dict[str, float | None]:
    """Train in a folder of its own, which is removed afterwards; an interrupted training there is gone on with."""
    summary = train(dataset, config, model, seed=seed, device=device, processes=processes, resume=True)
    figures = summary.validation
    if test:
        figures = evaluate(load_checkpoint(model), dataset, device=device).headline()
    shutil.rmtree(model.parent)
    return {name: figures[name] for name in FIGURES}


def _settings(dataset: FeaturedDataset, config: Config, test: bool, device: str) -> dict[str, Any]:
    """Return all that the results depend on, beside weight and seed."""
    values = config.to_dict()
    del values["loss"]["cls_weight"]
    return {
        "revcd": __version__,
        "measured_on": "test" if test else "validation",
        "dataset": dataset.name,
        "split_sha256": dataset.split_sha256,
        "backbone": dataset.backbone.to_dict() if dataset.backbone else None,
        "features_sha256": features_sha256(dataset),
        "classes_sha256": hashlib.sha256(np.ascontiguousarray(dataset.classes.values)).hexdigest(),
        "device": choose_device(device).value.type,
        "config": values,
    }


def _open_results(output: Path, settings: dict[str, Any], overwrite: bool) -> dict[tuple[float, int], WeightResult]:
    """Return the results that are there, or begin anew."""
    table, sidecar = output / FILES[0], output / FILES[1]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    if table.exists() and not overwrite:
        before = _read_sidecar(sidecar)
        if before.get("settings_sha256") == digest:
            return _read_results(table)
        changed = differences(before.get("settings", {}), settings)
        raise UsageError(
            f"{table}: holds results of other settings: {'; '.join(changed[:5])}.",
            hint="Add --overwrite to replace them, or choose another folder.",
        )
    shutil.rmtree(output / _WORK, ignore_errors=True)
    _write_results(output, {})  # before the settings change: no old row may ever stand beside new settings
    document = {"settings_sha256": digest, "settings": settings}
    files.write_bytes(sidecar, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())
    return {}


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise UsageError(
            f"{path}: does not tell the settings of {FILES[0]} beside it, so nothing can be added there.",
            hint="Add --overwrite to replace both, or choose another folder.",
        )
    return document


def _read_results(path: Path) -> dict[tuple[float, int], WeightResult]:
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        try:
            read = [_from_row(row) for row in reader]
        except (KeyError, TypeError, ValueError) as error:
            raise InputFileError(
                path, "is not a row of this study.", line=reader.line_num, hint="Add --overwrite to begin again."
            ) from error
    return {(result.weight, result.seed): result for result in read}


def _from_row(row: dict[str, str]) -> WeightResult:
    figures = {name: float(row[name]) if row[name] else None for name in FIGURES}
    return WeightResult(float(row["weight"]), int(row["seed"]), figures, row["split"])


def _write_results(output: Path, results: dict[tuple[float, int], WeightResult]) -> None:
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for _, result in sorted(results.items()):
        writer.writerow([result.weight, result.seed, *(result.figures[name] for name in FIGURES), result.split])
    files.write_bytes(output / FILES[0], rows.getvalue().encode())


def _describe(result: WeightResult) -> str:
    figures = (
        f"{name} {'-' if value is None else format(100 * value, '.1f')}" for name, value in result.figures.items()
    )
    return f"weight {result.weight:g}, seed {result.seed}: {'  '.join(figures)}"


def _title(dataset: FeaturedDataset, test: bool) -> str:
    return f"{dataset.name}, {'test photos' if test else 'validation part of the seen classes'}"
