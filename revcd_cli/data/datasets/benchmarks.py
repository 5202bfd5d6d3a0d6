"""Read benchmarks in the xlsa17 layout: `att_splits.mat` with features such as `res101.mat`, or with photos.

Source: Y. Xian, C. H. Lampert, B. Schiele and Z. Akata, "Zero-Shot Learning - A Comprehensive Evaluation of the Good,
the Bad and the Ugly", TPAMI 2019. Row and class numbers are one-based in the files and zero-based in everything
returned here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...config import BackboneRecord
from ...errors import InputFileError, RevcdError, listed
from ..classes.attributes import class_key, class_keys
from ..features.feature_set import FeatureSet
from ..features.files import read_features
from ..features.shards import is_shard_folder
from ..formats.mat_file import load_mat, mat_variables, numbers_from_one, texts
from ..photos.class_folders import class_of_photo, list_photos, short_path
from .dataset import Dataset, add_features, attach_features, make_dataset
from .published_split import PublishedSplit, read_published_split
from .registry import FEATURES_FILE
from .splits import Split


@dataclass(frozen=True)
class _Rows:
    """The N rows to which the published split refers."""

    source: Path
    labels: np.ndarray  # (N,) int64
    image_files: tuple[str, ...]  # (N,) or empty
    features: np.ndarray | None = None  # (N, D) float32
    backbone: BackboneRecord | None = None
    note: str = ""


def read_benchmark(folder: Path, *, name: str, features: str | None = None, images: Path | None = None) -> Dataset:
    """Read an xlsa17 folder.

    features: a .mat of the same rows (also the name of a file in `folder`), or a feature file of `revcd extract`, which
    is matched by path. The default is `res101.mat`, unless `images` is given. images: the folder of the benchmark's
    photos. Rows follow `image_files`, or without any .mat the sorted paths of the photos, if these fit the split.

    Raises `RevcdError` if the classes of the rows are unknown, `InputFileError` or `LeakError` for invalid files.
    """
    published = read_published_split(folder)
    given = _find_features(folder, features)
    of_rows = given if isinstance(given, Path) and _is_of_rows(given) else None
    extracted = None if given is None or of_rows is not None else read_features(given)
    rows = _find_rows(folder, published, of_rows, extracted, images)
    _check_rows(rows, published)
    paths, images_root = _locate_photos(rows, images)
    split, fold_note = _with_validation(published, rows.labels)
    notes = [*published.notes, rows.note, fold_note]
    dataset = make_dataset(
        name=name,
        classes=published.classes,
        labels=rows.labels,
        paths=paths,
        keys=[str(row) for row in range(len(rows.labels))],  # the published row, which does not depend on the features
        split=split,
        source=published.path,
        images_root=images_root,
        notes=[note for note in notes if note],
        published=True,
    )
    if extracted is not None:
        return attach_features(dataset, extracted)
    if rows.features is None or rows.backbone is None:
        return dataset
    return add_features(dataset, rows.features, rows.backbone)


def _find_features(folder: Path, features: str | None) -> Path | str | None:
    if features is None or is_shard_folder(features):
        return features
    own = folder / features
    return own if own.is_file() else Path(features).expanduser()


def _is_of_rows(path: Path) -> bool:
    """Return whether the rows of a feature file are those of the benchmark; a file of revcd has its input's rows."""
    if path.suffix.lower() != ".mat":
        return False
    variables = mat_variables(path)
    return "labels" in variables and "revcd" not in variables


def _find_rows(
    folder: Path, published: PublishedSplit, given: Path | None, extracted: FeatureSet | None, images: Path | None
) -> _Rows:
    classes = len(published.classes.names)
    standard = folder / FEATURES_FILE
    if given is not None:
        return _rows_of_mat(given, classes, with_features=True)
    if standard.is_file():
        return _rows_of_mat(standard, classes, with_features=extracted is None and images is None)
    if images is not None:
        return _rows_of_photos(images, list_photos(images), published)
    if extracted is not None:
        ordered = sorted(extracted.paths, key=lambda path: path.split("/"))
        return _rows_of_photos(folder, ordered, published)
    raise RevcdError(
        f"{standard}: there is no such file, so the classes and features of the rows of {folder.name} are unknown.",
        hint=f"Put {FEATURES_FILE} of {folder.name} (from xlsa17.zip) into {folder}, name other features of the same "
        "rows with --features NAME.mat, or give the benchmark's own photos with --images DIR.",
    )


def _rows_of_mat(path: Path, classes: int, *, with_features: bool) -> _Rows:
    arrays = load_mat(path, ["labels"], ["image_files"])
    labels = numbers_from_one(path, "labels", arrays["labels"], classes)
    files = texts(path, "image_files", arrays["image_files"]) if "image_files" in arrays else ()
    if files and len(files) != len(labels):
        raise InputFileError(path, f"has {len(labels):,} labels, but {len(files):,} image_files.")
    if not with_features:
        return _Rows(path, labels, files)
    found = read_features(path)
    return _Rows(path, labels, files, found.features, found.backbone)


