"""A split that folder names state is read as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.data.datasets.folder import read_folder
from revcd_cli.data.datasets.inspect import inspect_dataset
from revcd_cli.errors import InputFileError

TABLE = "class,stripes,mane\nzebra,1,0.5\nlion,0,1\nokapi,0.5,0\n"


def make(root: Path, *folders: str, photos: int = 3) -> Path:
    root.mkdir()
    (root / "attributes.csv").write_text(TABLE)
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in range(photos):
            (root / folder / f"{number}.jpg").write_bytes(f"{folder} {number}".encode())
    return root


def parts(dataset: Dataset) -> dict[str, set[str]]:
    """Return the folders of the photos of each part."""
    return {
        part: {Path(dataset.paths[row]).parent.as_posix() for row in rows.tolist()}
        for part, rows in dataset.split.parts()
    }


LAYOUTS = [
    ("train/{}", "val/{}", "test/{}"),
    ("Train/{}", "Validation/{}", "Test/{}"),
    ("images/training/{}", "images/valid/{}", "images/testing/{}"),
    ("{}/train", "{}/val", "{}/test"),
    ("train_set/{}", "dev-set/{}", "test_set/{}"),
    ("trainval/{}", "val/{}", "test_seen/{}"),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout[0] for layout in LAYOUTS])
def test_photos_have_the_part_that_their_folder_states(tmp_path: Path, layout: tuple[str, str, str]):
    train, val, test = layout
    folders = [each.format(name) for name in ("zebra", "lion") for each in layout]
    root = make(tmp_path / "zoo", *folders, test.format("okapi"))
    dataset = read_folder(root)
    assert parts(dataset) == {
        "trainval": {each.format(name) for name in ("zebra", "lion") for each in (train, val)},
        "test_seen": {test.format(name) for name in ("zebra", "lion")},
        "test_unseen": {test.format("okapi")},
    }
    assert "The split is that of the folders" in " ".join(dataset.notes)
    again = read_folder(root)  # from the written images.csv
    assert again.split_sha256 == dataset.split_sha256 and inspect_dataset(again)[-1].kind == "few photos"


def test_a_folder_of_some_photos_only_is_refused_with_the_two_ways(tmp_path: Path):
    root = make(tmp_path / "zoo", "train/zebra", "test/zebra", "lion")
    with pytest.raises(InputFileError, match="folders of 6 photos state a split") as caught:
        read_folder(root)
    assert "train, val or test" in caught.value.hint and "images.csv" in caught.value.hint


def test_only_test_photos_are_refused(tmp_path: Path):
    with pytest.raises(InputFileError, match="nothing to train on"):
        read_folder(make(tmp_path / "zoo", "test/zebra", "test/lion"))


def test_a_class_that_is_called_test_states_nothing(tmp_path: Path):
    root = make(tmp_path / "zoo", "zebra", "test", photos=10)
    (root / "attributes.csv").write_text("class,a,b\nzebra,0,1\ntest,1,0\n")
    assert "seed 0" in " ".join(read_folder(root).notes)


def test_a_list_that_contradicts_the_folders_is_a_warning(tmp_path: Path):
    root = make(tmp_path / "zoo", "train/zebra", "test/zebra")
    lines = ["path,class,split", "train/zebra/0.jpg,zebra,trainval", "test/zebra/0.jpg,zebra,trainval"]
    (root / "images.csv").write_text("\n".join(lines))
    (warning,) = [finding for finding in inspect_dataset(read_folder(root)) if finding.kind == "split folders"]
    assert warning.rank == "warning" and warning.items == ("test/zebra/0.jpg",)
