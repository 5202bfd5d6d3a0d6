"""Datasets of arrays: what they hold, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from revcd_cli import ClassAttributes, Dataset
from revcd_cli.errors import InputFileError, LeakError, UsageError

NAMES, PARTS = ["zebra", "okapi", "zebra", "horse"], ["trainval", "test_unseen", "test_seen", "trainval"]
X = np.arange(8.0).reshape(4, 2)
TABLE = ClassAttributes(
    ("horse", "okapi", "zebra"), ("a", "b"), np.array([[1, 0], [0, 1], [1, 1]], np.float32), "t", "0"
)


def test_rows_keep_their_order_class_and_part():
    dataset = Dataset.from_arrays(X, NAMES, TABLE, PARTS)
    assert [dataset.classes.names[label] for label in dataset.labels] == NAMES
    assert dataset.features.tolist() == X.tolist()
    assert dataset.features.dtype == np.float32
    assert [rows.tolist() for _, rows in dataset.split.parts()] == [[0, 3], [2], [1]]
    assert (dataset.seen, dataset.unseen) == ((0, 2), (1,))


def test_a_table_is_read_from_its_file(tmp_path: Path):
    (tmp_path / "t.csv").write_text("class,a,b\nhorse,1,0\nokapi,0,1\nzebra,1,1\n")
    dataset = Dataset.from_arrays(X, NAMES, tmp_path / "t.csv", PARTS)
    assert dataset.classes.values.tolist() == TABLE.values.tolist()


@pytest.mark.parametrize(
    ("x", "names", "parts", "kind", "says"),
    [
        (X[:3], NAMES, PARTS, UsageError, r"float64 \(3, 2\), with 4 labels and 4 parts"),
        (X[0], NAMES, PARTS, UsageError, r"float64 \(2,\)"),
        (np.where(X == 3, np.nan, X), NAMES, PARTS, UsageError, "1 features are not finite"),
        (X, ["zebra", "okapi", "zebra", "hrse"], PARTS, InputFileError, 'no class "hrse"'),
        (X, NAMES, ["train", *PARTS[1:]], UsageError, '"train" is not a part of a split'),
        (X, NAMES, ["trainval", "trainval", "test_seen", "test_unseen"], None, ""),
        (X, NAMES, ["trainval", "test_unseen", "test_unseen", "trainval"], LeakError, "zebra"),
    ],
)
def test_what_does_not_fit_is_refused(x: np.ndarray, names: list, parts: list, kind: type | None, says: str):
    if kind is None:
        assert Dataset.from_arrays(x, names, TABLE, parts).unseen == (0,)
        return
    with pytest.raises(kind, match=says):
        Dataset.from_arrays(x, names, TABLE, parts)
