"""Check an input with the readers that all commands use, and report what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...checkpoint.model_file import load_checkpoint
from ...data.classes.attributes import read_attribute_csv
from ...data.classes.table_notes import table_notes
from ...data.datasets.dataset import Dataset, FeaturedDataset
from ...data.datasets.open import open_dataset
from ...data.datasets.registry import SPLITS_FILE, find_benchmark
from ...data.features.files import SUFFIXES, read_features
from ...errors import InputFileError, UsageError
from .describe import compare_with_model, counted, describe_table, identical_rows, span

_FEW_PHOTOS = 10  # of a seen class; training balances classes, but overfits to so few photos

Found = TypeVar("Found")


@dataclass(frozen=True)
class CheckReport:
    """The contents of an input. facts: JSON values, in the order of display."""

    source: str
    kind: str  # "class table", "dataset" or "features"
    facts: dict[str, Any]
    error: InputFileError | None = None  # why commands refuse it
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # decisions of the reader

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "kind": self.kind,
            "valid": self.error is None,
            "error": None if self.error is None else str(self.error),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            **self.facts,
        }


def check_input(
    source: str,
    *,
    model: str | None = None,
    data_root: Path | None = None,
    features: str | None = None,
    missing: str = "error",
    seed: int = 0,
) -> CheckReport:
    """Open a class table, a feature file, a dataset folder or a benchmark, and report on it.

    model: compare a class table with the attributes of this model. An invalid file gives a report with an `error`.
    Raises `UsageError` for an input of another kind.
    """
    path = Path(source).expanduser()
    if path.name == SPLITS_FILE and path.is_file():  # describes the files in its folder
        source, path = str(path.parent), path.parent
    suffix = path.suffix.casefold()
    is_dataset = path.is_dir() or find_benchmark(source) is not None
    if model is not None and (is_dataset or suffix != ".csv"):
        raise UsageError("--model compares class tables (.csv) only.")
    if is_dataset:
        kind, check = "dataset", lambda: _check_dataset(source, data_root, features, missing, seed)
    elif suffix == ".csv":
        kind, check = "class table", lambda: _check_table(path, model, missing)
    elif suffix in SUFFIXES:
        kind, check = "features", lambda: _check_features(path)
    else:
        raise UsageError(
            f"{source}: is neither a folder, nor a benchmark, nor a .csv, {', '.join(SUFFIXES)} file.",
            hint="Models are shown by: revcd models show FILE",
        )
    try:
        return check()
    except InputFileError as error:
        return CheckReport(source, kind, {}, error)


def _check_table(path: Path, model: str | None, missing: str) -> CheckReport:
    table, error = _despite_holes(lambda how: read_attribute_csv(path, missing=how), missing)
    facts, warnings = describe_table(table), table_notes(table)
    if model is not None:
        checkpoint = load_checkpoint(model)
        try:
            more_facts, aligned = compare_with_model(table, checkpoint)
            facts |= more_facts
            warnings = table_notes(aligned, checkpoint.classes)
        except InputFileError as mismatch:
            error = error or mismatch
    return CheckReport(str(path), "class table", facts, error, warnings)


def _check_dataset(source: str, data_root: Path | None, features: str | None, missing: str, seed: int) -> CheckReport:
    def read(how: str) -> Dataset:
        return open_dataset(source, data_root=data_root, features=features, seed=seed, missing=how, write_split=False)

    dataset, error = _despite_holes(read, missing)
    names, labels, split = dataset.classes.names, dataset.labels, dataset.split
    facts, warnings = describe_table(dataset.classes), list(table_notes(dataset.classes))
    per_class = np.bincount(labels, minlength=len(names))
    facts |= {
        "seen_classes": len(dataset.seen),
        "unseen_classes": len(dataset.unseen),
        "photos": {part: len(rows) for part, rows in split.parts()},
        "photos_per_class": span(per_class[per_class > 0]),
        "split_sha256": dataset.split_sha256,
    }
    if isinstance(dataset, FeaturedDataset):
        used = np.sort(np.concatenate([rows for _, rows in split.parts()]))
        facts["width"] = dataset.features.shape[1]
        warnings += _feature_warnings(dataset.features[used], [dataset.paths[row] for row in used])
        facts["backbone"] = dataset.backbone.tag
    elif dataset.images_root is not None:
        absent = [name for name in dataset.paths if name and not (dataset.images_root / name).is_file()]
        if absent:
            warnings.append(counted(f"photos that are not in {dataset.images_root}", absent))
    to_train = np.bincount(labels[split.trainval], minlength=len(names))
    few = [names[row] for row in dataset.seen if to_train[row] < _FEW_PHOTOS]
    if few:
        warnings.append(counted(f"seen classes with fewer than {_FEW_PHOTOS} photos to train on", few))
    if not len(split.test_unseen):
        warnings.append("no unseen class has photos, so U and H cannot be measured")
    return CheckReport(source, "dataset", facts, error, tuple(warnings), dataset.notes if error is None else ())


def _check_features(path: Path) -> CheckReport:
    found = read_features(path)
    facts: dict[str, Any] = {
        "photos": len(found.paths),
        "failed": dict(Counter(reason for reason in found.reason if reason)),
        "width": found.features.shape[1],
        "range": span(found.features[found.ok]),
        "backbone": found.backbone.tag,
        "weights_sha256": found.backbone.weights_sha256,
        "precision": found.backbone.precision,
    }
    there = np.flatnonzero(found.ok)
    warnings = _feature_warnings(found.features[there], [found.paths[row] for row in there])
    failed = [found.paths[row] for row in np.flatnonzero(~found.ok)]
    if failed:
        warnings.insert(0, counted("photos without features", failed))
    return CheckReport(str(path), "features", facts, None, tuple(warnings))


def _despite_holes(read: Callable[[str], Found], missing: str) -> tuple[Found, InputFileError | None]:
    """Read an input. If it is valid except for empty cells, return it with their means, and the error about them."""
    try:
        return read(missing), None
    except InputFileError as error:
        if missing == "mean":
            raise
        try:
            return read("mean"), error
        except InputFileError:
            raise error from None


def _feature_warnings(features: np.ndarray, paths: Sequence[str]) -> list[str]:
    warnings = []
    zero = [_photo(paths, row) for row in np.flatnonzero(~features.any(axis=1)).tolist()]
    if zero:
        warnings.append(counted("features that are all zeros", zero))
    repeats = [
        f"{_photo(paths, row)} = {_photo(paths, first)}" for first, *rest in identical_rows(features) for row in rest
    ]
    if repeats:
        warnings.append(counted("features that repeat another one exactly", repeats))
    return warnings


def _photo(paths: Sequence[str], row: int) -> str:
    return paths[row] or f"row {row + 1}"
