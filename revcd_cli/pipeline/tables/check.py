"""Check an input with the readers that all commands use, and report what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...backbones.labels import IMAGENET, label_set
from ...checkpoint.model_file import load_checkpoint, read_class_table
from ...data.classes.attributes import ClassAttributes
from ...data.classes.completion import read_complete_csv
from ...data.classes.scale import column_findings, rescale_rows
from ...data.classes.table_findings import table_findings
from ...data.datasets.dataset import Dataset, FeaturedDataset
from ...data.datasets.inspect import inspect_dataset, rescaled
from ...data.datasets.open import open_dataset
from ...data.datasets.registry import SPLITS_FILE, find_benchmark
from ...data.features.files import SUFFIXES, read_features
from ...data.findings import ERROR, NOTE, RANKS, WARNING, Finding, of_rank
from ...errors import InputFileError, UsageError
from ..known_classes.resolve import find_labels
from .describe import compare_with_model, counted, describe_table, identical_rows, span
from .photo_check import OnProgress, photo_findings
from .taken_photos import read_seen_photos, taken_findings

Found = TypeVar("Found")


@dataclass(frozen=True)
class CheckReport:
    """The contents of an input. facts: JSON values, in the order of display."""

    source: str
    kind: str  # "class table", "dataset" or "features"
    facts: dict[str, Any]
    error: InputFileError | None = None  # why the reader refuses it
    findings: tuple[Finding, ...] = ()  # errors first, then warnings and notes

    @property
    def errors(self) -> tuple[str, ...]:
        """Why commands refuse the input."""
        own = () if self.error is None else (str(self.error),)
        return (*own, *(finding.sentence for finding in of_rank(self.findings, ERROR)))

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(finding.sentence for finding in of_rank(self.findings, WARNING))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was mended, and decisions of the reader."""
        return tuple(finding.sentence for finding in of_rank(self.findings, NOTE))

    def exit_code(self, *, strict: bool = False) -> int:
        """Return 4 for errors, with `strict` 3 for warnings, and 0 otherwise."""
        return 4 if self.errors else 3 if strict and self.warnings else 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "kind": self.kind,
            "valid": not self.errors,
            "error": self.errors[0] if self.errors else None,
            "counts": {"error": len(self.errors), "warning": len(self.warnings), "note": len(self.notes)},
            "findings": [finding.to_dict() for finding in self.all_findings()],
            **self.facts,
        }

    def all_findings(self) -> tuple[Finding, ...]:
        """The findings, and the error of the reader as the first of them."""
        if self.error is None:
            return self.findings
        return (Finding(ERROR, "invalid file", self.error.message, self.error.hint or ""), *self.findings)


