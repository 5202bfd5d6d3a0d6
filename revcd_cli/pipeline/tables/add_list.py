"""`revcd data update --add`: add the photos of a list, such as corrections of a page, to `images.csv`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ...data.classes.attributes import ClassAttributes, class_key, find_class, read_attribute_csv
from ...data.classes.csv_table import open_csv
from ...data.datasets.dataset import TABLE_FILE, Dataset
from ...data.datasets.images_csv import EXAMPLE, list_columns, read_images_csv, unknown_class
from ...data.datasets.splits import PARTS
from ...data.formats.path_encoding import decode_path
from ...errors import InputFileError, did_you_mean
from .update import UpdateReport, append_lines, list_of


def add_list(
    folder: Path, given: Path, *, images: Path | None = None, missing: str = "error", dry_run: bool = False
) -> UpdateReport:
    """Add the lines of a list with the columns path, class and split to `images.csv` of a dataset folder.

    Paths are relative to the folder of the photos, or to the current folder, where `revcd predict` ran. A photo that is
    listed with the same class keeps its part. Raises `InputFileError` with the line for a photo that is not there, an
    unknown class, a photo that is listed with another class, or one that would train a class that is tested as unseen.
    """
    path, root = list_of(folder), images or folder
    classes = read_attribute_csv(folder / TABLE_FILE, missing=missing)
    dataset = read_images_csv(path, classes, images_root=root)
    listed = dict(zip(dataset.paths, dataset.labels.tolist(), strict=True))
    had, lines = set(listed.values()), []
    for line, photo, label, part in _read(given, classes, root, dataset):
        known = listed.get(photo)
        if known is not None and known != label:
            raise InputFileError(
                given,
                f'photo "{photo}" is class "{classes.names[label]}" here and "{classes.names[known]}" in {path}.',
                line=line,
                hint="Decide which is right, and correct the other list.",
            )
        if known is None:
            listed[photo] = label
            lines.append((photo, classes.names[label], part))
    if lines and not dry_run:
        append_lines(path, lines)
    added = Counter(part for _, _, part in lines)
    new = {name for _, name, _ in lines} - {classes.names[label] for label in had}
    return UpdateReport(path, {part: added[part] for part in PARTS}, tuple(sorted(new)), (), dataset.findings)


def _read(given: Path, classes: ClassAttributes, root: Path, dataset: Dataset) -> list[tuple[int, str, int, str]]:
    """Return line, path in the folder of photos, class and part of each photo of the list."""
    table = open_csv(given, example=EXAMPLE)
    columns = list_columns(table)
    rows = {class_key(name): row for row, name in enumerate(classes.names)}
    tested_only = set(dataset.labels[dataset.split.test_unseen].tolist())
    found = []
    for line, cells in table.rows(exact=columns[0]):
        text, name, part = (cells[column] for column in columns)
        label = find_class(name, rows)
        if label is None:
            raise unknown_class(given, name, classes, line=line, column=columns[1] + 1)
        if part not in PARTS:
            raise InputFileError(
                given, f'split is "{part}"; it must be one of {", ".join(PARTS)}{did_you_mean(part, PARTS)}.', line=line
            )
        if (label in tested_only) != (part == "test_unseen"):
            state = "tested as unseen" if label in tested_only else "not tested as unseen"
            raise InputFileError(
                given,
                f'class "{classes.names[label]}" is {state} in the dataset, so its photos cannot be in {part}.',
                line=line,
                hint="Leave out the line, or change the split of the photos of this class in images.csv.",
            )
        found.append((line, _in_root(given, line, decode_path(text), root), label, part))
    return found


def _in_root(given: Path, line: int, photo: str, root: Path) -> str:
    """Return the path of a photo relative to `root`."""
    for place in (root / photo, Path(photo)):
        if place.is_file() and place.resolve().is_relative_to(root.resolve()):
            return place.resolve().relative_to(root.resolve()).as_posix()
    raise InputFileError(
        given,
        f'photo "{photo}" is not in {root}.',
        line=line,
        hint="Copy the photos into the dataset's folder, or run this where revcd predict ran.",
    )
