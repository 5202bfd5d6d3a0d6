"""Study of the classification loss (paper section 4.3, Fig. 4): S and U of models trained with different lambda_3.

Results are written to cls_weight.csv, one row per training. cls_weight.json holds the settings that all rows share; a
study resumes only if these are unchanged.
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

from ...checkpoint.model_file import load_checkpoint
from ...config import Config
from ...data.datasets.dataset import FeaturedDataset
from ...errors import InputFileError, UsageError
from ...metrics.summary import METRIC_NAMES
from ...system import files
from ...system.device import choose_device
from ...version import __version__
from ..evaluate.evaluate import evaluate
from ..extract.extract import OnProgress
from ..fingerprint import differences, features_sha256
from ..train.train import train

FILES = ("cls_weight.csv", "cls_weight.json")
_METRICS = METRIC_NAMES[:4]  # all but AUSUC
_COLUMNS = ("weight", "seed", *_METRICS, "split")
_WORK = ".cls_weight"  # subfolder for the model in training


@dataclass(frozen=True)
class WeightResult:
    """The metrics of one training. figures: S, U, H, T1 as shares of 1; None where there are no photos."""

    weight: float
    seed: int
    figures: dict[str, float | None]
    split: str  # "validation" | "test": the photos measured


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
    """Train a model for each weight and seed, measure it, and write `FILES` to the folder `output`.

    Measures validation metrics at the epoch that validation chose; with `test`, those of the final model on test
    photos. Trainings whose results are in the folder are skipped unless `overwrite`. Returns all results in the folder,
    ordered by weight and seed. processes: as for `train`. Raises `UsageError` if the folder holds results of other
    settings.
    """
    note = on_note or (lambda text: None)
    # An invalid weight raises here, before any training.
    configs = {weight: _with_weight(config, weight) for weight in weights}
    if not test and (config.train.validation_classes == 0 or len(dataset.seen) < 3):
        raise UsageError(
            "There are no validation photos: validation needs three seen classes and train.validation_classes > 0.",
            hint="--test measures test photos instead; then do not choose a weight by the result.",
        )
    files.check_output_folder(output, FILES, overwrite=True)
    with files.exclusive(output / FILES[0]):
        results = _open_results(output, _settings(dataset, config, test, device), overwrite)
        wanted = [(weight, seed) for weight in sorted(configs) for seed in seeds]
        missing = [pair for pair in wanted if pair not in results]
        if len(missing) < len(wanted):
            note(f"Resuming: {len(wanted) - len(missing)} of {len(wanted)} trainings are done.")
        for done, (weight, seed) in enumerate(missing):
            if on_progress:
                on_progress(done, len(missing), 0)
            model = output / _WORK / f"weight-{weight:g}-seed-{seed}.safetensors"
            figures = _measure(dataset, configs[weight], model, seed, test, device, processes)
            results[weight, seed] = WeightResult(weight, seed, figures, "test" if test else "validation")
            _write_results(output, results)
            note(_describe(results[weight, seed]))
        return [results[pair] for pair in sorted(results)]


def _with_weight(config: Config, weight: float) -> Config:
    return replace(config, loss=replace(config.loss, cls_weight=weight))


def _measure(
    dataset: FeaturedDataset, config: Config, model: Path, seed: int, test: bool, device: str, processes: int | None
) -> dict[str, float | None]:
    """Train a temporary model, resuming an interrupted training, and return its metrics; its folder is removed."""
    summary = train(dataset, config, model, seed=seed, device=device, processes=processes, resume=True)
    figures = summary.validation
    if test:
        figures = evaluate(load_checkpoint(model), dataset, device=device).headline()
    shutil.rmtree(model.parent)
    return {name: figures[name] for name in _METRICS}


def _settings(dataset: FeaturedDataset, config: Config, test: bool, device: str) -> dict[str, Any]:
    """Return everything that determines the results, other than weight and seed."""
    values = config.to_dict()
    del values["loss"]["cls_weight"]
    return {
        "revcd": __version__,
        "measured_on": "test" if test else "validation",
        "dataset": dataset.name,
        "split_sha256": dataset.split_sha256,
        "backbone": dataset.backbone.to_dict() if dataset.backbone else None,
        "features_sha256": features_sha256(dataset),
        "classes_sha256": hashlib.sha256(dataset.classes.values.tobytes()).hexdigest(),
        "device": choose_device(device).value.type,
        "config": values,
    }


def _open_results(output: Path, settings: dict[str, Any], overwrite: bool) -> dict[tuple[float, int], WeightResult]:
    """Return the results in the folder; start a new study if there are none, or with `overwrite`."""
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
    _write_results(output, {})  # before the settings change, so that old rows never appear with new settings
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
            f"{path}: does not hold the settings of {FILES[0]}, so rows cannot be added to it.",
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
                path, "is not a row of this study.", line=reader.line_num, hint="Add --overwrite to start a new study."
            ) from error
    return {(result.weight, result.seed): result for result in read}


def _from_row(row: dict[str, str]) -> WeightResult:
    figures = {name: float(row[name]) if row[name] else None for name in _METRICS}
    return WeightResult(float(row["weight"]), int(row["seed"]), figures, row["split"])


def _write_results(output: Path, results: dict[tuple[float, int], WeightResult]) -> None:
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for _, result in sorted(results.items()):
        writer.writerow([result.weight, result.seed, *(result.figures[name] for name in _METRICS), result.split])
    files.write_bytes(output / FILES[0], rows.getvalue().encode())


def _describe(result: WeightResult) -> str:
    figures = (
        f"{name} {'-' if value is None else format(100 * value, '.1f')}" for name, value in result.figures.items()
    )
    return f"weight {result.weight:g}, seed {result.seed}: {'  '.join(figures)}"
