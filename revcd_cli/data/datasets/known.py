"""Known classes: classes of a dataset that are labels of the backbone's own classifier, from the file `known.csv`.

One line for each pair of a class and a label. Several labels may stand for one class (a line each). Labels are looked
up later, in the classifier of the backbone that computes the features (`pipeline.known_classes`).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputFileError, did_you_mean
from ..classes.attributes import ClassAttributes, class_key, find_class
from ..classes.csv_table import CsvTable, expected, open_csv

KNOWN_FILE = "known.csv"
EXAMPLE = "class,label\nzebra,n02391049\nfox,red fox\nfox,kit fox"
ORIGINS = ("official", "written")


@dataclass(frozen=True)
class KnownLabel:
    """One line of the file: a class, by its row in the class table, and the text that names a label."""

    row: int
    label: str
    line: int


@dataclass(frozen=True, eq=False)
class KnownTable:
    """The file `known.csv`, checked against the class table."""

    path: Path
    labels: tuple[KnownLabel, ...]
    label_column: int  # counted from 1
    written: frozenset[int]  # rows of classes whose description was written rather than measured

    @property
    def rows(self) -> np.ndarray:
        """The rows of the classes in the class table (K,), sorted."""
        return np.array(sorted({each.row for each in self.labels}), dtype=np.int64)

    def line(self, row: int) -> int:
        """Return the first line of a class."""
        return next(each.line for each in self.labels if each.row == row)


@dataclass(frozen=True, eq=False)
class KnownClasses:
    """K known classes with the classifier's weights of their L labels."""

    rows: np.ndarray  # (K,) int64, rows of the class table, sorted
    labels: tuple[tuple[str, ...], ...]  # (K,) the labels of each class
    written: np.ndarray  # (K,) bool: the description was written rather than measured
    label_rows: np.ndarray  # (L,) int64, the class of each label, as its row of the class table
    label_weights: np.ndarray  # (L, D) float32
    label_bias: np.ndarray  # (L,) float32

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """The weights of each class, means over its labels: (K, D) float32."""
        return np.stack([self.label_weights[self.label_rows == row].mean(0) for row in self.rows])

    def sha256(self) -> str:
        """Return a digest of all that training uses of them."""
        digest = hashlib.sha256()
        for values in (self.written, self.label_rows, self.label_weights, self.label_bias):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def read_known_csv(path: Path, classes: ClassAttributes) -> KnownTable:
    """Read pairs of class and label; an optional column `origin` says who described the class.

    origin: "official" (the default) for a measured or published description, "written" for one from general knowledge.
    Raises `InputFileError` with path:line:column for a class that is not in the class table, an empty label, a pair
    that occurs twice, or two origins of one class.
    """
    table = open_csv(path, example=EXAMPLE, comments_below=True)
    class_column, label_column, origin_column = _columns(table)
    rows = {class_key(name): row for row, name in enumerate(classes.names)}
    labels: list[KnownLabel] = []
    pairs: dict[tuple[int, str], int] = {}
    origins: dict[int, tuple[str, int]] = {}
    for line, cells in table.rows():
        name, label = cells[class_column], cells[label_column]
        row = find_class(name, rows)
        if row is None:
            raise InputFileError(
                path,
                f'class "{name}" is not in {Path(classes.source).name}{did_you_mean(name, classes.names)}.',
                line=line,
                column=class_column + 1,
                hint="A known class needs a description: add its row, or remove this line.",
            )
        if not label:
            raise InputFileError(path, f'the label of "{name}" is empty.', line=line, column=label_column + 1)
        first = pairs.setdefault((row, class_key(label)), line)
        if first != line:
            raise InputFileError(
                path, f'"{name}" has the label "{label}" on line {first} and on line {line}.', line=line,
                column=label_column + 1,
            )  # fmt: skip
        if origin_column is not None:
            origin = cells[origin_column] or ORIGINS[0]
            _check_origin(path, name, origins.setdefault(row, (origin, line)), origin, line, origin_column + 1)
        labels.append(KnownLabel(row, label, line))
    written = frozenset(row for row, (origin, _) in origins.items() if origin == "written")
    return KnownTable(path, tuple(labels), label_column + 1, written)


def _columns(table: CsvTable) -> tuple[int, int, int | None]:
    """Return the positions of the columns class, label and origin."""
    header: Sequence[str] = [name.casefold() for name in table.header]
    for name in ("class", "label"):
        if name not in header:
            raise InputFileError(table.path, f'has no column "{name}".', line=table.header_line, hint=expected(EXAMPLE))
    for column, name in enumerate(header, start=1):
        if name not in ("class", "label", "origin") or header.index(name) + 1 != column:
            raise InputFileError(
                table.path,
                f'has a column "{name}" too many; the columns are class, label and, if needed, origin.',
                line=table.header_line,
                column=column,
                hint=expected(EXAMPLE),
            )
    return header.index("class"), header.index("label"), header.index("origin") if "origin" in header else None


def _check_origin(path: Path, name: str, first: tuple[str, int], origin: str, line: int, column: int) -> None:
    if origin not in ORIGINS:
        raise InputFileError(
            path,
            f'origin is "{origin}"; it must be one of {", ".join(ORIGINS)}{did_you_mean(origin, ORIGINS)}.',
            line=line,
            column=column,
        )
    if first[0] != origin:
        raise InputFileError(
            path,
            f'the description of "{name}" is {first[0]} on line {first[1]} and {origin} on line {line}.',
            line=line,
            column=column,
        )
