"""`revcd data`: exit codes, results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revcd_cli.__main__ import main


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with the splits of AwA2; no other folder is searched."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "user")
    monkeypatch.delenv("REVCD_DATA", raising=False)
    folder = tmp_path / "root" / "AWA2"
    folder.mkdir(parents=True)
    (folder / "att_splits.mat").write_bytes(b"MATLAB 5.0")
    return tmp_path / "root"


def test_list_names_the_benchmarks_found_and_their_missing_files(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "list", "--data-root", str(root), "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(found) == {"awa1", "awa2", "cub", "sun", "apy", "flo"}
    assert (found["awa2"]["folder"], found["awa2"]["missing"]) == (str(root / "AWA2"), ["res101.mat"])
    assert (found["cub"]["folder"], found["cub"]["missing"]) == (None, ["res101.mat", "att_splits.mat"])


def test_list_prints_one_line_per_benchmark(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "list", "--data-root", str(root)]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 7
    assert rows[2] == [
        "awa2",
        "Animals with Attributes 2",
        "40 + 10",
        "37,322",
        "85",
        f"{root / 'AWA2'} (without res101.mat)",
    ]


def test_the_data_root_may_come_from_the_environment(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REVCD_DATA", str(root))
    assert main(["data", "list"]) == 0
    assert str(root / "AWA2") in capsys.readouterr().out


def test_download_prints_only_the_folder(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with zipfile.ZipFile(tmp_path / "copy.zip", "w") as opened:
        for name in ("res101.mat", "att_splits.mat"):
            opened.writestr(f"xlsa17/data/SUN/{name}", b"MATLAB 5.0")
    arguments = ["data", "download", "sun", "--data-root", str(root), "--url", str(tmp_path / "copy.zip")]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{root / 'SUN'}\n"
    assert (root / "SUN" / "res101.mat").exists()


def test_an_offline_download_fails_and_says_where_the_files_belong(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "download", "cub", "--data-root", str(root), "--offline"]) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert str(root / "CUB") in streams.err and "Traceback" not in streams.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["download", "imagenet"],
        ["download", "cub", "--url", "ftp://127.0.0.1/xlsa17.zip"],
        ["check", "photo.jpg"],
        ["check"],
        ["chek", "x.csv"],
    ],
)
def test_invalid_arguments_are_a_usage_error(arguments: list[str], root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", *arguments]) == 2
    assert capsys.readouterr().out == ""


def test_check_prints_its_report_and_warns_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "[red].csv"
    path.write_text("class,stripes,hooves\nzebra,1,2\n[bold]fox,1,2\n")
    assert main(["data", "check", str(path)]) == 0
    streams = capsys.readouterr()
    facts = dict(line.split("  ", 1) for line in streams.out.splitlines())
    assert {name: value.strip() for name, value in facts.items()} == {
        "kind": "class table",
        "classes": "2",
        "attributes": "2",
        "range": "1 to 2",
        "empty cells": "0",
    }
    assert '"zebra", "[bold]fox"' in streams.err


def test_check_of_an_invalid_table_exits_with_4_and_names_the_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "bad.csv"
    path.write_text("class,stripes,hooves\nzebra,1,yes\n")
    assert main(["data", "check", str(path), "--json"]) == 4
    streams = capsys.readouterr()
    report = json.loads(streams.out)
    assert report["valid"] is False and "bad.csv:2:3" in report["error"]
    assert "bad.csv:2:3" in streams.err


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A dataset with a missing, an unlisted and a copied photo, and a file that a storage system made."""
    root = tmp_path / "zoo"
    lines = ["path,class,split", "zebra/gone.jpg,zebra,trainval"]
    for number, name in enumerate(("zebra", "lion")):
        (root / name).mkdir(parents=True)
        for photo in range(4):
            noise = np.random.default_rng(10 * number + photo).integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((64, 64)).save(root / name / f"{photo}.png")
            lines.append(f"{name}/{photo}.png,{name},{'trainval' if photo else 'test_seen'}")
    (root / "zebra" / "new.png").write_bytes(b"not in the list")
    (root / "@eaDir").mkdir()
    (root / "attributes.csv").write_text("class,a,b\nzebra,0,1\nlion,1,0\nokapi,1,1\n")
    (root / "images.csv").write_text("\n".join(lines))
    return root


def test_findings_have_ranks_kinds_and_all_names(zoo: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["data", "check", str(zoo), "--json"]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    found = {finding["kind"]: finding for finding in report["findings"]}
    assert found["missing photos"]["items"] == ["zebra/gone.jpg"]
    assert found["unlisted photos"]["items"] == ["zebra/new.png"]
    assert found["storage files"]["rank"] == "note"
    assert report["counts"]["error"] == 0 and report["valid"]
    assert main([*arguments, "--strict"]) == 3
    (zoo / "lion" / "copy.png").write_bytes((zoo / "lion" / "0.png").read_bytes())
    with (zoo / "images.csv").open("a") as stream:
        stream.write("\nlion/copy.png,lion,trainval\n")
    capsys.readouterr()
    assert main(arguments) == main([*arguments, "--strict"]) == 4
    assert "lion/copy.png (trainval) = lion/0.png (test_seen)" in capsys.readouterr().err


def test_the_page_lists_each_finding_with_its_names(zoo: Path, capsys: pytest.CaptureFixture[str]):
    (zoo / "images.csv").write_text((zoo / "images.csv").read_text().replace("gone", "<b>gone"))
    page = zoo / "check.html"
    assert main(["data", "check", str(zoo), "-o", str(page)]) == 0
    text = page.read_text()
    assert "zebra/&lt;b&gt;gone.jpg" in text and "<b>gone" not in text
    assert "unlisted photos" in text and "Content-Security-Policy" in text
    assert main(["data", "check", str(zoo), "-o", str(page)]) == 2  # exists


def test_a_near_copy_in_another_part_is_a_warning(zoo: Path, capsys: pytest.CaptureFixture[str]):
    Image.open(zoo / "zebra" / "0.png").resize((90, 90)).save(zoo / "zebra" / "resized.jpg")
    with (zoo / "images.csv").open("a") as stream:
        stream.write("\nzebra/resized.jpg,zebra,trainval\n")
    assert main(["data", "check", str(zoo)]) == 0
    assert "zebra/0.png (test_seen) ~ zebra/resized.jpg (trainval)" in capsys.readouterr().err.replace("\n", " ")


def test_update_prints_the_added_photos_by_part(zoo: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "update", str(zoo)]) == 0
    streams = capsys.readouterr()
    assert [line.split() for line in streams.out.splitlines()] == [
        ["trainval", "1"],
        ["test_seen", "0"],
        ["test_unseen", "0"],
    ]
    assert "zebra/new.png,zebra,trainval" in (zoo / "images.csv").read_text()
    assert main(["data", "update", str(zoo / "zebra")]) == 2
