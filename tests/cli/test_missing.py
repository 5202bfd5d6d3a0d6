"""`--missing impute` in commands: predict with few columns, suggest, data check, and a dataset with gaps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from revcd_cli.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
PHOTO = str(ROOT / "examples" / "moose.jpg")


@pytest.fixture
def few_columns(tmp_path: Path) -> Path:
    """Return a table of ten classes with 40 of the 85 attributes, and one empty cell."""
    table = tmp_path / "animals.csv"
    assert main(["models", "show", "animals", "--save-classes", str(table), "-q"]) == 0
    lines = [line.split(",")[:41] for line in table.read_text().splitlines()]
    kept = [line for line in lines if line[0] in ("class", "moose", "fox", "wolf", "bobcat", "beaver", "deer")]
    kept[1][5] = ""
    table.write_text("\n".join(",".join(line) for line in kept) + "\n")
    return table


def test_predict_imputes_the_columns_that_a_table_lacks(few_columns: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["predict", PHOTO, "--classes", str(few_columns), "-q"]) == 4
    capsys.readouterr()
    assert main(["predict", PHOTO, "--classes", str(few_columns), "--missing", "impute"]) == 0
    printed = capsys.readouterr()
    assert printed.out.split("\t")[1] == "moose"
    assert "0 of" not in printed.err


def test_a_new_class_with_few_columns_is_completed_with_a_note(few_columns: Path, capsys: pytest.CaptureFixture[str]):
    few_columns.write_text(few_columns.read_text().replace("\nmoose,", "\nelk,"))
    assert main(["predict", PHOTO, "--classes", str(few_columns), "--missing", "impute"]) == 0
    said = capsys.readouterr().err
    assert "45 of 510 values were missing" in said and "typical error is 0." in said
    assert main(["data", "check", str(few_columns), "--model", "animals", "--missing", "impute", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["valid"] and report["empty_cells"] == 45
    assert main(["classes", "suggest", str(few_columns), "--model", "animals", "--missing", "impute", "-q"]) == 0


def test_a_dataset_with_fewer_columns_than_its_model_is_evaluated_the_same(
    trained, dataset_copy: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["evaluate", "--model", str(trained.model), "--format", "json", "--dataset"]
    assert main([*command, str(trained.folder), "-q"]) == 0
    whole = json.loads(capsys.readouterr().out)["metrics"]
    table = dataset_copy / "attributes.csv"
    lines = [line.rsplit(",", 1)[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(lines) + "\n")
    assert main([*command, str(dataset_copy), "-q"]) == 4
    capsys.readouterr()
    assert main([*command, str(dataset_copy), "--missing", "impute"]) == 0
    printed = capsys.readouterr()
    # The rows agree with those of the model's own classes, so the last column is taken from these.
    assert json.loads(printed.out)["metrics"] == whole
