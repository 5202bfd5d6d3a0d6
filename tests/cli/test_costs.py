"""`--dry-run` of train, evaluate and tune: what would be done, and how long it would take."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from revcd_cli.cli.costs import duration
from revcd_cli.pipeline.costs import UnitSeconds
from tests.makers.feature_folder import data_options

ABOUT = r"about (\d[\d,.]* (?:s|min|h))"


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main([*map(str, arguments), "--dry-run"]) == 0
    return " ".join(capsys.readouterr().err.split())


def test_a_training_with_photos_to_read_first_is_estimated_in_parts(
    trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "others"
    shutil.copytree(trained.folder, folder)
    before = sorted(folder.iterdir())
    monkeypatch.chdir(tmp_path)
    text = said(capsys, "train", "--dataset", folder, *trained.options)
    assert "Timing a few steps" in text
    assert re.search(f"Would extract the features of [0-9,]+ photos: {ABOUT}", text)
    assert re.search(f"Would train [0-9]+ validation folds and the model, [0-9]+ epochs each.*?: {ABOUT}", text)
    assert re.search(f"Together {ABOUT}", text)
    assert sorted(folder.iterdir()) == before and list(tmp_path.iterdir()) == [folder]


def test_a_comparison_names_the_methods_that_are_not_timed(animals: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--method", "revcd,cvae,ridge", "--seeds", 2, "--set", "train.epochs=2"]
    text = said(capsys, "evaluate", *data_options(animals), *options)
    assert re.search(f"Would revcd: 2 times train .*?: {ABOUT}", text)
    assert re.search(f"Would cvae: 2 times train .*?: {ABOUT}", text)
    assert "Not timed, because their grids differ: ridge" in text


def test_a_search_is_estimated_by_its_trials(animals: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--trials", 7, "--set", "train.epochs=2"]
    text = said(capsys, "tune", *data_options(animals), *options)
    assert re.search(f"Would run 7 trials, a third of them on more folds: {ABOUT}", text)


def test_a_model_is_measured_at_once_so_a_dry_run_needs_a_comparison(animals: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", "--dataset", str(animals), "--dry-run"]) == 2
    assert "requires --baselines or --method" in " ".join(capsys.readouterr().err.split())


def test_the_seconds_of_a_training_are_those_of_its_parts():
    assert UnitSeconds(2.0, 0.5, 0.25).of(epochs=10, scorings=4) == 2 + 5 + 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59, "59 s"), (60, "1 min"), (192, "3.2 min"), (5400, "1.5 h"), (400_000, "111 h")],
)
def test_durations_have_two_digits(seconds: float, text: str):
    assert duration(seconds) == text
