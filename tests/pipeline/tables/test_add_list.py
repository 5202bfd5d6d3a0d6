"""`data update --add` adds the photos of a list, with its classes and parts, and refuses contradictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from revcd_cli.data.datasets.folder import read_folder
from revcd_cli.errors import InputFileError
from revcd_cli.pipeline.tables.add_list import add_list
from tests.pipeline.tables.test_update import parts, root, write  # noqa: F401 (a fixture)

HEADER = '"path","class","split"\n'


def listed(folder: Path, *lines: str) -> Path:
    path = folder.parent / "corrections.csv"
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return path


def test_a_photo_has_the_class_and_the_part_of_its_line(root: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    before = parts(read_folder(root))
    write(root, "new/#1, a.jpg", "new/2.jpg")
    monkeypatch.chdir(root.parent)  # where predict ran: its paths begin with the name of the folder
    added = listed(root, '"zoo/new/#1, a.jpg","Zebra","trainval"', "new/2.jpg,quagga,test_unseen")
    with pytest.raises(InputFileError, match='class "quagga" is not tested as unseen'):
        add_list(root, added)
    added = listed(
        root, '"zoo/new/#1, a.jpg","Zebra","trainval"', "new/2.jpg,quagga,trainval", "zebra/1.jpg,zebra,trainval"
    )
    assert add_list(root, added, dry_run=True).added == {"trainval": 2, "test_seen": 0, "test_unseen": 0}
    assert parts(read_folder(root)) == before
    report = add_list(root, added)
    assert report.new_classes == ("quagga",)
    dataset = read_folder(root)
    assert parts(dataset) == {**before, "new/#1, a.jpg": "trainval", "new/2.jpg": "trainval"}
    label = dict(zip(dataset.paths, dataset.labels.tolist(), strict=True))["new/#1, a.jpg"]
    assert dataset.classes.names[label] == "zebra"
    assert add_list(root, added).added["trainval"] == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("zebra/1.jpg,lion,trainval", 'is class "lion" here and "zebra" in'),
        ("zebra/9.jpg,zebra,trainval", 'photo "zebra/9.jpg" is not in'),
        ("new.jpg,zebr,trainval", 'class "zebr" is not in attributes.csv .did you mean "zebra"'),
        ("new.jpg,okapi,trainval", 'class "okapi" is tested as unseen in the dataset'),
        ("new.jpg,zebra,train", 'split is "train"; it must be one of'),
        ("../corrections.csv,zebra,trainval", "is not in"),
    ],
)
def test_a_contradiction_is_refused_with_its_line_and_nothing_is_written(root: Path, line: str, says: str):  # noqa: F811
    write(root, "new.jpg", "ok.jpg")
    before = (root / "images.csv").read_bytes()
    with pytest.raises(InputFileError, match=f"corrections.csv:3.*{says}"):
        add_list(root, listed(root, "ok.jpg,zebra,trainval", line))
    assert (root / "images.csv").read_bytes() == before


def test_the_command_prints_what_it_added(root: Path, capsys: pytest.CaptureFixture[str]):  # noqa: F811
    write(root, "new.jpg")
    assert main(["data", "update", str(root), "--add", str(listed(root, "new.jpg,lion,trainval"))]) == 0
    printed = capsys.readouterr()
    assert printed.out.split()[:2] == ["trainval", "1"] and "1 photos added" in printed.err
