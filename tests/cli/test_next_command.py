"""The command that a command proposes runs as printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from revcd_cli.cli.terminal.next_command import command_line
from tests.makers.feature_folder import SMALL, data_options


def test_options_that_were_not_given_are_left_out_and_others_are_quoted():
    options = {"--a": None, "--b": "x y", "--c": Path("d"), "--flag": True, "--other": False, "--missing": "error"}
    line = command_line("revcd", "evaluate", options=options, defaults={"--missing": "error"})
    assert line == "revcd evaluate --b 'x y' --c d --flag"


def test_the_evaluation_after_a_training_with_features_runs_as_printed(
    animals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = tmp_path / "my model.safetensors"
    assert main(["train", *data_options(animals), "-o", str(model), *SMALL]) == 0
    (line,) = re.findall("Next: revcd (.*)", capsys.readouterr().err)
    assert "--features" in line
    assert main([*shlex.split(line), "-o", str(tmp_path / "report")]) == 0
    assert "\nS\t" in capsys.readouterr().out
    assert (tmp_path / "report" / "predictions.csv").read_text("utf-8").startswith("path,part,truth,answer,score")
