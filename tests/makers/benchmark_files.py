"""Benchmarks in the xlsa17 layout: `att_splits.mat` and `res101.mat` of sixteen photos, valid or with changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io

# Classes in the file's order, which is not alphabetical; four photos each, in alphabetical order of the folders.
CLASSES = ("zebra", "grizzly+bear", "okapi", "lion")
FOLDERS = sorted(CLASSES)
PHOTOS = [f"{folder}/{folder}_{number}.jpg" for folder in FOLDERS for number in range(1, 5)]
LABELS = np.array([CLASSES.index(photo.split("/")[0]) + 1 for photo in PHOTOS], dtype=np.float64)
UNSEEN_ROWS = np.flatnonzero(LABELS == 3) + 1  # okapi
SEEN_ROWS = np.setdiff1d(np.arange(1, 17), UNSEEN_ROWS)
TEST_SEEN = SEEN_ROWS[::4]  # the first photo of each class


def cell(texts: list[str] | tuple[str, ...]) -> np.ndarray:
    array = np.empty((len(texts), 1), dtype=object)
    array[:, 0] = texts
    return array


def column(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows, dtype=np.uint16).reshape(-1, 1)


def splits(**changes: object) -> dict[str, object]:
    """Return the variables of a valid att_splits.mat with 3 attributes, with changes; None removes a variable."""
    original = np.array([[100.0, 0, 50, 0], [10, 20, 30, 40], [5, 5, 0, 90]])
    train = np.setdiff1d(SEEN_ROWS, TEST_SEEN)
    lions = np.flatnonzero(LABELS == 4) + 1
    variables = {
        "att": original / np.linalg.norm(original, axis=0),
        "original_att": original,
        "allclasses_names": cell(CLASSES),
        "trainval_loc": column(train),
        "test_seen_loc": column(TEST_SEEN),
        "test_unseen_loc": column(UNSEEN_ROWS),
        "train_loc": column(np.setdiff1d(SEEN_ROWS, lions)),  # leaks test_seen rows, as the published files do
        "val_loc": column(lions),
    }
    return {name: value for name, value in (variables | changes).items() if value is not None}


def features(**changes: object) -> dict[str, object]:
    """Return the variables of a valid res101.mat, with changes: row r has the feature (r, -r)."""
    variables = {
        "features": np.stack([np.arange(16.0), -np.arange(16.0)]),
        "labels": LABELS.reshape(-1, 1),
        "image_files": cell([f"/data//JPEGImages/{photo}" for photo in PHOTOS]),
    }
    return {name: value for name, value in (variables | changes).items() if value is not None}


def write(folder: Path, split: dict | None = None, rows: dict | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / "att_splits.mat", splits() if split is None else split)
    scipy.io.savemat(folder / "res101.mat", features() if rows is None else rows)
    return folder


def write_photos(root: Path, names: list[str] = PHOTOS) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not decoded here")
    return root


def transposed(name: str, source: dict) -> dict[str, object]:
    return {name: source[name].T}


REFUSED = [  # what is changed in att_splits.mat, in res101.mat, what the message says
    ({"att": None}, {}, 'no variable "att"'),
    ({"trainval_loc": None}, {}, 'no variable "trainval_loc"'),
    ({}, {"labels": None}, 'no variable "labels"'),
    ({}, {"features": None}, 'no variable "features"'),
    (transposed("att", splits()), {}, "It is transposed"),
    ({}, transposed("features", features()), "transposed"),
    ({}, {"labels": LABELS - 1}, "labels count from 1 in this format, but a 0"),
    ({}, {"labels": LABELS + 1}, "labels go up to 5, but there are only 4"),
    ({}, {"labels": LABELS + 0.5}, "labels must hold integers"),
    ({}, {"labels": LABELS[:-1]}, "15"),
    ({}, {"labels": np.where(LABELS == 1, 2, LABELS)}, 'no photo is of class "zebra"'),
    ({}, {"labels": 5 - LABELS}, "another order of classes than allclasses_names"),
    ({"trainval_loc": column([0, 2, 3])}, {}, "trainval_loc count from 1 in this format, but a 0"),
    ({"trainval_loc": column([2, 17])}, {}, "names row 17, but res101.mat has 16 rows"),
    ({"trainval_loc": column([2, 2, 3])}, {}, "trainval names 1 rows twice"),
    ({"att": np.full((3, 4), np.nan)}, {}, "att has 12 values that are not finite"),
    ({"allclasses_names": cell(("zebra", "Zebra", "okapi", "lion"))}, {}, "contains a class twice"),
    ({"original_att": np.zeros((2, 4))}, {}, "original_att is (2, 4), but att is (3, 4)"),
    ({}, {"features": np.where(np.eye(2, 16) > 0, np.nan, 1.0)}, "2 features are not finite"),
]
