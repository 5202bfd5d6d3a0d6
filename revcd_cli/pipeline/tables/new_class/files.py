"""The files of a new class: the class table with its row, and its draft with the origin of each value."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ....data.classes.attributes import (
    EXAMPLE,
    ClassAttributes,
    align,
    class_key,
    read_attribute_csv,
    write_attribute_csv,
)
from ....data.classes.csv_table import open_csv
from ....errors import UsageError
from ....system.files import check_output, write_bytes
from .session import NewClass

DRAFT_COLUMNS = ("class", "attribute", "value", "spread", "origin")
_EXAMPLE = f"{','.join(DRAFT_COLUMNS)}\nokapi,stripes,60,0,set"
_PHOTO = "# photo of "


def draft_path(output: Path) -> Path:
    """Return the name of the draft beside a table: mine.draft.csv for mine.csv."""
    return output.with_name(f"{output.stem}.draft{output.suffix}")


def check_table_output(output: Path, name: str, *, overwrite: bool) -> ClassAttributes | None:
    """Return the table at `output`, to which a class is added, or None if it is a new file.

    Raises `UsageError` if the path cannot be written, or if it has the class and `overwrite` is not set.
    """
    if output.suffix.casefold() != ".csv":
        raise UsageError(f"{output}: is not the name of a class table.", hint="End the name in .csv.")
    check_output(output, overwrite=True)
    check_output(draft_path(output), overwrite=overwrite or (output.exists() and _is_draft(draft_path(output))))
    if not output.exists():
        return None
    table = read_attribute_csv(output)
    if class_key(name) in map(class_key, table.names) and not overwrite:
        raise UsageError(
            f'{output}: has a class "{name}" already.',
            hint="Add --overwrite to replace its row, or give the new class another name.",
        )
    return table


def write_table(output: Path, table: ClassAttributes, new: NewClass, *, exists: bool) -> None:
    """Write the table with the row of the new class, in the order of the table's columns.

    exists: the table is the file at `output`; its lines are kept as they are, unless it has the class already.
    """
    order = [new.draft.attributes.index(name) for name in _matched(table, new)]
    row = new.row()[order]
    kept = [name for name in table.names if class_key(name) != class_key(new.name)]
    if exists and len(kept) == len(table.names):
        _append(output, new.name, row)
        return
    rest = table.select(kept)
    values = np.concatenate([rest.values, row[None]])
    write_attribute_csv(output, replace(rest, names=(*rest.names, new.name), values=values))


def _matched(table: ClassAttributes, new: NewClass) -> list[str]:
    """Return the names of the draft's attributes in the order of the table's columns."""
    names = {name.strip(): name for name in align(table, new.draft.attributes).attributes}
    return [names[name.strip()] for name in table.attributes]


def _append(output: Path, name: str, row: np.ndarray) -> None:
    opened = open_csv(output, example=EXAMPLE)
    line = io.StringIO()
    _write_row(line, [name, *(float(str(value)) for value in row)], opened.delimiter)
    end = "" if opened.text.endswith(("\n", "\r")) else "\n"
    write_bytes(output, f"{opened.text}{end}{line.getvalue()}".encode())


def draft_rows(new: NewClass) -> list[tuple[str, float, float, str]]:
    """Return attribute, value, standard deviation and origin of each value, in the order of the attributes."""
    values, spread = new.row(), new.spread()
    return [
        (name, float(str(values[column])), float(f"{spread[column]:.4g}"), new.draft.origin(column))
        for column, name in enumerate(new.draft.attributes)
    ]


def write_draft(path: Path, new: NewClass) -> None:
    """Write the draft of a class, in place of an earlier one; drafts of other classes in the file are kept.

    The paths of photos are comment lines above the header.
    """
    text, photos = io.StringIO(), {new.name: list(new.photos)}
    kept: list[list[str]] = []
    if _is_draft(path):
        rows = [cells for _, cells in open_csv(path, example=_EXAMPLE).rows()]
        kept = [cells for cells in rows if class_key(cells[0]) != class_key(new.name)]
        others = read_photos(path)
        photos = {name: others[name] for name in others if class_key(name) != class_key(new.name)} | photos
    for name, paths in photos.items():
        text.writelines(f"{_PHOTO}{name}: {each}\n" for each in paths)
    for cells in (DRAFT_COLUMNS, *kept, *((new.name, *row) for row in draft_rows(new))):
        _write_row(text, cells)
    write_bytes(path, text.getvalue().encode())


def _is_draft(path: Path) -> bool:
    return path.is_file() and open_csv(path, example=_EXAMPLE).header == DRAFT_COLUMNS


def _write_row(text: io.StringIO, cells: Sequence[object], delimiter: str = ",") -> None:
    """Write a row. A name that begins with # is quoted, as the line would be a comment otherwise."""
    if str(cells[0]).startswith("#"):
        csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerow(cells)
    else:
        csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(cells)


def read_photos(path: Path) -> dict[str, list[str]]:
    """Return the paths of the photos that a draft file names, by class."""
    found: dict[str, list[str]] = {}
    for line in path.read_text("utf-8-sig").splitlines():
        if line.startswith(_PHOTO) and ": " in line:
            name, _, photo = line.removeprefix(_PHOTO).partition(": ")
            found.setdefault(name, []).append(photo)
    return found
