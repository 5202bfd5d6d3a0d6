"""Which photos train, which ones test, and the proof that the two stay apart.

A part is an array of row numbers that count from zero. Draws rank rows by a hash of (seed, the row's key), so that a
photo's fate depends neither on the order of the rows nor on the other photos.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from ...errors import InputFileError, LeakError, RevcdError
from ..classes.attributes import class_key

PARTS = ("trainval", "test_seen", "test_unseen")


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of the three parts of generalised zero-shot learning, sorted."""

    trainval: np.ndarray  # int64; photos of seen classes to train on
    test_seen: np.ndarray  # int64; other photos of the same classes
    test_unseen: np.ndarray  # int64; photos of classes without any photo in trainval
    val_unseen_classes: tuple[int, ...] | None = None  # seen classes that validation treats as unseen, if fixed

    def parts(self) -> Iterable[tuple[str, np.ndarray]]:
        return ((name, getattr(self, name)) for name in PARTS)


def check_split(
    split: Split, labels: np.ndarray, names: Sequence[str], source: str | Path, lines: np.ndarray | None = None
) -> None:
    """Raise unless the split is one on which numbers mean something.

    labels: (N,) class of each row; names: (C,); lines: (N,) line of each row in `source`, if it is a text file.
    `InputFileError` for rows or classes out of range, rows named twice within a part, and a split without training
    rows; `LeakError` for a row in two parts, a class both seen and unseen, and a class tested as seen but not trained.
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
        raise InputFileError(source, "no photo is in trainval, so there is nothing to train on.")
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


def split_sha256(keys: Sequence[str], class_names: Sequence[str], split: Split) -> str:
    """Return the sha256 of which photo of which class is in which part.

    keys, class_names: (N,) each row's relative path (or its number in the published file) and its class. Row order,
    folders above the data set and the machine do not matter.
    """
    lines = [
        json.dumps([keys[row], class_key(class_names[row]), part])
        for part, rows in split.parts()
        for row in rows.tolist()
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def stratified_split(
    labels: np.ndarray, seed: int, test_fraction: float = 0.2, *, keys: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on and rows to test on, sorted; each class gives its share, at least 1 and never all.

    labels: (N,); keys: (N,) what identifies each row (its path), by default its number.
    A class with a single row gives none to the test.
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
    """Return splits of the trainval rows alone that imitate the real one; no test row is ever in them.

    In each fold some of the seen classes play unseen: all their rows become test_unseen, and of each other class
    `row_fraction` of the rows become test_seen, at least one and never all. The first fold has the split's own
    validation classes, if any of them is seen, else `class_fraction` of the seen ones (at least one and never all).
    Further folds have as many of those that no fold had yet, so there are at most `folds` and at least one. None at all
    if the fraction is 0 or there are fewer than three seen classes. Row numbers stay those of the data set.

    Raises `RevcdError` if no class is left to train on.
    """
    inside = labels[split.trainval]
    seen = np.unique(inside)
    first = np.intersect1d(np.asarray(split.val_unseen_classes or (), dtype=np.int64), seen)
    if class_fraction == 0 or (not len(first) and len(seen) < 3):
        return []
    if len(first) == len(seen):
        raise RevcdError(
            f"Validation would treat all {len(seen)} seen classes as unseen, so none is left to train on.",
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
    """Return the items in the order of a hash of (seed, purpose, key)."""

    def rank(item: int) -> bytes:
        key = str(item) if keys is None else keys[item]
        return hashlib.sha256(json.dumps([seed, purpose, key]).encode()).digest()

    return np.array(sorted(items.tolist(), key=rank), dtype=np.int64)
