"""images.csv and the disk: other spellings are found, missing and unlisted photos are said, copies are refused."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.config import BackboneRecord
from revcd_cli.data.datasets.dataset import Dataset, attach_features
from revcd_cli.data.datasets.folder import read_folder
from revcd_cli.data.datasets.inspect import inspect_dataset
from revcd_cli.data.features.feature_set import FeatureSet
from revcd_cli.data.findings import Finding
from revcd_cli.errors import InputFileError, LeakError

CLASSES = {"zebra": "trainval", "lion": "trainval", "caf\u00e9 owl": "trainval", "okapi": "test_unseen"}
TABLE = "class,stripes,mane\n" + "".join(f"{name},{k}.5,{k * k % 5}\n" for k, name in enumerate(CLASSES))
RECORD = BackboneRecord(tag="some.tag", weights_sha256="ab", preprocessing={}, feature_dim=2)


def listed(change=lambda path: path) -> str:
    lines = [
        ",".join((change(f"photos/{name}/Bild {number} \u00fc.JPG"), name, part if number else "test_seen"))
        for name, part in CLASSES.items()
        for number in range(3)
        if number or part == "trainval"
    ]
    return "\n".join(["path,class,split", *lines])


def make(root: Path, on_disk=lambda path: path, in_list=lambda path: path) -> Path:
    """Make a folder whose photos and list spell the paths differently."""
    root.mkdir()
    (root / "attributes.csv").write_text(TABLE, encoding="utf-8")
    (root / "images.csv").write_text(listed(in_list), encoding="utf-8")
    for line in listed(on_disk).splitlines()[1:]:
        write(root, line.split(",")[0])
    return root


def write(root: Path, path: str, data: bytes | None = None) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(os.fsencode(path) if data is None else data)


def found(dataset: Dataset, kind: str) -> list[Finding]:
    return [finding for finding in inspect_dataset(dataset) if finding.kind == kind]


def form(name: str):
    return lambda path: unicodedata.normalize(name, path)


SPELLINGS = {
    "list NFD, disk NFC": (form("NFC"), form("NFD")),
    "list NFC, disk NFD": (form("NFD"), form("NFC")),
    "backslashes": (str, lambda path: path.replace("/", "\\")),
    "upper-case suffix on the disk": (str, lambda path: path.replace(".JPG", ".jpg")),
    "other case of folders": (lambda path: path.lower(), str),
    "backslashes and dots": (str, lambda path: f".\\{path}".replace("/", "\\")),
    "all at once": (form("NFD"), lambda path: path.replace("/", "\\").upper()),
}


@pytest.mark.parametrize(("on_disk", "in_list"), SPELLINGS.values(), ids=list(SPELLINGS))
def test_a_photo_in_another_spelling_is_found_with_a_note(tmp_path: Path, on_disk, in_list):
    plain = read_folder(make(tmp_path / "plain"))
    assert plain.findings == ()
    dataset = read_folder(make(tmp_path / "other", on_disk, in_list))
    assert all((tmp_path / "other" / path).is_file() for path in dataset.paths)
    assert len(set(dataset.paths)) == len(plain.paths)
    (note,) = found(dataset, "other spelling")
    assert note.rank == "note" and len(note.items) == len(plain.paths)
    assert not found(dataset, "missing photos") and not found(dataset, "unlisted photos")


def test_two_files_that_differ_in_case_only_stay_two_photos(tmp_path: Path):
    root = make(tmp_path / "zoo")
    write(root, "photos/zebra/a.jpg")
    write(root, "photos/zebra/A.jpg")
    with (root / "images.csv").open("a", encoding="utf-8") as stream:
        stream.write("\nphotos/zebra/A.jpg,zebra,trainval\nphotos/zebra/a.jpg,zebra,trainval")
    dataset = read_folder(root)
    assert dataset.paths[-2:] == ("photos/zebra/A.jpg", "photos/zebra/a.jpg")
    (root / "photos/zebra/A.jpg").unlink()
    assert found(read_folder(root), "missing photos")[0].items == ("photos/zebra/A.jpg",)


def test_missing_photos_are_a_warning_with_the_nearest_name(tmp_path: Path):
    root = make(tmp_path / "zoo")
    (root / "photos/zebra/Bild 1 \u00fc.JPG").rename(root / "photos/zebra/Bild 1 u.JPG")
    (warning,) = found(read_folder(root), "missing photos")
    assert warning.rank == "warning" and 'did you mean "photos/zebra/Bild 1 u.JPG"' in warning.text


def test_a_class_or_part_without_any_photo_on_the_disk_is_an_error(tmp_path: Path):
    root = make(tmp_path / "zoo")
    for photo in (root / "photos" / "lion").iterdir():
        photo.unlink()
    (error,) = found(read_folder(root), "lost photos")
    assert error.rank == "error" and 'all 2 photos of "lion" in trainval' in error.text


def test_photos_and_classes_that_the_list_lacks_are_counted(tmp_path: Path):
    root = make(tmp_path / "zoo")
    for number in range(34):
        write(root, f"photos/zebra/new {number}.jpg")
    write(root, "photos/quagga/1.jpg")
    (warning,) = found(read_folder(root), "unlisted photos")
    assert "35 photos" in warning.text and "34 in folders of classes" in warning.text and "quagga" in warning.text
    assert "revcd data update" in warning.hint and len(warning.items) == 35


def test_listed_photos_of_a_storage_folder_are_a_warning(tmp_path: Path):
    root = make(tmp_path / "zoo")
    write(root, "photos/zebra/@eaDir/1.jpg")
    with (root / "images.csv").open("a", encoding="utf-8") as stream:
        stream.write("\nphotos/zebra/@eaDir/1.jpg,zebra,trainval")
    (warning,) = found(read_folder(root), "listed storage files")
    assert warning.rank == "warning" and warning.items == ("photos/zebra/@eaDir/1.jpg",)


def with_hashes(dataset: Dataset, root: Path) -> FeatureSet:
    """Return features of the photos whose sha256 are equal where the bytes are."""
    count = len(dataset.paths)
    hashes = tuple((root / path).read_bytes().hex() for path in dataset.paths)
    return FeatureSet(dataset.paths, np.ones((count, 2), np.float32), ("ok",) * count, ("",) * count, hashes, RECORD)


@pytest.mark.parametrize(
    ("one", "two", "kind"),
    [
        ("zebra/Bild 0 \u00fc", "zebra/Bild 1 \u00fc", LeakError),  # test_seen and trainval
        ("zebra/Bild 1 \u00fc", "okapi/Bild 1 \u00fc", LeakError),  # two parts and two classes
        ("zebra/Bild 1 \u00fc", "lion/Bild 1 \u00fc", InputFileError),  # two classes of one part
    ],
)
def test_copies_across_parts_and_classes_are_refused_by_name(tmp_path: Path, one: str, two: str, kind: type):
    root = make(tmp_path / "zoo")
    for path in (one, two):
        write(root, f"photos/{path}.JPG", b"the same bytes")
    dataset = read_folder(root)
    with pytest.raises(kind, match="1 photos have copies with the same bytes") as caught:
        attach_features(dataset, with_hashes(dataset, root))
    assert one in str(caught.value) and two in str(caught.value)


def test_copies_in_one_part_and_class_are_a_warning(tmp_path: Path):
    root = make(tmp_path / "zoo")
    for number in (1, 2):
        write(root, f"photos/zebra/Bild {number} \u00fc.JPG", b"the same bytes")
    dataset = read_folder(root)
    (warning,) = attach_features(dataset, with_hashes(dataset, root)).findings
    assert (warning.rank, warning.kind) == ("warning", "copies")


def test_a_drawn_split_keeps_copies_in_one_part(tmp_path: Path):
    root = tmp_path / "zoo"
    root.mkdir()
    (root / "attributes.csv").write_text("class,a,b\nzebra,0,1\nlion,1,0\n")
    for name in ("zebra", "lion"):
        for number in range(10):
            write(root, f"{name}/{number}.jpg", f"{name} {number // 2}".encode())  # each photo twice
    for seed in range(5):
        dataset = read_folder(root, seed=seed, write_split=False)
        part = {dataset.paths[row]: name for name, rows in dataset.split.parts() for row in rows.tolist()}
        assert all(part[f"zebra/{number}.jpg"] == part[f"zebra/{number + 1}.jpg"] for number in range(0, 10, 2))
        assert [finding.kind for finding in dataset.findings] == ["copies"]
        assert "equal bytes are in one part" in " ".join(dataset.notes)


def test_copies_across_classes_of_a_drawn_split_are_an_error(tmp_path: Path):
    root = tmp_path / "zoo"
    root.mkdir()
    (root / "attributes.csv").write_text("class,a,b\nzebra,0,1\nlion,1,0\n")
    for name in ("zebra", "lion"):
        for number in range(5):
            write(root, f"{name}/{number}.jpg", b"same" if number == 2 else None)
    (error,) = read_folder(root).findings
    assert (error.rank, error.kind) == ("error", "copies across classes")
