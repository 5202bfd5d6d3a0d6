"""`data update` adds the photos that the list lacks and keeps the part of every listed photo."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.data.datasets.folder import read_folder
from revcd_cli.errors import UsageError
from revcd_cli.pipeline.tables.update import update_list

TABLE = "class,a,b\nzebra,0,1\nlion,1,0\nokapi,1,1\nquagga,0,2\n"


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(os.fsencode(path))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "zoo"
    for name in ("zebra", "lion", "okapi"):
        write(folder, *(f"{name}/{number}.jpg" for number in range(4)))
    (folder / "attributes.csv").write_text(TABLE)
    lines = [
        f"{name}/{k}.jpg,{name},{'trainval' if k else 'test_seen'}" for name in ("zebra", "lion") for k in range(4)
    ]
    lines += [f"okapi/{k}.jpg,okapi,test_unseen" for k in range(4)]
    (folder / "images.csv").write_text("\n".join(["path,class,split", *lines]))
    return folder


def parts(dataset: Dataset) -> dict[str, str]:
    return {dataset.paths[row]: part for part, rows in dataset.split.parts() for row in rows.tolist()}


def test_every_listed_photo_keeps_its_part_and_new_ones_have_one_of_their_class(root: Path):
    before = parts(read_folder(root))
    write(root, *(f"zebra/new {k}.jpg" for k in range(10)), *(f"okapi/new {k}.jpg" for k in range(5)), "yak/1.jpg")
    write(root, *(f"quagga/{k}.jpg" for k in range(5)))
    report = update_list(root)
    assert report.added == {"trainval": 8 + 4, "test_seen": 2 + 1, "test_unseen": 5}
    assert (report.new_classes, report.left_out) == (("quagga",), ("yak/1.jpg",))
    dataset = read_folder(root)
    after = parts(dataset)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 20
    assert [finding.items for finding in dataset.findings] == [("yak/1.jpg",)]
    assert update_list(root).added == dict.fromkeys(("trainval", "test_seen", "test_unseen"), 0)


def test_a_dry_run_writes_nothing_and_says_the_same(root: Path):
    write(root, "zebra/new 1.jpg", "zebra/new 2.jpg")
    before = (root / "images.csv").read_bytes()
    planned = update_list(root, dry_run=True)
    assert (root / "images.csv").read_bytes() == before
    assert update_list(root).added == planned.added


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_comments_columns_separator_and_encoding_of_the_list_are_kept(root: Path, encoding: str, end: str):
    text = "# by hand\nsplit;photographer;class;path\ntrainval;Ann;zebra;zebra/1.jpg\ntrainval;Bo;lion;lion/1.jpg" + end
    (root / "images.csv").write_bytes(text.encode(encoding))
    report = update_list(root)
    written = (root / "images.csv").read_bytes().decode(encoding)
    assert written.startswith(text.rstrip("\n")) and "﻿" not in written.removeprefix("﻿")
    assert sum(report.added.values()) == 10
    assert len(parts(read_folder(root))) == 12


def test_a_copy_of_a_listed_photo_has_its_part(root: Path):
    for number in range(4):
        (root / "zebra" / f"copy {number}.jpg").write_bytes((root / "zebra" / f"{number}.jpg").read_bytes())
    update_list(root)
    after = parts(read_folder(root))
    assert all(after[f"zebra/copy {number}.jpg"] == after[f"zebra/{number}.jpg"] for number in range(4))


def test_names_with_separators_and_marks_are_read_back(root: Path):
    write(root, "zebra/a,b.jpg", "zebra/#1.jpg", 'zebra/say "x".jpg')
    update_list(root)
    assert {"zebra/a,b.jpg", "zebra/#1.jpg", 'zebra/say "x".jpg'} <= set(read_folder(root).paths)


def test_a_folder_without_a_list_is_a_usage_error(root: Path):
    (root / "images.csv").unlink()
    with pytest.raises(UsageError, match="nothing to update"):
        update_list(root)