def check_input(
    source: str,
    *,
    model: str | None = None,
    data_root: Path | None = None,
    features: str | None = None,
    missing: str = "error",
    rescale: bool = False,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> CheckReport:
    """Open a class table, a feature file, a dataset folder or a benchmark, and report on it.

    model: compare a class table with the attributes of this model. rescale: as `--rescale-rows` of other commands. An
    invalid file gives a report with an `error`. on_progress(done, total, failed) reports photos that are compared.
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
        kind, check = (
            "dataset",
            lambda: _check_dataset(source, data_root, features, missing, rescale, seed, on_progress),
        )
    elif suffix == ".csv":
        kind, check = "class table", lambda: _check_table(path, model, missing, rescale)
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


def _check_table(path: Path, model: str | None, missing: str, rescale: bool) -> CheckReport:
    reference = None if model is None else read_class_table(model)
    table, holes = _despite_holes(lambda how: read_complete_csv(path, missing=how, reference=reference), missing)
    facts = describe_table(table)

    def report(error: InputFileError | None, findings: Iterable[Finding]) -> CheckReport:
        kept = [each for each in findings if holes is None or each.kind != "empty cells"]  # they were not to be filled
        return CheckReport(str(path), "class table", facts, error, _ranked(kept))

    if model is None:
        return report(holes, _own_findings(table, rescale))
    checkpoint = load_checkpoint(model)
    try:
        more_facts, aligned = compare_with_model(table, checkpoint)
    except InputFileError as mismatch:
        return report(holes or mismatch, _own_findings(table, rescale))
    facts |= more_facts
    findings = []
    if rescale:
        aligned, notes = rescale_rows(aligned, checkpoint.classes)
        findings = [Finding(NOTE, "rescaled", note) for note in notes]
    findings += table_findings(aligned, checkpoint.classes)
    findings += taken_findings(read_seen_photos(model), aligned, checkpoint.photos.names if checkpoint.photos else ())
    return report(holes, findings)


def _own_findings(table: ClassAttributes, rescale: bool) -> list[Finding]:
    """Return the findings about a table by itself."""
    notes: list[str] = []
    if rescale:
        table, notes = rescale_rows(table)
    findings = [Finding(NOTE, "rescaled", note) for note in notes]
    return [*findings, *table_findings(table), *column_findings(table)]


def _ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: RANKS.index(finding.rank)))


def _known_facts(dataset: Dataset) -> dict[str, Any]:
    """Return how many classes are known, without photos and with photos, if there is a `known.csv`."""
    if dataset.known_table is None:
        return {}
    rows = set(dataset.known_table.rows.tolist())
    with_photos = len(rows & set(dataset.seen))
    return {"known_classes": len(rows) - with_photos, "known_classes_with_photos": with_photos}


def _label_error(dataset: Dataset) -> InputFileError | None:
    """Return the error about the first label of `known.csv` that training would refuse.

    The labels are ImageNet's 1,000 unless the features are those of a backbone that may have others.
    """
    tag = dataset.backbone.tag if isinstance(dataset, FeaturedDataset) else "embedded"
    if dataset.known_table is None or not (tag == "embedded" or tag.endswith("in1k")):
        return None
    try:
        find_labels(dataset.known_table, label_set(IMAGENET), dataset.classes.names)
    except InputFileError as error:
        return error
    return None


def _check_dataset(
    source: str,
    data_root: Path | None,
    features: str | None,
    missing: str,
    rescale: bool,
    seed: int,
    on_progress: OnProgress | None,
) -> CheckReport:
    def read(how: str) -> Dataset:
        return open_dataset(source, data_root=data_root, features=features, seed=seed, missing=how, write_split=False)

    dataset, error = _despite_holes(read, missing)
    names, labels, split = dataset.classes.names, dataset.labels, dataset.split
    facts = describe_table(dataset.classes)
    findings: list[Finding] = []
    if rescale:
        dataset, findings = rescaled(dataset)
    findings += inspect_dataset(dataset)
    per_class = np.bincount(labels, minlength=len(names))
    facts |= {
        "seen_classes": len(dataset.seen),
        "unseen_classes": len(dataset.unseen),
        **_known_facts(dataset),
        "photos": {part: len(rows) for part, rows in split.parts()},
        "photos_per_class": span(per_class[per_class > 0]),
        "split_sha256": dataset.split_sha256,
    }
    if isinstance(dataset, FeaturedDataset):
        used = np.sort(np.concatenate([rows for _, rows in split.parts()]))
        facts["width"] = dataset.features.shape[1]
        findings += _feature_findings(dataset.features[used], [dataset.paths[row] for row in used])
        facts["backbone"] = dataset.backbone.tag
    else:
        findings += photo_findings(dataset, on_progress)
    error = error or _label_error(dataset)
    if error is None:
        findings += [Finding(NOTE, "reader", note) for note in dataset.notes]
    return CheckReport(source, "dataset", facts, error, _ranked(findings))


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
    findings = _feature_findings(found.features[there], [found.paths[row] for row in there])
    failed = [found.paths[row] for row in np.flatnonzero(~found.ok)]
    if failed:
        text = counted("photos without features", failed)
        findings.insert(0, Finding(WARNING, "failed photos", text, items=tuple(failed)))
    return CheckReport(str(path), "features", facts, None, tuple(findings))


def _despite_holes(read: Callable[[str], Found], missing: str) -> tuple[Found, InputFileError | None]:
    """Read an input. If it is valid except for empty cells, return it with their means, and the error about them."""
    try:
        return read(missing), None
    except InputFileError as error:
        if missing != "error":
            raise
        try:
            return read("mean"), error
        except InputFileError:
            raise error from None


def _feature_findings(features: np.ndarray, paths: Sequence[str]) -> list[Finding]:
    findings = []
    zero = [_photo(paths, row) for row in np.flatnonzero(~features.any(axis=1)).tolist()]
    if zero:
        text = counted("features that are all zeros", zero)
        findings.append(Finding(WARNING, "zero features", text, items=tuple(zero)))
    repeats = [
        f"{_photo(paths, row)} = {_photo(paths, first)}" for first, *rest in identical_rows(features) for row in rest
    ]
    if repeats:
        text = counted("features that repeat another one exactly", repeats)
        findings.append(Finding(WARNING, "equal features", text, items=tuple(repeats)))
    return findings


def _photo(paths: Sequence[str], row: int) -> str:
    return paths[row] or f"row {row + 1}"
