"""`revcd data`: exit codes, results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

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
