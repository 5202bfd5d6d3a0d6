"""`revcd study`: refused options, printed rows and written files."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from revcd_cli.__main__ import main
from revcd_cli.cli.commands.study.cls_weight import DEFAULT_WEIGHTS, parse_weights
from tests.makers.feature_folder import SMALL, data_options

ROOT = Path(__file__).resolve().parents[2]
REPORT_IMPORTS = """
import sys
from revcd_cli.__main__ import main
code = main(sys.argv[1:])
print("HEAVY", *sorted({"torch", "numpy", "scipy", "PIL", "pyarrow", "matplotlib"} & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("command", ["study", "study cls-weight", "study denoise", "study epochs"])
def test_help_imports_nothing_heavy(command: str):
    done = subprocess.run(
        [sys.executable, "-c", REPORT_IMPORTS, *command.split(), "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "HEAVY\n")
    assert done.stdout.startswith(f"Usage: revcd {command}")


@pytest.mark.parametrize(
    ("text", "weights"),
    [("1,0,0.1", (0.0, 0.1, 1.0)), (" 0.1 , 0.10", (0.1,)), ("-0", (0.0,)), ("1e-3", (0.001,))],
)
def test_weights_are_sorted_and_duplicates_removed(text: str, weights: tuple[float, ...]):
    assert parse_weights(text) == weights
    assert str(parse_weights(text)) == str(weights)  # no -0.0


def test_the_default_weights_are_valid_and_begin_with_zero():
    assert parse_weights(DEFAULT_WEIGHTS)[0] == 0


@pytest.mark.parametrize("text", ["", "1,", "a", "-1", "inf", "nan", "0;1"])
def test_invalid_weights_are_usage_errors(text: str, tmp_path: Path):
    with pytest.raises(typer.BadParameter):
        parse_weights(text)
    assert main(["study", "cls-weight", "--dataset", "cub", "-o", str(tmp_path / "o"), "--weights", text]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("options", "split"), [([], "validation"), (["--test"], "test")])
def test_the_sweep_prints_the_rows_that_it_writes(options, split, animals: Path, tmp_path: Path, capsys):
    output = tmp_path / "study"
    arguments = ["study", "cls-weight", *data_options(animals), "-o", str(output), *SMALL, "--seeds", "2", *options]
    assert main([*arguments, "--weights", "0.5,0"]) == 0
    printed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert printed[0] == ["weight", "seed", "S", "U", "H", "T1", "measured on"]
    written = list(csv.DictReader((output / "cls_weight.csv").read_text("utf-8").splitlines()))
    for line, row in zip(printed[1:], written, strict=True):
        figures = [f"{100 * float(row[name]):.1f}" for name in ("S", "U", "H", "T1")]
        assert line == [f"{float(row['weight']):g}", row["seed"], *figures, split]
    assert (output / "cls_weight.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (output / "cls_weight.svg").read_bytes()
    again = (output / "cls_weight.svg").read_bytes()
    assert main([*arguments, "--weights", "0,0.5"]) == 0
    assert "4 of 4 trainings are done" in capsys.readouterr().err
    assert (output / "cls_weight.svg").read_bytes() == again


@pytest.mark.slow
def test_the_denoising_chain_of_a_trained_model_is_drawn(animals: Path, tmp_path: Path, capsys):
    model, output = tmp_path / "toy.safetensors", tmp_path / "study"
    assert main(["train", *data_options(animals), "-o", str(model), *SMALL]) == 0
    arguments = ["study", "denoise", *data_options(animals), "--model", str(model), "-o", str(output), "--panels", "3"]
    capsys.readouterr()
    assert main([*arguments, "--photos", "2"]) == 0
    printed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in printed] == ["t", "20", "10", "0"]
    rows = list(csv.DictReader((output / "denoise.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 3 * 6 * 2
    assert list(rows[0]) == ["step", "t", "photo", "class", "seen", "x", "y", "cosine"]
    for line in printed[1:]:
        for column, seen in ((1, "true"), (2, "false")):
            cosines = [float(row["cosine"]) for row in rows if (row["t"], row["seen"]) == (line[0], seen)]
            assert float(line[column]) == pytest.approx(sum(cosines) / len(cosines), abs=6e-4)
    assert {path.name for path in output.iterdir()} == {"denoise.csv", "denoise.png", "denoise.svg"}
    assert main(arguments) == 2  # there are results already
    assert main([*arguments, "--overwrite"]) == 0


def test_an_output_that_is_a_file_is_refused_before_the_data_is_opened(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    for command in ("cls-weight", "denoise"):
        assert main(["study", command, "--dataset", "no-such-data", "-o", str(tmp_path / "file")]) == 2
        assert "is a file" in capsys.readouterr().err
