"""Read a dataset folder: a class table with `images.csv`, or with one folder of photos per class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from ...errors import InputFileError
from ..classes.attributes import ClassAttributes, class_key
from ..classes.completion import read_complete_csv
from ..findings import Finding
from ..photos.class_folders import class_of_photo, list_photos
from ..photos.copies import identical_files
from ..photos.passed_over import PassedOver
from .dataset import TABLE_FILE, Dataset, make_dataset
from .images_csv import IMAGES_FILE, read_images_csv, unknown_class, write_images_csv
from .split_folders import read_split_folders
from .splits import Split, copy_findings, split_sha256, stratified_split

TEST_FRACTION = 0.2  # of each class, if the folder has no split


def read_folder(
    root: Path,
    *,
    images: Path | None = None,
    seed: int = 0,
    missing: str = "error",
    write_split: bool = True,
    with_photos: bool = True,
) -> Dataset:
    """Read a dataset folder. images: the folder of the photos, if it is another one.

    Without `images.csv`, the folder of a photo is its class, and classes without photos are unseen. The split is that
    of folders named train, val and test, if there are any. Otherwise a stratified split is drawn with `seed`, in which
    photos with equal bytes are in one part. If `write_split`, it is written to `images.csv`, which later calls read.
    with_photos: look for the photos of `images.csv` on the disk; otherwise they may be absent.

    Raises `InputFileError` with path:line:column, or `LeakError`.
    """
    classes = read_complete_csv(root / TABLE_FILE, missing=missing)
    notes = [classes.filled_text] if classes.filled else []
    photos_root = images or root
    if (root / IMAGES_FILE).is_file():
        return read_images_csv(
            root / IMAGES_FILE, classes, images_root=photos_root, notes=notes, with_photos=with_photos
        )
    passed = PassedOver()
    rows = {class_key(name): row for row, name in enumerate(classes.names)}
    paths, labels = _photos_by_class(photos_root, classes, rows, passed)
    split, findings = _split(photos_root, paths, labels, classes, rows, seed, notes)
    if write_split:
        notes.append(write_images_csv(root / IMAGES_FILE, paths, [classes.names[label] for label in labels], split))
    return make_dataset(
        name=root.resolve().name,
        classes=classes,
        labels=labels,
        paths=paths,
        keys=paths,
        split=split,
        source=root / IMAGES_FILE,
        images_root=photos_root,
        notes=notes,
        findings=[*passed.findings(), *findings],
    )


def has_photos(root: Path) -> bool:
    """Return whether a dataset folder has a list of photos, or folders that may hold some."""
    return (root / IMAGES_FILE).is_file() or any(child.is_dir() for child in root.iterdir())


def read_table_alone(root: Path, *, missing: str) -> Dataset:
    """Read a dataset folder without photos: a class table whose known classes are all that can be trained on."""
    classes, nothing = read_complete_csv(root / TABLE_FILE, missing=missing), np.empty(0, dtype=np.int64)
    split = Split(nothing, nothing, nothing)
    notes = [classes.filled_text] if classes.filled else []
    return Dataset(
        name=root.resolve().name,
        classes=classes,
        labels=nothing,
        paths=(),
        split=split,
        split_sha256=split_sha256((), (), split),
        notes=(
            *notes,
            f"{root.name} has no photos: only known classes are trained on, and nothing can be validated.",
        ),
        source=str(root / TABLE_FILE),
    )


def _split(
    root: Path,
    paths: list[str],
    labels: np.ndarray,
    classes: ClassAttributes,
    rows: Mapping[str, int],
    seed: int,
    notes: list[str],
) -> tuple[Split, list[Finding]]:
    """Return the split that folders state, or a drawn one, with findings about copies; add a note about its origin."""
    copies = identical_files(root, paths)
    stated = read_split_folders(root, paths, labels, rows)
    if stated is not None:
        split, note = stated
        notes.append(note)
        return split, copy_findings(copies, paths, labels, split, classes.names)
    trainval, test_seen = stratified_split(labels, seed, TEST_FRACTION, keys=paths)
    in_training = set(trainval.tolist())
    for group in copies:  # a group is for testing only if each of its photos is
        if in_training.intersection(group) and len(set(labels[group].tolist())) == 1:
            in_training.update(group)
    trainval = np.array(sorted(in_training), dtype=np.int64)
    split = Split(trainval, np.setdiff1d(test_seen, trainval), np.empty(0, dtype=np.int64))
    unseen = len(classes.names) - len(set(labels.tolist()))
    kept = "; photos with equal bytes are in one part" if copies else ""
    without = f" Classes without photos are unseen ({unseen})." if unseen else ""
    notes.append(
        f"{root.name} has no {IMAGES_FILE}, so the split is drawn (seed {seed}{kept}): {len(trainval):,} photos for "
        f"training, {len(split.test_seen):,} for testing.{without}"
    )
    return split, copy_findings(copies, paths, labels, split, classes.names)


def _photos_by_class(
    root: Path, classes: ClassAttributes, rows: Mapping[str, int], passed: PassedOver
) -> tuple[list[str], np.ndarray]:
    """Return the photos' paths relative to `root` and their classes (N,)."""
    paths = list_photos(root, passed)
    labels = []
    for path in paths:
        label = class_of_photo(path, rows)
        if label is None and "/" not in path:
            raise InputFileError(
                root / path, "this photo is in no class folder.", hint="Move it into one, or remove it."
            )
        if label is None:
            raise unknown_class(root / path, PurePosixPath(path).parent.name, classes)
        labels.append(label)
    return paths, np.array(labels, dtype=np.int64)
