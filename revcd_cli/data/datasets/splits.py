"""Splits into training and test photos, checks for leaks, and 5-fold validation.

A part is an array of zero-based row numbers. Random draws sort rows by a hash of (seed, key of the row), so that the
result for a photo does not depend on the order of the rows or on other photos.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from ...errors import InputFileError, LeakError, RevcdError, listed
from ..classes.attributes import class_key
from ..findings import ERROR, WARNING, Finding

PARTS = ("trainval", "test_seen", "test_unseen")
_REMOVE = "Remove one of each pair, or put both into one part and class."


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted row numbers of the three parts of generalised zero-shot learning."""

    trainval: np.ndarray  # int64; training photos, of seen classes
    test_seen: np.ndarray  # int64; test photos of the same classes
    test_unseen: np.ndarray  # int64; test photos of classes without photos in trainval
    val_unseen_classes: tuple[int, ...] | None = None  # seen classes that validation holds out, if given

    def parts(self) -> Iterable[tuple[str, np.ndarray]]:
        """Return (name, rows) of each part."""
        return ((name, getattr(self, name)) for name in PARTS)


def check_split(
    split: Split, labels: np.ndarray, names: Sequence[str], source: str | Path, lines: np.ndarray | None = None
) -> None:
    """Raise if the split is invalid or leaks.

    labels: (N,) class of each row; names: (C,); lines: (N,) line of each row in `source`, if it is a text file.
    Raises `InputFileError` for rows or classes out of range, rows twice in a part, or no training rows; `LeakError` for
    a row in two parts, a class both seen and unseen, or a class in test_seen without training photos.
    """

    def leak(row: int, message: str) -> NoReturn:
        raise LeakError(source, message, line=None if lines is None else int(lines[row]))

    if len(labels) and not (labels.min() >= 0 and labels.max() < len(names)):
        raise InputFileError(source, f"has photos of classes outside the {len(names)} of the class table.")
    owner = np.full(len(labels), -1)
    for number, (part, rows) in enumerate(split.parts()):
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(labels)):
            raise InputFileError(source, f"{part} names rows outside the {len(labels):,} photos.")
        if len(np.unique(rows)) != len(rows):
            raise InputFileError(source, f"{part} names {len(rows) - len(np.unique(rows))} rows twice.")
        shared = rows[owner[rows] >= 0]
        if len(shared):
            leak(shared[0], f"{len(shared)} photos are both in {PARTS[owner[shared[0]]]} and in {part}.")
        owner[rows] = number
    if not len(split.trainval):
        raise InputFileError(source, "trainval has no photos, so there is nothing to train on.")
    trained = np.unique(labels[split.trainval])
    for rows, is_leak, say in (
        (split.test_unseen, True, "has photos in trainval, so it is not unseen, but others are in test_unseen"),
        (split.test_seen, False, "has photos in test_seen but none in trainval, so it is not a seen class"),
    ):
        wrong = rows[np.isin(labels[rows], trained) == is_leak]
        if len(wrong):
            count = len(np.unique(labels[wrong]))
            more = f" (and {count - 1} more classes)" if count > 1 else ""
            leak(wrong[0], f'class "{names[labels[wrong[0]]]}"{more} {say}.')


def copy_findings(
    groups: Sequence[Sequence[int]], paths: Sequence[str], labels: np.ndarray, split: Split, names: Sequence[str]
) -> list[Finding]:
    """Return findings about photos with equal bytes: across parts, across classes, and others.

    groups: rows of photos with equal bytes, see `photos.copies`; labels: (N,); names: (C,). Copies across parts are a
    leak, and copies across classes a contradiction; both are errors. Rows outside the split are left out.
    """
    part_of = {row: part for part, rows in split.parts() for row in rows.tolist()}
    across_parts, across_classes, others = [], [], []
    for group in groups:
        rows = [row for row in group if row in part_of]
        if len({labels[row] for row in rows}) > 1:
            first = rows[0]
            other = next(row for row in rows if labels[row] != labels[first])
            across_classes.append(f"{paths[first]} ({names[labels[first]]}) = {paths[other]} ({names[labels[other]]})")
        elif len({part_of[row] == PARTS[0] for row in rows}) > 1:
            train = next(row for row in rows if part_of[row] == PARTS[0])
            test = next(row for row in rows if part_of[row] != PARTS[0])
            across_parts.append(f"{paths[train]} ({PARTS[0]}) = {paths[test]} ({part_of[test]})")
        elif len(rows) > 1:
            others.append(" = ".join(paths[row] for row in rows[:2]))
    kinds = (
        (
            ERROR,
            "copies across parts",
            across_parts,
            "have copies with the same bytes in another part, a leak",
            _REMOVE,
        ),
        (ERROR, "copies across classes", across_classes, "have copies with the same bytes in another class", _REMOVE),
        (WARNING, "copies", others, "have copies with the same bytes in the same class and part", ""),
    )
    return [
        Finding(rank, kind, f"{len(pairs):,} photos {words}: {listed(pairs, 3)}.", hint, tuple(pairs), rank == ERROR)
        for rank, kind, pairs, words, hint in kinds
        if pairs
    ]


