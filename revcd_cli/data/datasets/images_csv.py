"""Read and write `images.csv`: the class and the part of each photo of a dataset folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from ...errors import InputFileError, LeakError, RevcdError, did_you_mean, is_address
from ...system.files import write_bytes
from ..classes.attributes import ClassAttributes, class_key, find_class
from ..classes.csv_table import CsvTable, expected, open_csv
from ..formats.path_encoding import decode_path, encode_path
from .dataset import TABLE_FILE, Dataset, make_dataset
from .list_and_disk import locate_photos
from .split_folders import contradictions
from .splits import PARTS, Split

IMAGES_FILE = "images.csv"
EXAMPLE = "path,class,split\nimages/zebra/1.jpg,zebra,trainval\nimages/okapi/1.jpg,okapi,test_unseen"


def read_images_csv(
    path: Path,
    classes: ClassAttributes,
    *,
    images_root: Path,
    notes: Sequence[str] = (),
    with_photos: bool = True,
) -> Dataset:
    """Read a split from a CSV with the columns path, class and split; other columns are ignored.

    with_photos: look for the photos on the disk, see `locate_photos`; otherwise they may be absent.
    """
    table = open_csv(path, example=EXAMPLE)
    columns = list_columns(table)
    rows = {class_key(name): row for row, name in enumerate(classes.names)}
    found: dict[str, tuple[int, str]] = {}
    labels: list[int] = []
    lines: list[int] = []
    parts: dict[str, list[int]] = {part: [] for part in PARTS}
    for line, cells in table.rows(exact=columns[0]):
        photo, name, part = (cells[column] for column in columns)
        photo = _path_in(photo, images_root)
        _check_path(table, line, columns[0], photo)
        if part not in PARTS:
            raise InputFileError(
                path,
                f'split is "{part}"; it must be one of {", ".join(PARTS)}{did_you_mean(part, PARTS)}.',
                line=line,
                column=columns[2] + 1,
            )
        label = find_class(name, rows)
        if label is None:
            raise unknown_class(path, name, classes, line=line, column=columns[1] + 1)
        first_line, first_part = found.setdefault(photo, (line, part))
        if first_line != line:
            kind = InputFileError if first_part == part else LeakError
            raise kind(
                path,
                f'photo "{photo}" is on line {first_line} ({first_part}) and on line {line} ({part}).',
                line=line,
                column=columns[0] + 1,
            )
        parts[part].append(len(labels))
        labels.append(label)
        lines.append(line)
    if not labels:
        raise InputFileError(path, "has a header, but no photo below it.", hint=expected(EXAMPLE))
    listed = [decode_path(photo) for photo in found]
    trainval, test_seen, test_unseen = (np.array(parts[part], dtype=np.int64) for part in PARTS)
    split = Split(trainval, test_seen, test_unseen)
    located = locate_photos(images_root, listed, rows) if with_photos else None
    findings = [] if located is None else [*located.findings, *contradictions(listed, split, rows)]
    return make_dataset(
        name=path.resolve().parent.name,
        classes=classes,
        labels=np.array(labels, dtype=np.int64),
        paths=listed if located is None else located.paths,
        keys=listed,
        split=split,
        source=path,
        lines=np.array(lines),
        images_root=images_root,
        notes=[*notes, *table.notes],
        findings=findings,
    )


def list_columns(table: CsvTable) -> tuple[int, int, int]:
    """Return the positions of the columns path, class and split."""
    header = [name.casefold() for name in table.header]
    for name in ("path", "class", "split"):
        if header.count(name) != 1:
            problem = f'has no column "{name}"' if name not in header else f'has several columns "{name}"'
            raise InputFileError(table.path, f"{problem}.", line=table.header_line, hint=expected(EXAMPLE))
    return header.index("path"), header.index("class"), header.index("split")


def _path_in(cell: str, root: Path) -> str:
    """Return the path of a cell; spaces around it are kept only if a photo has that name."""
    path = cell.strip()
    return cell if cell != path and path and (root / decode_path(cell)).is_file() else path


def _check_path(table: CsvTable, line: int, column: int, photo: str) -> None:
    if not photo:
        raise InputFileError(table.path, "the path of the photo is empty.", line=line, column=column + 1)
    if is_address(photo):
        raise InputFileError(
            table.path,
            f'"{photo}" is an address. The photos of a dataset are files.',
            line=line,
            column=column + 1,
            hint="Download the photos, and write their paths relative to the dataset's folder.",
        )
    if PurePosixPath(photo).is_absolute() or PureWindowsPath(photo).is_absolute():
        raise InputFileError(
            table.path,
            f'"{photo}" is an absolute path, so the dataset could not be moved.',
            line=line,
            column=column + 1,
            hint="Make paths relative to the dataset's folder; --images DIR names another folder of photos.",
        )


def unknown_class(
    path: Path, name: str, classes: ClassAttributes, *, line: int | None = None, column: int | None = None
) -> InputFileError:
    return InputFileError(
        path,
        f'class "{name}" is not in {TABLE_FILE}{did_you_mean(name, classes.names)}.',
        line=line,
        column=column,
        hint=f"Add a row for it to {TABLE_FILE}, or use the name that is there.",
    )


def write_images_csv(path: Path, paths: Sequence[str], names: Sequence[str], split: Split) -> str:
    """Write the split and return a note for the user; a folder that cannot be written is not an error."""
    part_of = {row: part for part, rows in split.parts() for row in rows.tolist()}
    text = io.StringIO()
    text.write("path,class,split\n")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # a path may begin with #
    writer.writerows((encode_path(photo), names[row], part_of[row]) for row, photo in enumerate(paths))
    try:
        write_bytes(path, text.getvalue().encode())
    except RevcdError as error:
        return f"The split could not be saved: {error.message} The same seed and photos give the same split again."
    return f"The split is saved in {path}; edit it, or remove it to draw another one."
