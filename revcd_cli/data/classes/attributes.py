"""Class tables: one row per class, one column per attribute, matched by name and never by position."""

from __future__ import annotations

import csv
import functools
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import InputFileError, did_you_mean, listed
from ...system.files import write_bytes
from .csv_table import CsvTable, expected, open_csv

EXAMPLE = "class,stripes,hooves\nzebra,0.9,1"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_IS_NUMBER = re.compile(_NUMBER).fullmatch
_ARE_NUMBERS = re.compile(f"{_NUMBER}(?:\x1f{_NUMBER})*").fullmatch  # one match per row: 50,000 rows stay fast
_PLUS_BETWEEN_WORDS = re.compile(r"(?<=\w)\+(?=\w)")
_IS_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?").fullmatch
_IS_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3},[0-9]{3}").fullmatch
_LISTED = 10  # names that a message lists


@dataclass(frozen=True, eq=False)
class ClassAttributes:
    """C classes described by A attributes."""

    names: tuple[str, ...]  # (C,)
    attributes: tuple[str, ...]  # (A,)
    values: np.ndarray  # (C, A) float32, finite
    source: str  # the path of the file
    sha256: str  # of the file
    filled: int = 0  # missing values that were replaced
    header_line: int | None = None  # line of the header, in a text file
    imputed_error: float | None = None  # typical error of imputed values, in standard deviations; None: means were used

    @property
    def filled_text(self) -> str:
        """A sentence on the values that were missing; empty if none was."""
        if not self.filled:
            return ""
        if self.imputed_error is None:
            return f"{self.filled:,} empty cells were filled with the attribute's mean over the other classes."
        return (
            f"{self.filled:,} of {self.values.size:,} values were missing and are imputed from the rest of their rows; "
            f"their typical error is {self.imputed_error:.2f} standard deviations of the attribute (1 for its mean)."
        )

    notes: tuple[str, ...] = ()  # what the reader understood of an unusual file

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return {class_key(name): row for row, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """Return the row of a class, in any spelling with the same `class_key`. Raises `InputFileError`."""
        row = find_class(name, self._rows)
        if row is None:
            raise InputFileError(self.source, f'has no class "{name}"{did_you_mean(name, self.names)}.')
        return row

    def select(self, names: Iterable[str]) -> ClassAttributes:
        """Return only these classes, in this order. Raises `InputFileError` for an unknown name."""
        rows = [self.index(name) for name in names]
        return replace(self, names=tuple(self.names[row] for row in rows), values=self.values[rows])


def class_key(name: str) -> str:
    """Return the normalised name with which class names of different files are compared.

    Only white space, letter case and "_" are alike: "Grizzly_Bear" and " grizzly bear" are equal, "HER2+" and "HER2"
    are not. A prefix such as CUB's "002." is kept.
    """
    spaced = unicodedata.normalize("NFC", name).replace("_", " ")
    return " ".join(spaced.split()).casefold()


def class_keys(name: str) -> tuple[str, ...]:
    """Return the keys by which a class of another file is looked up: its own, then with a space for "+" between words.

    AwA2 writes "grizzly+bear" for the class that others call "grizzly bear".
    """
    key = class_key(name)
    return tuple(dict.fromkeys((key, _PLUS_BETWEEN_WORDS.sub(" ", key))))


def find_class(name: str, rows: Mapping[str, int]) -> int | None:
    """Return the row of a class by its `class_keys`, or None. rows: row by `class_key`."""
    return next((rows[key] for key in class_keys(name) if key in rows), None)


def class_positions(names: Sequence[str], among: Sequence[str]) -> np.ndarray:
    """Return the position of each class in `among` by `find_class`, -1 for a class that is not there: (K,) int64."""
    position = {class_key(name): place for place, name in enumerate(among)}
    rows = (find_class(name, position) for name in names)
    return np.array([-1 if row is None else row for row in rows], dtype=np.int64)


def read_attribute_csv(path: Path | str, *, missing: str = "error") -> ClassAttributes:
    """Read a class table from CSV: a column `class`, then one column per attribute.

    Values are finite numbers with a decimal point, or all with a decimal comma; -1 has no special meaning. An empty
    cell is an error, or with `missing="mean"` gets the attribute's mean over the classes that have a value, or with
    "keep" is NaN.

    Raises `InputFileError` with path:line:column, where the column counts cells.
    """
    table = open_csv(Path(path), example=EXAMPLE)
    attributes = _check_header(table)
    names: list[str] = []
    values: list[np.ndarray] = []
    lines: dict[str, int] = {}
    commas = _DecimalCommas(table)
    for line, cells in table.rows():
        name = cells[0]
        if not name:
            raise InputFileError(table.path, "the name of the class is empty.", line=line, column=1)
        first = lines.setdefault(class_key(name), line)
        if first != line:
            raise InputFileError(
                table.path, f'class "{name}" is on line {first} and on line {line}.', line=line, column=1
            )
        names.append(name)
        values.append(_numbers(table, line, commas.replaced(line, cells), missing))
    if not names:
        raise InputFileError(table.path, "has a header, but no class below it.", hint=expected(EXAMPLE))
    matrix, filled = np.stack(values), 0
    if missing != "keep":
        matrix, filled = fill_missing(matrix, table.path, attributes)
    notes = (*table.notes, *commas.notes())
    return ClassAttributes(
        tuple(names), attributes, matrix, str(table.path), table.sha256, filled, table.header_line, notes=notes
    )


class _DecimalCommas:
    """Replace decimal commas by points. A table that has both is refused."""

    def __init__(self, table: CsvTable) -> None:
        self.table = table
        self.first: tuple[int, int, list[str]] | None = None  # line, column and cells of the first decimal comma
        self.has_point = self.is_certain = False

    def replaced(self, line: int, cells: list[str]) -> list[str]:
        """Return the cells of a row with points in numbers."""
        joined = "\x1f".join(cells[1:])
        if "," not in joined:
            self.has_point |= "." in joined
            return cells
        changed = list(cells)
        for column in range(1, len(cells)):
            text = cells[column]
            if "," in text and _IS_DECIMAL_COMMA(text):
                self.first = self.first or (line, column, cells)
                self.is_certain |= self.table.delimiter != "," or not _IS_THOUSANDS(text)
                changed[column] = text.replace(",", ".")
            elif "." in text and _IS_NUMBER(text):
                self.has_point = True
        return changed

    def notes(self) -> list[str]:
        """Return a sentence if commas were replaced. Raises `InputFileError` if the table also has decimal points."""
        if self.first is None:
            return []
        line, column, cells = self.first
        if self.has_point:
            why = f"{_why_not(cells[column])}: other cells have a decimal point"
            raise _cell_error(self.table, line, column, cells, why)
        if not self.is_certain:
            raise _cell_error(self.table, line, column, cells, "which may be thousands or a decimal comma")
        return [f"{self.table.path.name} has decimal commas: {cells[column]} is {cells[column].replace(',', '.')}."]


def write_attribute_csv(path: Path, classes: ClassAttributes) -> None:
    """Write a class table; `read_attribute_csv` reads the same values."""
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    plain.writerow(["class", *classes.attributes])
    for name, row in zip(classes.names, classes.values, strict=True):
        writer = quoted if name.startswith("#") else plain  # otherwise the line would be a comment
        writer.writerow([name, *(float(str(value)) for value in row)])  # the shortest text for the float32 value
    write_bytes(path, text.getvalue().encode())


def fill_missing(values: np.ndarray, path: Path, attributes: Sequence[str]) -> tuple[np.ndarray, int]:
    """Replace NaN by the attribute's mean over the other classes. Returns values (C, A) and the number of NaN."""
    holes = np.isnan(values)
    empty = holes.all(axis=0)
    if empty.any():
        column = int(empty.argmax())
        raise InputFileError(
            path,
            f'no class has a value of attribute "{attributes[column]}", so its mean is not defined.',
            column=column + 2,
            hint="Give at least one value, or remove the column.",
        )
    if not holes.any():
        return values, 0
    means = np.nanmean(values, axis=0, dtype=np.float64)
    return np.where(holes, means, values).astype(np.float32), int(holes.sum())


def align(classes: ClassAttributes, attributes: Sequence[str]) -> ClassAttributes:
    """Return the classes with exactly these attributes, in this order; columns are matched by name.

    Raises `InputFileError` that lists missing attributes, each with the nearest name, or unknown ones.
    """
    columns = {name.strip(): column for column, name in enumerate(classes.attributes)}
    wanted = [name.strip() for name in attributes]
    absent = [name for name in wanted if name not in columns]
    extra = [name for name in columns if name not in set(wanted)]
    if absent:
        near = [f'"{name}"{did_you_mean(name, extra)}' for name in absent[:_LISTED]]
        raise InputFileError(
            classes.source,
            f"lacks {len(absent)} of the model's {len(wanted)} attributes: {listed(near, _LISTED, total=len(absent))}.",
            line=classes.header_line,
            column=_column(classes, extra[0]) if extra else None,
            hint=f"Add the columns, or rename those with the same meaning. Not known to the model: {_quoted(extra)}."
            if extra
            else "Add the columns.",
        )
    if extra:
        near = [f'"{name}"{did_you_mean(name, wanted)}' for name in extra[:_LISTED]]
        raise InputFileError(
            classes.source,
            f"has {len(extra)} attributes that the model does not know: {listed(near, _LISTED, total=len(extra))}.",
            line=classes.header_line,
            column=_column(classes, extra[0]),
            hint="Remove these columns.",
        )
    order = [columns[name] for name in wanted]
    return replace(classes, attributes=tuple(attributes), values=np.ascontiguousarray(classes.values[:, order]))


def _column(classes: ClassAttributes, attribute: str) -> int | None:
    """Return the column of an attribute in the file; columns count from 1, and the first one is `class`."""
    if classes.header_line is None:
        return None
    return [name.strip() for name in classes.attributes].index(attribute) + 2


def _check_header(table: CsvTable) -> tuple[str, ...]:
    """Return the attribute names of the header. Raises `InputFileError`."""
    first, *attributes = table.header
    line = table.header_line
    if attributes and all(map(_IS_NUMBER, attributes)) and first.casefold() != "class":
        raise InputFileError(
            table.path,
            "the first row holds numbers; a header with the attributes' names must come before it.",
            line=line,
            hint=expected(EXAMPLE),
        )
    if first.casefold() != "class":
        raise InputFileError(
            table.path,
            f'the first column is called "{first}"; it must be called "class".',
            line=line,
            column=1,
            hint=expected(EXAMPLE),
        )
    if not attributes:
        raise InputFileError(
            table.path,
            "has one column only; attributes must follow, separated by comma, semicolon or tab.",
            line=line,
            hint=expected(EXAMPLE),
        )
    seen: dict[str, int] = {}
    for column, name in enumerate(attributes, start=2):
        if not name:
            raise InputFileError(table.path, "the name of this attribute is empty.", line=line, column=column)
        if seen.setdefault(name, column) != column:
            raise InputFileError(
                table.path, f'columns {seen[name]} and {column} are both called "{name}".', line=line, column=column
            )
    return tuple(attributes)


def _numbers(table: CsvTable, line: int, cells: list[str], missing: str) -> np.ndarray:
    """Return the values (A,) float32 of one row, with NaN for empty cells if they will be filled."""
    texts = cells[1:]
    if _ARE_NUMBERS("\x1f".join(texts)):
        values = [float(text) for text in texts]
    else:
        values = [_number(table, line, column, cells, missing) for column in range(1, len(cells))]
    with np.errstate(over="ignore"):
        row = np.array(values, dtype=np.float32)
    if np.isinf(row).any():
        column = int(np.isinf(row).argmax()) + 1
        raise _cell_error(table, line, column, cells, "which is too large")
    return row


def _number(table: CsvTable, line: int, column: int, cells: list[str], missing: str) -> float:
    text = cells[column]
    if _IS_NUMBER(text):
        return float(text)
    if text:
        raise _cell_error(table, line, column, cells, _why_not(text))
    if missing != "error":
        return float("nan")
    raise InputFileError(
        table.path,
        f'attribute "{table.header[column]}" of class "{cells[0]}" is empty.',
        line=line,
        column=column + 1,
        hint="Fill in the cell, or add --missing impute to use the value that the rest of the row suggests, or "
        "--missing mean to use the attribute's mean.",
    )


def _cell_error(table: CsvTable, line: int, column: int, cells: list[str], why: str) -> InputFileError:
    shown = cells[column] if len(cells[column]) <= 40 else f"{cells[column][:40]}..."
    return InputFileError(
        table.path,
        f'attribute "{table.header[column]}" of class "{cells[0]}" is "{shown}", {why}.',
        line=line,
        column=column + 1,
    )


def _why_not(text: str) -> str:
    """Return why a cell is not a plain number, and how to write it."""
    if text.lstrip("+-").casefold() in ("nan", "inf", "infinity"):
        return "but only finite numbers describe a class; leave unknown values empty"
    if _IS_NUMBER(text.removesuffix("%").strip()):
        return f"a percentage; write {float(text.removesuffix('%')) / 100:g} or the number alone, in all cells"
    if _IS_NUMBER(text.replace(",", ".", 1)):
        return f"with a decimal comma; write {text.replace(',', '.', 1)}"
    if not text.isascii() and text.strip("+-.").isnumeric():
        return "in digits other than 0-9"
    return 'not a plain number such as "0.5", "12" or "1e-3"'


def _quoted(names: Sequence[str]) -> str:
    return listed([f'"{name}"' for name in names[:_LISTED]], _LISTED, total=len(names))
