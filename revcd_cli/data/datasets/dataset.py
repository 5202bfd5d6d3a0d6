"""A dataset in memory: labels, class descriptions, split and features; features are matched to photos by path."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...config import BackboneRecord
from ...errors import InputFileError, LeakError, UsageError, listed
from ..classes.attributes import ClassAttributes, read_attribute_csv
from ..features.feature_set import FeatureSet
from ..findings import WARNING, Finding, raise_first_error
from ..photos.copies import equal_groups
from .known import KnownClasses, KnownTable
from .path_matching import match_paths
from .splits import PARTS, Split, check_split, copy_findings, photos_lost, split_sha256

TABLE_FILE = "attributes.csv"
_NAMED = 3  # photos that a message lists
REPAIR = (
    "Repair or replace these photos, or remove their lines from images.csv: without a photo, a seen class would become "
    "an unseen one."
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """N photos of C classes with their class descriptions and split."""

    name: str
    classes: ClassAttributes  # C x A
    labels: np.ndarray  # (N,) int64, row of `classes`
    paths: tuple[str, ...]  # (N,) relative to `images_root`; "" if unknown
    split: Split
    split_sha256: str
    images_root: Path | None = None
    notes: tuple[str, ...] = ()  # for the user
    keys: tuple[str, ...] = ()  # (N,) identify rows on every machine; random splits and hashes use them
    source: str = ""  # the file with the split
    findings: tuple[Finding, ...] = ()  # about its photos, see `inspect`
    published: bool = False  # a benchmark with a published split, whose metrics are compared with those of papers
    known_table: KnownTable | None = None  # classes that are labels of the backbone's classifier, from known.csv

    @functools.cached_property
    def seen(self) -> tuple[int, ...]:
        """Classes with photos in trainval."""
        return tuple(np.unique(self.labels[self.split.trainval]).tolist())

    @functools.cached_property
    def unseen(self) -> tuple[int, ...]:
        """All other classes of the table, with or without test photos."""
        return tuple(sorted(set(range(len(self.classes.names))) - set(self.seen)))

    @staticmethod
    def from_arrays(
        features: np.ndarray,
        labels: Sequence[str],
        classes: ClassAttributes | str | Path,
        parts: Sequence[str],
        *,
        name: str = "arrays",
        backbone: BackboneRecord | None = None,
    ) -> FeaturedDataset:
        """Return a dataset of features in memory.

        features: (N, D), finite; labels: (N,) class names; classes: the class table, or the path of its CSV file;
        parts: (N,) "trainval", "test_seen" or "test_unseen". backbone: what computed the features; by default an
        unknown one with this name, whose features no photo can be compared with. Raises `UsageError` for shapes and
        names that do not fit, and `InputFileError` or `LeakError` for an invalid split.
        """
        table = classes if isinstance(classes, ClassAttributes) else read_attribute_csv(classes)
        x, n_rows = np.asarray(features), len(labels)
        if x.ndim != 2 or x.dtype.kind not in "fiu" or len(x) != n_rows or len(parts) != n_rows:
            raise UsageError(
                f"The features are {x.dtype} {x.shape}, with {n_rows:,} labels and {len(parts):,} parts.",
                hint="Give numbers of the shape (N, D), and a label and a part for each row.",
            )
        if not np.isfinite(x).all():
            raise UsageError(f"{int((~np.isfinite(x)).any(1).sum()):,} features are not finite (NaN or infinite).")
        unknown = sorted(set(map(str, parts)) - set(PARTS))
        if unknown:
            raise UsageError(f'"{unknown[0]}" is not a part of a split.', hint=f"Parts: {', '.join(PARTS)}.")
        part = np.array([PARTS.index(str(each)) for each in parts], dtype=np.int64)
        keys = [f"{name}/{row}" for row in range(n_rows)]
        record = backbone or BackboneRecord(tag=name, weights_sha256="", preprocessing={}, feature_dim=x.shape[1])
        dataset = make_dataset(
            name=name,
            classes=table,
            labels=np.array([table.index(str(label)) for label in labels], dtype=np.int64),
            paths=[""] * n_rows,
            keys=keys,
            split=Split(np.flatnonzero(part == 0), np.flatnonzero(part == 1), np.flatnonzero(part == 2)),
            source=name,
        )
        return add_features(dataset, x.astype(np.float32), record)

    @property
    def lacks_photos(self) -> bool:
        """Whether photos of the list are missing or could not be read, so that a command has used only the others."""
        return any(finding.kind in ("missing photos", "failed photos") for finding in self.findings)


@dataclass(frozen=True, eq=False, kw_only=True)
class FeaturedDataset(Dataset):
    """A `Dataset` with an image feature for each photo of its split."""

    features: np.ndarray  # (N, D) float32; rows outside the split may be NaN
    backbone: BackboneRecord  # which computed the features
    known: KnownClasses | None = None  # those of `known_table`, with their weights in the backbone's classifier

    @functools.cached_property
    def known_only(self) -> tuple[int, ...]:
        """Known classes without photos in trainval; training uses pseudo features of them."""
        return () if self.known is None else tuple(sorted(set(self.known.rows.tolist()) - set(self.seen)))


def make_dataset(
    *,
    name: str,
    classes: ClassAttributes,
    labels: np.ndarray,
    paths: Sequence[str],
    keys: Sequence[str],
    split: Split,
    source: Path | str,
    lines: np.ndarray | None = None,
    images_root: Path | None = None,
    notes: Sequence[str] = (),
    findings: Sequence[Finding] = (),
    published: bool = False,
) -> Dataset:
    """Check the split and return the dataset. Raises `InputFileError`, or `LeakError` for a split that leaks."""
    check_split(split, labels, classes.names, source, lines)
    return Dataset(
        name=name,
        classes=classes,
        labels=labels,
        paths=tuple(paths),
        split=split,
        split_sha256=split_sha256(keys, [classes.names[label] for label in labels], split),
        images_root=images_root,
        notes=tuple(notes),
        keys=tuple(keys),
        source=str(source),
        findings=tuple(findings),
        published=published,
    )


def add_known_table(dataset: Dataset, known: KnownTable) -> Dataset:
    """Return the dataset with known classes. Raises `LeakError` if the split tests one of them as unseen."""
    tested = set(dataset.labels[dataset.split.test_unseen].tolist())
    wrong = [row for row in known.rows.tolist() if row in tested]
    if wrong:
        more = f" (and {len(wrong) - 1} more classes)" if len(wrong) > 1 else ""
        raise LeakError(
            known.path,
            f'class "{dataset.classes.names[wrong[0]]}"{more} has photos in test_unseen, so it must not be known: the '
            "backbone was trained on photos of its label, and U and T1 would not be of unseen classes.",
            line=known.line(wrong[0]),
            hint="Remove the lines of these classes, or their photos from test_unseen.",
        )
    return dataclasses.replace(dataset, known_table=known)


def add_features(dataset: Dataset, features: np.ndarray, backbone: BackboneRecord) -> FeaturedDataset:
    """Return the dataset with these features, (N, D), one for each of its rows in order."""
    own = {field.name: getattr(dataset, field.name) for field in dataclasses.fields(Dataset)}
    return FeaturedDataset(**own, features=features, backbone=backbone)


def require_features(dataset: Dataset) -> FeaturedDataset:
    """Return the dataset itself, or raise `UsageError` if it has no features."""
    if not isinstance(dataset, FeaturedDataset):
        raise UsageError("The dataset has no features yet; extract them first.")
    return dataset


def attach_features(dataset: Dataset, feature_set: FeatureSet) -> FeaturedDataset:
    """Return the dataset with features that are matched by path, see `match_paths`.

    Photos whose extraction failed are removed from the split, with a warning. Raises `InputFileError` with the number
    and the first names of photos that match no row of the feature file, or several, and if a class or a part loses all
    its photos; `LeakError` for photos with equal bytes in two parts or classes.
    """
    if not all(dataset.paths):
        raise InputFileError(dataset.source, "does not name the photos' files, so features cannot be matched by path.")
    rows = match_paths(dataset.paths, feature_set.paths)
    used = set(np.unique(np.concatenate([part for _, part in dataset.split.parts()])).tolist())
    absent = [path for row, path in enumerate(dataset.paths) if row in used and rows[row] < 0]
    if absent:
        raise InputFileError(
            dataset.source,
            f"{len(absent):,} of {len(used):,} photos match no row of the feature file, or several: "
            f"{listed(absent, _NAMED)}.",
            hint="Extract features of exactly these photos: revcd extract FOLDER -o FILE",
        )
    features = np.full((len(rows), feature_set.features.shape[1]), np.nan, dtype=np.float32)
    features[rows >= 0] = feature_set.features[rows[rows >= 0]]
    kept = add_features(dataset, features, feature_set.backbone)
    matched = rows.tolist()
    ok = feature_set.ok
    copies = equal_groups(feature_set.sha256[row] if row >= 0 and ok[row] else "" for row in matched)
    found = copy_findings(copies, dataset.paths, dataset.labels, dataset.split, dataset.classes.names)
    raise_first_error(found, dataset.source)
    known = {finding.kind for finding in dataset.findings}
    found = [finding for finding in found if finding.kind not in known]
    kept = dataclasses.replace(kept, findings=(*kept.findings, *found))
    return _without_failures(kept, [feature_set.reason[row] if row >= 0 else "" for row in matched])


def _without_failures(dataset: FeaturedDataset, reasons: Sequence[str]) -> FeaturedDataset:
    finite = np.asarray(np.isfinite(dataset.features).all(axis=1))
    lost = photos_lost(dataset.split, finite, dataset.labels, dataset.classes.names)
    if lost:
        raise InputFileError(
            dataset.source, f"{listed(lost, _NAMED)} could not be read{_reasons(reasons, finite)}.", hint=REPAIR
        )
    trainval, test_seen, test_unseen = (part[finite[part]] for _, part in dataset.split.parts())
    split = Split(trainval, test_seen, test_unseen, dataset.split.val_unseen_classes)
    before, after = (sum(len(part) for _, part in each.parts()) for each in (dataset.split, split))
    if before == after:
        return dataset
    check_split(split, dataset.labels, dataset.classes.names, dataset.source)
    names = tuple(dataset.paths[row] for _, rows in dataset.split.parts() for row in rows.tolist() if not finite[row])
    why = _reasons(reasons, finite)
    text = f"{before - after} photos have no features{why} and are left out: {listed(names, _NAMED)}."
    return dataclasses.replace(
        dataset,
        split=split,
        split_sha256=split_sha256(dataset.keys, [dataset.classes.names[label] for label in dataset.labels], split),
        findings=(*dataset.findings, Finding(WARNING, "failed photos", text, items=names)),
    )


def _reasons(reasons: Sequence[str], finite: np.ndarray) -> str:
    counts = Counter(reason or "failed" for reason, ok in zip(reasons, finite, strict=True) if not ok)
    return f" ({', '.join(f'{count} {reason}' for reason, count in counts.most_common())})"