def _rows_of_photos(source: Path, paths: Sequence[str], published: PublishedSplit) -> _Rows:
    """Use the photos in the order of their paths as the published rows, if classes and counts fit."""
    names = published.classes.names
    classes = {class_key(name): row for row, name in enumerate(names)}
    found = [(path, class_of_photo(path, classes)) for path in paths]
    kept = [(path, label) for path, label in found if label is not None]
    expected = published.largest_row + 1
    if len(kept) != expected:
        raise InputFileError(
            source,
            f"has {len(kept):,} photos in folders of the {len(names)} classes; the split has {expected:,} photos.",
            hint=f"Use the benchmark's own photos, all of them, or put {FEATURES_FILE} next to the split.",
        )
    labels = np.array([label for _, label in kept], dtype=np.int64)
    unseen = set(labels[published.split.test_unseen].tolist())
    both = sorted(unseen & set(labels[np.union1d(published.split.trainval, published.split.test_seen)].tolist()))
    if both:
        raise InputFileError(
            source,
            f'the photos, sorted by name, do not fit the split: "{names[both[0]]}" and {len(both) - 1} '
            "other classes would be both seen and unseen.",
            hint=f"Keep the original names and folders, or put {FEATURES_FILE}, which names them, next to the split.",
        )
    note = (
        f"Without {FEATURES_FILE}, rows follow the sorted names of the photos. The classes of photos fit the split; "
        "which photos of a class are for training is inferred from this order."
    )
    return _Rows(source, labels, tuple(path for path, _ in kept), note=note)


def _check_rows(rows: _Rows, published: PublishedSplit) -> None:
    names = published.classes.names
    if published.largest_row >= len(rows.labels):
        raise InputFileError(
            published.path,
            f"names row {published.largest_row + 1:,}, but {rows.source.name} has {len(rows.labels):,} rows.",
        )
    absent = np.setdiff1d(np.arange(len(names)), rows.labels)
    if len(absent):
        raise InputFileError(
            rows.source, f'no photo is of class "{names[absent[0]]}" ({len(absent)} of {len(names)} have none).'
        )
    keys = [class_key(name) for name in names]
    folders = [class_keys(short_path(path).rpartition("/")[0])[-1] for path in rows.image_files]
    if not folders or not set(folders) <= set(keys):
        return  # the folders are not class names, as in SUN and aPY
    for row, (folder, label) in enumerate(zip(folders, rows.labels.tolist(), strict=True)):
        if folder != keys[label]:
            raise InputFileError(
                rows.source,
                f'row {row + 1:,} is labelled "{names[label]}", but its photo is in the folder "{folder}": '
                f"the labels use another order of classes than allclasses_names in {published.path.name}.",
            )


def _locate_photos(rows: _Rows, images: Path | None) -> tuple[tuple[str, ...], Path | None]:
    """Return the paths of the rows, and the folder to which they are relative."""
    short = [short_path(path) for path in rows.image_files] or [""] * len(rows.labels)
    unique = "" not in short and len(set(short)) == len(short)
    if images is None:
        return (tuple(short) if unique else ("",) * len(short)), None
    if rows.source == images:
        return rows.image_files, images
    if not unique:
        raise InputFileError(
            rows.source,
            "does not name a different photo for each row, so photos cannot be matched to rows.",
            hint="Leave out --images and use features of the same rows.",
        )
    on_disk: dict[str, list[str]] = {}
    for path in list_photos(images):
        on_disk.setdefault(short_path(path), []).append(path)
    absent = [path for path in short if len(on_disk.get(path, ())) != 1]
    if absent:
        raise InputFileError(
            images,
            f"{len(absent):,} of the benchmark's {len(short):,} photos are missing or ambiguous: {listed(absent, 3)}.",
        )
    return tuple(on_disk[path][0] for path in short), images


def _with_validation(published: PublishedSplit, labels: np.ndarray) -> tuple[Split, str]:
    """Return the split with the published validation classes, restricted to trainval, and a note for the user."""
    split = published.split
    if published.train is None or published.val is None:
        return split, ""
    leaked = len(np.intersect1d(np.union1d(published.train, published.val), split.test_seen))
    train, val = (
        set(labels[np.intersect1d(rows, split.trainval)].tolist()) for rows in (published.train, published.val)
    )
    note = ""
    if leaked:
        note = (
            f"train_loc and val_loc contain {leaked:,} test_seen photos; validation uses only their rows that are also "
            "in trainval_loc."
        )
    if not val or train & val:
        return split, note
    return Split(split.trainval, split.test_seen, split.test_unseen, tuple(sorted(val))), note
