"""Commands warn, in the same words, of a new class that would take photos of a seen one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from revcd_cli.checkpoint.metadata import read_metadata
from tests.makers.model_files import rewrite

PENALTY = 100.0  # on seen classes, in units of the scores: a described class takes every photo
TEXT = "crimson: about 100 of 100 photos of red would be named crimson."
ADVICE = "give photos of crimson (--photos crimson=DIR), or leave one of the two out (--only)."


def with_penalty(source: Path, folder: Path, penalty: float, limit: float = 1.0) -> str:
    """Write the model with another seen penalty for every rule, and another limit of it."""

    def change(document: dict) -> None:
        document["config"]["prototypes"]["taken_limit"] = limit
        for calibration in document["calibrations"].values():
            calibration["gamma"] = penalty

    copy = Path(shutil.copy(source, folder))
    rewrite(copy, document=change)
    return str(copy)


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The model with a penalty that makes a new class take the photos of its neighbour."""
    return with_penalty(trained.model, tmp_path_factory.mktemp("penalty"), PENALTY)


@pytest.fixture(scope="module")
def table(trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seen classes, and one whose row is that of "red" with another first value."""
    lines = (trained.folder / "attributes.csv").read_text("utf-8").splitlines()
    red = next(line for line in lines if line.startswith("red,")).split(",")
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    path.write_text("\n".join([*lines[:5], ",".join(["crimson", f"{float(red[1]) + 0.01:.3f}", *red[2:]]), ""]))
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    capsys.readouterr()
    assert main([*map(str, arguments)]) == code
    printed = capsys.readouterr()
    return " ".join((printed.err + printed.out).split())


def test_four_commands_warn_in_the_same_words(model: str, table: Path, trained, tmp_path: Path, capsys):
    red = trained.folder / "red" / "6.png"
    row = dict(zip(*(line.split(",")[1:] for line in table.read_text().splitlines()[::5]), strict=True))
    given = [part for name, value in row.items() for part in ("--set", f"{name}={value}")]
    rest = tmp_path / "rest.csv"
    rest.write_text("\n".join(table.read_text().splitlines()[:5]))
    for command in (
        ("data", "check", table, "--model", model),
        ("classes", "suggest", table, "--model", model),
        ("classes", "new", "crimson", "--classes", rest, "--model", model, "--questions", 0, *given),
        ("predict", red, "--classes", table, "--model", model),
    ):
        text = said(capsys, *command)
        assert TEXT in text and ADVICE in text, command


def test_the_warned_of_class_does_take_the_photos(model: str, table: Path, trained, capsys):
    photos = [trained.folder / "red" / f"{number}.png" for number in (6, 7)]
    capsys.readouterr()
    assert main(["predict", *map(str, photos), "--classes", str(table), "--model", model, "--format", "tsv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[1] for line in lines] == ["crimson", "crimson"]


def test_a_model_of_a_user_s_data_limits_the_penalty_and_leaves_the_photos_to_their_class(
    table: Path, trained, tmp_path: Path, capsys
):
    assert read_metadata(trained.model)["config"]["prototypes"]["taken_limit"] == 0.1
    model = with_penalty(trained.model, tmp_path, PENALTY, limit=0.1)
    photo = str(trained.folder / "red" / "6.png")
    assert "would be named" not in said(capsys, "data", "check", table, "--model", model)
    capsys.readouterr()
    assert main(["predict", photo, "--classes", str(table), "--model", model, "--format", "tsv"]) == 0
    assert capsys.readouterr().out.split("\t")[1] == "red"


def test_nothing_is_said_where_the_penalty_leaves_the_photos_to_their_class(
    table: Path, trained, tmp_path: Path, capsys
):
    model = with_penalty(trained.model, tmp_path, -PENALTY)
    assert "photos of red" not in said(capsys, "data", "check", table, "--model", model)


def test_nothing_is_said_of_a_class_with_photos_or_if_its_neighbour_is_left_out(
    model: str, table: Path, trained, capsys
):
    red = trained.folder / "red" / "6.png"
    for options in (("--photos", f"crimson={red}"), ("--only", "crimson,green,striped")):
        text = said(capsys, "predict", red, "--classes", table, "--model", model, *options)
        assert "photos of red" not in text


def test_predict_says_nothing_of_rows_that_are_those_of_the_model(trained, tmp_path: Path, capsys):
    model = with_penalty(trained.model, tmp_path, PENALTY)
    red, own = trained.folder / "red" / "6.png", trained.folder / "attributes.csv"
    assert "would be named" in said(capsys, "data", "check", own, "--model", model)
    assert "would be named" not in said(capsys, "predict", red, "--classes", own, "--model", model)
