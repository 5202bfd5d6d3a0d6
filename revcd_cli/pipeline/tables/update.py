"""`revcd data update`: add photos to `images.csv` that lie on the disk; every listed photo keeps its part.

A new photo of a class with photos in trainval is for training or testing, by the same draw as of a folder without a
list; one of a class whose photos are all in test_unseen is in test_unseen. A new photo with the bytes of a listed one
gets the part of that photo.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.classes.attributes import class_key, read_attribute_csv
from ...data.classes.csv_table import open_csv
from ...data.datasets.dataset import TABLE_FILE, Dataset
from ...data.datasets.folder import TEST_FRACTION
from ...data.datasets.images_csv import EXAMPLE, IMAGES_FILE, read_images_csv
from ...data.datasets.splits import PARTS, stratified_split
from ...data.findings import Finding
from ...data.formats.path_encoding import encode_path
from ...data.photos.class_folders import class_of_photo
from ...data.photos.copies import identical_files
from ...errors import InputFileError, UsageError
from ...system.files import write_bytes


@dataclass(frozen=True)
class UpdateReport:
    """The result of `update_list`."""

    path: Path
    added: dict[str, int]  # photos by part
    new_classes: tuple[str, ...]  # classes that had no photo in the list
    left_out: tuple[str, ...]  # photos in folders that are no class of the table
    findings: tuple[Finding, ...]  # about the list before the update


def update_list(
    folder: Path, *, images: Path | None = None, seed: int = 0, missing: str = "error", dry_run: bool = False
) -> UpdateReport:
    """Add photos of class folders to `images.csv` of a dataset folder. images: the folder of the photos, if another.

    dry_run: only say what would be added. Raises `UsageError` without `images.csv`, and `InputFileError` for invalid
    files.
    """
    path = list_of(folder)
    classes = read_attribute_csv(folder / TABLE_FILE, missing=missing)
    root = images or folder
    dataset = read_images_csv(path, classes, images_root=root)
    unlisted = [name for finding in dataset.findings if finding.kind == "unlisted photos" for name in finding.items]
    rows = {class_key(name): row for row, name in enumerate(classes.names)}
    labelled = [(photo, class_of_photo(photo, rows)) for photo in unlisted]
    new = [photo for photo, label in labelled if label is not None]
    labels = np.array([label for _, label in labelled if label is not None], dtype=np.int64)
    parts = _parts(dataset, root, new, labels, seed)
    if new and not dry_run:
        append_lines(
            path, [(photo, classes.names[label], part) for photo, label, part in zip(new, labels, parts, strict=True)]
        )
    had = set(dataset.labels.tolist())
    added = Counter(parts)
    return UpdateReport(
        path,
        {part: added[part] for part in PARTS},
        tuple(classes.names[label] for label in np.unique(labels).tolist() if label not in had),
        tuple(photo for photo, label in labelled if label is None),
        dataset.findings,
    )


def list_of(folder: Path) -> Path:
    """Return the list of a dataset folder. Raises `UsageError` if there is none."""
    path = folder / IMAGES_FILE
    if not path.is_file():
        raise UsageError(
            f"{folder}: has no {IMAGES_FILE}, so there is nothing to update.",
            hint=f"revcd train --dataset {folder} writes it.",
        )
    return path


def _parts(dataset: Dataset, root: Path, new: list[str], labels: np.ndarray, seed: int) -> list[str]:
    """Return the part of each new photo."""
    trainval, _ = stratified_split(labels, seed, TEST_FRACTION, keys=new)
    drawn = np.isin(np.arange(len(new)), trainval)
    tested_only = set(dataset.labels[dataset.split.test_unseen].tolist())
    parts = [
        "test_unseen" if label in tested_only else "trainval" if is_training else "test_seen"
        for label, is_training in zip(labels.tolist(), drawn.tolist(), strict=True)
    ]
    part_of = {row: part for part, rows in dataset.split.parts() for row in rows.tolist()}
    listed = len(dataset.paths)
    for group in identical_files(root, [*dataset.paths, *new]):
        first = group[0]
        part = part_of.get(first) if first < listed else parts[first - listed]
        for row in group[1:]:
            if row >= listed and part is not None and part in _allowed(parts[row - listed]):
                parts[row - listed] = part
    return parts


def _allowed(part: str) -> tuple[str, ...]:
    """Return the parts that a photo of a class with this part may have."""
    return ("test_unseen",) if part == "test_unseen" else ("trainval", "test_seen")


def append_lines(path: Path, lines: list[tuple[str, str, str]]) -> None:
    """Add lines to a list in its encoding, separator and order of columns; other columns stay empty."""
    table = open_csv(path, example=EXAMPLE)
    header = [name.casefold() for name in table.header]
    places = [header.index(name) for name in ("path", "class", "split")]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=table.delimiter, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    for photo, name, part in lines:
        cells = [""] * len(header)
        for place, value in zip(places, (encode_path(photo), name, part), strict=True):
            cells[place] = value
        writer.writerow(cells)
    data = path.read_bytes()
    encoding = table.encoding
    try:
        end = "" if data.decode(encoding).endswith(("\n", "\r")) else "\n"
        added = (end + text.getvalue()).encode(encoding.replace("utf-8-sig", "utf-8"), "strict")
    except UnicodeError as error:
        raise InputFileError(path, "cannot be extended in its encoding; save it as UTF-8.") from error
    if encoding in ("utf-16", "utf-32"):  # with a mark at the beginning, which must not be repeated
        order = "be" if data[:2] in (b"\xfe\xff", b"\0\0") else "le"
        added = (end + text.getvalue()).encode(f"{encoding}-{order}")
    write_bytes(path, data + added)
