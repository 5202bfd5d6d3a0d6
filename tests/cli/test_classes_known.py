"""`revcd classes known`, from the table to the file that `revcd train` reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from tests.makers.shapes import SMALL_OPTIONS

ROOT = Path(__file__).resolve().parents[2]
TABLE = "class,a\nzebra,1\nmouse,2\nseal,3\nfox,4\nox,5\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "attributes.csv"
    path.write_text(TABLE)
    return path


def test_proposals_are_printed_and_written_without_torch(table: Path, tmp_path: Path):
    code = (
        "import sys; from revcd_cli.__main__ import main; c = main(sys.argv[1:]); sys.exit(c or 'torch' in sys.modules)"
    )
    output = tmp_path / "known.csv"
    command = [sys.executable, "-c", code, "classes", "known", str(table), "-o", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["class", "zebra", "mouse", "fox", "ox"]
    assert "2 classes have a label of imagenet-1k with their name, 2 more have to be looked over" in done.stderr
    lines = output.read_text().splitlines()
    assert lines[:3] == ["class,label", "zebra,n02391049", "ox,n02403003"]
    assert "#mouse,n03793489" in lines and "#fox,n02119022" in lines


def test_json_has_every_label_with_its_definition(table: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["classes", "known", str(table), "--json", "-q"]) == 0
    zebra, mouse, *_ = json.loads(capsys.readouterr().out)
    assert zebra["labels"][0]["index"] == 340 and zebra["doubt"] is None
    assert mouse["doubt"] and "computer screen" in mouse["labels"][0]["definition"]


def test_classes_that_the_dataset_tests_as_unseen_are_left_out(table: Path, capsys: pytest.CaptureFixture[str]):
    (table.parent / "images.csv").write_text("path,class,split\na.jpg,zebra,trainval\nb.jpg,ox,test_unseen\n")
    assert main(["classes", "known", str(table)]) == 0
    said = capsys.readouterr()
    assert "Left out, because the dataset tests them as unseen: ox." in said.err
    assert not any(line.startswith("ox") for line in said.out.splitlines())


def test_an_existing_file_is_kept(table: Path, tmp_path: Path):
    output = tmp_path / "known.csv"
    output.write_text("mine")
    assert main(["classes", "known", str(table), "-o", str(output), "-q"]) == 2
    assert output.read_text() == "mine"


def known_file(folder: Path, label: str = "zebra") -> str:
    """Labels for two classes with photos and for "plain", which has none."""
    path = folder / "known.csv"
    path.write_text(f"class,label\nred,lion\ngreen,tiger\nplain,{label}\n")
    return str(path)


def test_a_known_class_is_trained_on_and_marked_in_predictions(
    trained, features_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = tmp_path / "known.safetensors"
    options = ["--dataset", str(trained.folder), "--known", known_file(tmp_path), *SMALL_OPTIONS]
    assert main(["train", *options, "--set", "class_network.width=0", "-o", str(model)]) == 0
    assert "Known classes: 1 without photos, by the backbone's classifier" in capsys.readouterr().err
    assert main(["models", "show", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"]["known"] == {"plain": ["n02391049 zebra"]}
    photo = next(trained.folder.rglob("*.png"))
    assert main(["predict", str(photo), "--model", str(model), "--format", "json", "--top-k", "9", "-q"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["results"]
    kinds = {each["class"]: each["kind"] for each in found["candidates"]}
    assert (kinds["red"], kinds["plain"], kinds["blue"]) == ("photos", "known", "described")


def test_a_label_that_does_not_exist_is_an_error_with_its_place(
    trained, features_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--dataset", str(trained.folder), "--known", known_file(tmp_path, "zebrra"), *SMALL_OPTIONS]
    assert main(["train", *options, "-o", str(tmp_path / "m.safetensors")]) == 4
    assert 'known.csv:4:2: imagenet-1k has no label "zebrra" (did you mean "zebra"?)' in capsys.readouterr().err
    assert not (tmp_path / "m.safetensors").exists()
