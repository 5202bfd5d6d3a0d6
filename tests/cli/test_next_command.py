"""The command that a command proposes runs as printed."""

from __future__ import annotations

import re
import shlex
import zipfile
from pathlib import Path

import pytest

import revcd_cli.cli
from revcd_cli.__main__ import main
from revcd_cli.cli.terminal.next_command import command_line
from tests.makers.benchmark_files import write
from tests.makers.feature_folder import SMALL, data_options

# Commands that print "Next: ", by their module; {folder} is a data set, {new} a folder for outputs.
PROPOSING = {
    "train.py": ["train", "--dataset", "{folder}", "-o", "{new}/my model.safetensors", *SMALL],
    "tune.py": ["tune", "--dataset", "{folder}", "--trials", "1", "-o", "{new}/tuned.toml", *SMALL],
    "extract.py": ["extract", "{photos}", "-o", "{new}/some features.npz", "--backbone", "embedded"],
    "data.py": ["data", "download", "sun", "--data-root", "{new}/my data", "--url", "{new}/copy.zip"],
    "classes/new.py": [
        *("classes", "new", "a hare", "--classes", "{folder}/attributes.csv"),
        *("--questions", "0", "--like", "class 1", "-o", "{new}/my classes.csv"),
    ],
}


def test_options_that_were_not_given_are_left_out_and_others_are_quoted():
    options = {"--a": None, "--b": "x y", "--c": Path("d"), "--flag": True, "--other": False, "--missing": "error"}
    line = command_line("revcd", "evaluate", options=options, defaults={"--missing": "error"})
    assert line == "revcd evaluate --b 'x y' --c d --flag"
    assert command_line("revcd", options={"--photos": ["a=b c", "d"]}) == "revcd --photos 'a=b c' --photos d"


def test_every_command_that_proposes_another_one_is_tested_here():
    commands = Path(revcd_cli.cli.__file__).parent / "commands"
    found = {path.relative_to(commands).as_posix() for path in commands.rglob("*.py") if "Next: " in path.read_text()}
    assert found == set(PROPOSING)


@pytest.mark.parametrize("module", PROPOSING)
def test_the_proposed_command_runs_as_printed(
    module: str,
    animals: Path,
    trained_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    if module == "tune.py":
        pytest.importorskip("optuna")
    if module == "data.py":
        folder = write(tmp_path / "copy" / "SUN")
        with zipfile.ZipFile(tmp_path / "copy.zip", "w") as archive:
            for file in folder.iterdir():
                archive.write(file, f"xlsa17/data/SUN/{file.name}")
    monkeypatch.chdir(tmp_path)
    places = {"folder": animals, "new": tmp_path, "photos": trained_folder / "shapes"}
    command = [word.format(**places) for word in PROPOSING[module]]
    if command[0] in ("train", "tune"):
        command += data_options(animals)[2:]
    assert main(command) == 0
    (line,) = re.findall("Next: revcd (.*)", capsys.readouterr().err)
    proposed = shlex.split(line)
    assert main([*proposed, *(SMALL if proposed[0] == "train" else ())]) == 0, capsys.readouterr().err


def test_the_evaluation_after_a_training_writes_the_answers(
    animals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = tmp_path / "my model.safetensors"
    assert main(["train", *data_options(animals), "-o", str(model), *SMALL]) == 0
    (line,) = re.findall("Next: revcd (.*)", capsys.readouterr().err)
    assert "--features" in line
    assert main([*shlex.split(line), "-o", str(tmp_path / "report")]) == 0
    assert "\nS\t" in capsys.readouterr().out
    assert (tmp_path / "report" / "predictions.csv").read_text("utf-8").startswith("path,part,truth,answer,score")
