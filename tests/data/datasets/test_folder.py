"""Data set folders: images.csv or one folder per class, and features that are joined to their photos by path."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.config import BackboneRecord
from revcd_cli.data.datasets.dataset import Dataset, FeaturedDataset, attach_features
from revcd_cli.data.datasets.folder import read_folder
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.data.features.files import FeatureSet, write_features
from revcd_cli.errors import InputFileError, LeakError, RevcdError, UsageError

TABLE = "class,stripes,mane\nzebra,1,0.5\nlion,0,1\nblue whale,0,0\nokapi,0.5,0\n"
IMAGES = """path,class,split
z/1.jpg,zebra,trainval
z/2.jpg,Zebra,test_seen
l/1.jpg,lion,trainval
w/1.jpg,blue_whale,test_unseen
"""
RECORD = BackboneRecord(tag="some.tag", weights_sha256="ab", preprocessing={}, feature_dim=2)


def make(root: Path, images: str | None = IMAGES, table: str = TABLE) -> Path:
    root.mkdir(exist_ok=True)
    (root / "attributes.csv").write_text(table, encoding="utf-8")
    if images is not None:
        (root / "images.csv").write_text(images, encoding="utf-8")
    return root


def add_photos(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.fsencode(name))  # not decoded here
    return root


def by_class(root: Path) -> Path:
    names = [f"{folder}/{number}.jpg" for folder in ("zebra", "Blue_Whale") for number in range(10)]
    return add_photos(make(root, None), names)


def features(paths: list[str], *, failed: dict[int, str] | None = None) -> FeatureSet:
    """Return features whose first value is the row number; failed rows have a reason."""
    failed = failed or {}
    values = np.array([[row, 1] for row in range(len(paths))], dtype=np.float32).reshape(-1, 2)
    values[list(failed)] = np.nan
    status = tuple("failed" if row in failed else "ok" for row in range(len(paths)))
    reasons = tuple(failed.get(row, "") for row in range(len(paths)))
    return FeatureSet(tuple(paths), values, status, reasons, ("",) * len(paths), RECORD)


def rows_by_path(dataset: Dataset) -> dict[str, tuple[str, str]]:
    """Return class and part of each photo."""
    return {
        dataset.paths[row]: (dataset.classes.names[dataset.labels[row]], part)
        for part, rows in dataset.split.parts()
        for row in rows
    }


def test_images_csv_gives_each_photo_its_class_and_part(tmp_path):
    dataset = open_dataset(str(make(tmp_path / "zoo")))
    assert rows_by_path(dataset) == {
        "z/1.jpg": ("zebra", "trainval"),
        "z/2.jpg": ("zebra", "test_seen"),
        "l/1.jpg": ("lion", "trainval"),
        "w/1.jpg": ("blue whale", "test_unseen"),
    }
    assert (dataset.name, dataset.images_root) == ("zoo", tmp_path / "zoo")
    assert not isinstance(dataset, FeaturedDataset)


def test_classes_without_photos_are_unseen(tmp_path):
    dataset = read_folder(make(tmp_path))
    assert (dataset.seen, dataset.unseen) == ((0, 1), (2, 3))


def test_columns_of_images_csv_may_have_any_order_and_further_columns(tmp_path):
    lines = [line.split(",") for line in IMAGES.splitlines()]
    reordered = "\n".join(
        ";".join((part.title() if part == "split" else part, "x", name, path)) for path, name, part in lines
    )
    reordered = reordered.replace("Split;x;", "Split;photographer;")
    (tmp_path / "two").mkdir()
    assert rows_by_path(read_folder(make(tmp_path / "two", reordered))) == rows_by_path(
        read_folder(make(tmp_path / "one"))
    )


def test_the_hash_of_a_split_does_not_depend_on_the_order_of_rows_and_the_folder(tmp_path):
    header, *rows = IMAGES.splitlines()
    one = read_folder(make(tmp_path / "one"))
    two = read_folder(make(tmp_path / "two", "\n".join([header, *rows[::-1]])))
    other = read_folder(make(tmp_path / "other", IMAGES.replace("z/2.jpg", "z/3.jpg")))
    assert one.split_sha256 == two.split_sha256 != other.split_sha256


FAULTS = [  # images.csv, line, column, text in the message
    ("", None, None, "is empty"),
    ("path,class,split\n", None, None, "no photo below it"),
    ("path,class\nz/1.jpg,zebra\n", 1, None, 'no column "split"'),
    ("path,class,split,Path\n", 1, None, 'several columns "path"'),
    (IMAGES + "l/2.jpg,lion,train\n", 6, 3, 'split is "train"; it must be one of trainval, test_seen, test_unseen'),
    (IMAGES + "l/2.jpg,lyon,trainval\n", 6, 2, 'class "lyon" is not in attributes.csv (did you mean "lion"?)'),
    (IMAGES + ",lion,trainval\n", 6, 1, "path of the photo is empty"),
    (IMAGES + "/tmp/2.jpg,lion,trainval\n", 6, 1, "absolute path"),
    (IMAGES + "C:\\2.jpg,lion,trainval\n", 6, 1, "absolute path"),
    (IMAGES + "l/1.jpg,lion,trainval\n", 6, 1, '"l/1.jpg" is on line 4 (trainval) and on line 6 (trainval)'),
    (IMAGES + "l/2.jpg,lion\n", 6, 3, '"split" is missing'),
]


@pytest.mark.parametrize(("images", "line", "column", "says"), FAULTS, ids=[fault[3][:30] for fault in FAULTS])
def test_an_invalid_images_csv_is_refused_with_position_and_reason(tmp_path, images, line, column, says):
    with pytest.raises(InputFileError) as fault:
        read_folder(make(tmp_path, images))
    place = ":".join(str(part) for part in (tmp_path / "images.csv", line, column) if part is not None)
    assert fault.value.message.startswith(f"{place}: ")
    assert says in fault.value.message


@pytest.mark.parametrize(
    ("row", "line", "says"),
    [
        ("l/1.jpg,lion,test_seen", 6, "line 4"),
        ("z/3.jpg,zebra,test_unseen", 6, "not unseen"),
        ("o/1.jpg,okapi,test_seen", 6, "none in trainval"),
        ("w/2.jpg,blue whale,trainval", 5, "not unseen"),
    ],
)
def test_a_leak_is_refused_with_its_line(tmp_path, row, line, says):
    with pytest.raises(LeakError, match=says) as fault:
        read_folder(make(tmp_path, IMAGES + row + "\n"))
    assert fault.value.line == line


def test_folders_of_photos_are_split_by_class_and_the_split_is_saved(tmp_path):
    root = by_class(tmp_path / "zoo")
    drawn = open_dataset(str(root), seed=3)
    parts = [np.bincount(drawn.labels[rows], minlength=4).tolist() for _, rows in drawn.split.parts()]
    assert parts == [[8, 0, 8, 0], [2, 0, 2, 0], [0, 0, 0, 0]]
    assert drawn.unseen == (1, 3)
    assert any("seed 3" in note for note in drawn.notes) and any("images.csv" in note for note in drawn.notes)
    kept = open_dataset(str(root), seed=4)
    assert rows_by_path(kept) == rows_by_path(drawn)
    assert kept.split_sha256 == drawn.split_sha256


def test_another_seed_draws_another_split(tmp_path):
    one, two = read_folder(by_class(tmp_path / "one"), seed=0), read_folder(by_class(tmp_path / "two"), seed=1)
    assert rows_by_path(one) != rows_by_path(two)
    again = read_folder(by_class(tmp_path / "three"), seed=0)
    assert again.split_sha256 == one.split_sha256


def test_class_folders_may_be_nested_and_contain_folders(tmp_path):
    names = [
        "images/zebra/2020/a.jpg",
        "images/zebra/b.PNG",
        "images/lion/x.jpg",
        "images/lion/.hidden.jpg",
        "notes.txt",
    ]
    dataset = read_folder(add_photos(make(tmp_path, None), names))
    assert {path: name for path, (name, _) in rows_by_path(dataset).items()} == {
        "images/lion/x.jpg": "lion",
        "images/zebra/2020/a.jpg": "zebra",
        "images/zebra/b.PNG": "zebra",
    }


@pytest.mark.parametrize(
    "name", ["#1.jpg", "a,b.jpg", 'say "hi".jpg', "line\nbreak.jpg", "ünï.jpg", os.fsdecode(b"caf\xe9.jpg")]
)
def test_unusual_file_names_are_read_back_from_the_written_split(tmp_path, name):
    root = add_photos(make(tmp_path / "zoo", None), [f"zebra/{name}", "zebra/2.jpg"])
    drawn = read_folder(root)
    kept = read_folder(root)
    assert f"zebra/{name}" in kept.paths
    assert rows_by_path(kept) == rows_by_path(drawn)


@pytest.mark.parametrize(
    ("photo", "says"),
    [
        ("zebre/1.jpg", 'class "zebre" is not in attributes.csv .did you mean "zebra"'),
        ("1.jpg", "in no class folder"),
    ],
)
def test_a_photo_of_no_class_is_refused(tmp_path, photo, says):
    with pytest.raises(InputFileError, match=says):
        read_folder(add_photos(by_class(tmp_path / "zoo"), [photo]))


def test_spaces_around_a_path_belong_to_it_if_such_a_photo_exists(tmp_path):
    images = IMAGES + " odd/1.jpg,zebra,trainval\n z/3.jpg ,zebra,trainval\nl/2.jpg ,lion,trainval\n"
    root = add_photos(make(tmp_path / "zoo", images), [" odd/1.jpg", "z/3.jpg", "l/2.jpg "])
    assert {" odd/1.jpg", "z/3.jpg", "l/2.jpg "} <= set(open_dataset(str(root)).paths)


def test_a_class_folder_that_begins_with_a_space_keeps_it_in_the_written_split(tmp_path):
    root = add_photos(make(tmp_path / "zoo", None), [f" zebra/{number}.jpg" for number in range(10)])
    first = open_dataset(str(root))
    assert (root / "images.csv").is_file()
    assert rows_by_path(open_dataset(str(root))) == rows_by_path(first)
    assert all((root / path).is_file() for path in first.paths)


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(RevcdError, match="no photo found"):
        read_folder(make(tmp_path, None))


def test_a_split_that_cannot_be_saved_is_still_used(tmp_path):
    root = by_class(tmp_path / "zoo")
    dataset = read_folder(make(tmp_path / "table", None), images=root)
    assert dataset.images_root == root
    assert (tmp_path / "table" / "images.csv").is_file()  # beside the table, not among the photos
    (tmp_path / "table" / "images.csv").unlink()
    (tmp_path / "table" / "images.csv").mkdir()
    blocked = read_folder(tmp_path / "table", images=root)
    assert rows_by_path(blocked) == rows_by_path(dataset)
    assert any("could not be saved" in note for note in blocked.notes)


def test_empty_cells_are_filled_only_on_request_and_with_a_note(tmp_path):
    root = make(tmp_path, table=TABLE.replace("lion,0,1", "lion,,1"))
    with pytest.raises(InputFileError, match="is empty"):
        open_dataset(str(root))
    dataset = open_dataset(str(root), missing="mean")
    assert dataset.classes.values[1, 0] == pytest.approx(0.5)
    assert any("1 empty cells" in note for note in dataset.notes)


def test_a_missing_folder_of_photos_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such folder of photos"):
        open_dataset(str(make(tmp_path / "zoo")), images=tmp_path / "absent")


def test_a_file_is_not_a_data_set(tmp_path):
    with pytest.raises(UsageError, match="is a file; a dataset is a folder"):
        open_dataset(str(make(tmp_path) / "images.csv"))


@pytest.mark.parametrize("above", ["", "zoo/", "/home/me/zoo/", "zoo.zip/data/", "./"])
def test_features_are_joined_by_path_with_any_parent_folders(tmp_path, above):
    dataset = read_folder(make(tmp_path))
    order = [2, 0, 3, 1]
    joined = attach_features(dataset, features([above + dataset.paths[row] for row in order]))
    np.testing.assert_array_equal(joined.features[order, 0], np.arange(4))
    assert joined.backbone == RECORD
    assert joined.split_sha256 == dataset.split_sha256


def test_features_extracted_inside_a_subfolder_are_joined(tmp_path):
    dataset = read_folder(make(tmp_path, IMAGES.replace("z/", "images/z/").replace("l/", "images/l/")))
    joined = attach_features(dataset, features(["l/1.jpg", "w/1.jpg", "z/1.jpg", "z/2.jpg", "other/9.jpg"]))
    np.testing.assert_array_equal(joined.features[:, 0], [2, 3, 0, 1])


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["z/1.jpg", "z/2.jpg"], "2 of 4 photos match no row.*: l/1.jpg, w/1.jpg"),
        (["1.jpg", "2.jpg"], "3 of 4"),  # 1.jpg could be any of three photos
        (["a/z/1.jpg", "b/z/1.jpg", "z/2.jpg", "l/1.jpg", "w/1.jpg"], "1 of 4 .*: z/1.jpg"),
    ],
)
def test_photos_without_a_row_of_features_are_counted_and_named(tmp_path, paths, says):
    with pytest.raises(InputFileError, match=says):
        attach_features(read_folder(make(tmp_path)), features(paths))


def test_failed_photos_are_removed_from_the_split_with_a_note_and_a_new_hash(tmp_path):
    dataset = read_folder(make(tmp_path, IMAGES + "z/3.jpg,zebra,trainval\nw/2.jpg,blue whale,test_unseen\n"))
    joined = attach_features(dataset, features(list(dataset.paths), failed={4: "truncated", 5: "corrupt"}))
    assert [rows.tolist() for _, rows in joined.split.parts()] == [[0, 2], [1], [3]]
    (finding,) = [finding for finding in joined.findings if finding.kind == "failed photos"]
    assert "2 photos have no features (1 truncated, 1 corrupt)" in finding.text
    assert finding.items == ("z/3.jpg", "w/2.jpg")
    assert joined.split_sha256 != dataset.split_sha256


@pytest.mark.parametrize(
    ("failed", "says"),
    [
        ([0], 'all 1 photos of "zebra" in trainval'),
        ([2], 'all 1 photos of "lion" in trainval'),  # would silently become an unseen class
        ([3], "all 1 photos of test_unseen"),
        ([1], "all 1 photos of test_seen"),
        ([0, 2], "all 2 photos of trainval"),
    ],
)
def test_a_class_or_part_that_loses_all_its_photos_is_refused_by_name(tmp_path, failed, says):
    dataset = read_folder(make(tmp_path))
    with pytest.raises(InputFileError, match=says):
        attach_features(dataset, features(list(dataset.paths), failed=dict.fromkeys(failed, "truncated")))


def test_rows_without_file_names_cannot_be_joined(tmp_path):
    dataset = dataclasses.replace(read_folder(make(tmp_path)), paths=("",) * 4)
    with pytest.raises(InputFileError, match="does not name the photos' files"):
        attach_features(dataset, features(["a.jpg"]))


def test_a_feature_file_is_joined_on_opening(tmp_path):
    root = make(tmp_path / "zoo")
    paths = [f"zoo/{path}" for path in read_folder(root).paths]
    write_features(tmp_path / "f.parquet", [features(paths)])
    dataset = open_dataset(str(root), features=str(tmp_path / "f.parquet"))
    np.testing.assert_array_equal(dataset.features[:, 0], np.arange(4))


def test_the_real_animals_are_read(shared_data):
    dataset = open_dataset(str(shared_data / "animals"), missing="mean")
    assert [len(rows) for _, rows in dataset.split.parts()] == [3087, 1010, 1043]
    assert (len(dataset.seen), len(dataset.unseen), dataset.classes.filled) == (40, 10, 4)
    assert (dataset.images_root / dataset.paths[0]).is_file()
    tested = {dataset.classes.names[label] for label in dataset.labels[dataset.split.test_unseen]}
    assert tested == {"sheep", "dolphin", "bat", "seal", "rat", "horse", "giraffe", "blue whale", "walrus", "bobcat"}
