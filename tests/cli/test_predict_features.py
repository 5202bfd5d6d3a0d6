"""`revcd predict --features` and `--only`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from revcd_cli.__main__ import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    shutil.copy(EXAMPLES / "moose.jpg", folder)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["extract", str(folder), "-o", str(folder / "f.parquet"), "--backbone", "embedded@300", "-q"]) == 3
    return folder


def test_the_file_is_that_of_the_photos_but_for_the_details(folder: Path, tmp_path: Path):
    assert main(["predict", str(folder), "-o", str(tmp_path / "photos.csv"), "-q"]) == 3
    assert main(["predict", "--features", str(folder / "f.parquet"), "-o", str(tmp_path / "features.csv"), "-q"]) == 3
    assert (tmp_path / "features.csv").read_text() == (tmp_path / "photos.csv").read_text()


def test_only_restricts_the_classes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "region.txt").write_text("deer\nmoose\n")
    assert main(["predict", "--features", str(folder / "f.parquet"), "--only", str(tmp_path / "region.txt")]) == 3
    printed = capsys.readouterr()
    assert "2 classes" in printed.err
    assert {line.split("\t")[1] for line in printed.out.splitlines()} == {"", "moose"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "IMAGES, or their features"),
        (["a.jpg", "--features", "f.parquet"], 2, "not both"),
        (["--features", "none.parquet"], 4, "there is no such file"),
        (["--features", "f.csv"], 2, "features are written and read as"),
        (["--features", "F", "--only", "moos"], 2, 'did you mean "moose"'),
    ],
)
def test_invalid_arguments_are_explained(
    arguments: list[str], code: int, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    given = [str(folder / "f.parquet") if each == "F" else each for each in arguments]
    assert main(["predict", *given]) == code
    assert says in capsys.readouterr().err