def photos_lost(split: Split, kept: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return a phrase for each part, and each class with photos in trainval or test_unseen, that keeps no photo.

    kept: (N,) bool, which rows can be used; labels: (N,); names: (C,).
    """
    lost = []
    for part, rows in split.parts():
        if len(rows) and not kept[rows].any():
            lost.append(f"all {len(rows):,} photos of {part}")
        elif part != "test_seen":  # a seen class without test photos is only not measured
            classes = np.unique(labels[rows])
            gone = [c for c in classes.tolist() if not kept[rows[labels[rows] == c]].any()]
            lost += [f'all {int((labels[rows] == c).sum()):,} photos of "{names[c]}" in {part}' for c in gone]
    return lost


def split_sha256(keys: Sequence[str], class_names: Sequence[str], split: Split) -> str:
    """Return the sha256 of the assignment of photos and classes to parts.

    keys: (N,) relative path of each row, or its number in the published file; class_names: (N,). The hash does not
    depend on the order of rows or the location of the dataset.
    """
    lines = [
        json.dumps([keys[row], class_key(class_names[row].replace("+", " ")), part])  # as revcd 0.1.0 did
        for part, rows in split.parts()
        for row in rows.tolist()
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def stratified_split(
    labels: np.ndarray, seed: int, test_fraction: float = 0.2, *, keys: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted training and test rows. Each class has the same share of test rows, at least 1 and never all.

    labels: (N,); keys: (N,) identify rows (their paths), by default their numbers. A class of one row has no test row.
    """
    test = [
        rows[: min(max(1, round(test_fraction * len(rows))), len(rows) - 1)]
        for rows in (
            _ranked(np.flatnonzero(labels == label), seed, "row", keys) for label in np.unique(labels).tolist()
        )
    ]
    held_out = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *test]))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def validation_folds(
    labels: np.ndarray,
    split: Split,
    seed: int,
    *,
    folds: int,
    class_fraction: float,
    row_fraction: float,
    keys: Sequence[str] | None = None,
) -> list[Split]:
    """Return the cross-validation folds: splits of the trainval rows only, with held-out classes.

    In each fold, all rows of the held-out classes are test_unseen, and `row_fraction` of the rows of each other class
    are test_seen (at least one and never all). The first fold holds out the split's validation classes that are seen,
    or else `class_fraction` of the seen classes (at least one and never all). Each further fold holds out the same
    number of other classes, while there are enough; there are at most `folds` and at least one. There are none if the
    fraction is 0 or there are fewer than three seen classes. Row numbers are those of the dataset.

    Raises `RevcdError` if no class is left for training.
    """
    inside = labels[split.trainval]
    seen = np.unique(inside)
    first = np.intersect1d(np.asarray(split.val_unseen_classes or (), dtype=np.int64), seen)
    if class_fraction == 0 or (not len(first) and len(seen) < 3):
        return []
    if len(first) == len(seen):
        raise RevcdError(
            f"Validation would hold out all {len(seen)} seen classes, so none is left for training.",
            hint="Name fewer validation classes.",
        )
    count = len(first) or min(max(1, round(class_fraction * len(seen))), len(seen) - 1)
    order = np.concatenate([first, _ranked(np.setdiff1d(seen, first), seed, "class", None)])
    return [
        _validation_fold(labels, split, order[k * count : (k + 1) * count], seed, row_fraction, keys)
        for k in range(max(1, min(folds, len(order) // count)))
    ]


def _validation_fold(
    labels: np.ndarray,
    split: Split,
    classes: np.ndarray,
    seed: int,
    row_fraction: float,
    keys: Sequence[str] | None,
) -> Split:
    inside = labels[split.trainval]
    as_unseen = np.isin(inside, classes)
    rest = split.trainval[~as_unseen]
    train, held_out = stratified_split(
        labels[rest], seed, row_fraction, keys=None if keys is None else [keys[row] for row in rest]
    )
    unseen = tuple(np.unique(inside[as_unseen]).tolist())
    return Split(rest[train], rest[held_out], split.trainval[as_unseen], unseen)


def _ranked(items: np.ndarray, seed: int, purpose: str, keys: Sequence[str] | None) -> np.ndarray:
    """Return the items sorted by a hash of (seed, purpose, key)."""

    def rank(item: int) -> bytes:
        key = str(item) if keys is None else keys[item]
        return hashlib.sha256(json.dumps([seed, purpose, key]).encode()).digest()

    return np.array(sorted(items.tolist(), key=rank), dtype=np.int64)
