"""`revcd predict --classes`: accepted tables, and messages for invalid ones."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from revcd_cli.__main__ import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TEXT = {"encoding": "utf-8"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(EXAMPLES / "raccoon.jpg", folder / "a.jpg")
    shutil.copy(EXAMPLES / "cat.jpg", folder / "b.jpg")
    return folder


@pytest.fixture(scope="module")
def own_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "own.csv"
    assert main(["models", "show", "animals", "--save-classes", str(path), "-q"]) == 0
    return path


@pytest.fixture(scope="module")
def written(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The predictions among the model's own classes, without a table."""
    path = tmp_path_factory.mktemp("written") / "answers.csv"
    assert predict(photos, "-o", path, "-q") == 0
    return path


def without_digests(path: Path) -> list[str]:
    """Return the lines of a CSV file without the digests of model and table, its last columns."""
    lines = path.read_text(**TEXT).splitlines()
    assert lines[0].endswith(",model,table"), lines[0]
    return [line.rsplit(",", 2)[0] for line in lines]


def predict(*arguments: object) -> int:
    return main(["predict", *map(str, arguments)])


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", **TEXT) as stream:
        return list(csv.DictReader(stream))


def test_the_table_of_the_model_gives_the_same_answers_as_no_table(
    written: Path, own_table: Path, photos: Path, tmp_path: Path
):
    assert predict(photos, "--classes", own_table, "-o", tmp_path / "a.csv", "-q") == 0
    assert without_digests(tmp_path / "a.csv") == without_digests(written)


def test_permuted_columns_give_the_same_answers(written: Path, own_table: Path, photos: Path, tmp_path: Path):
    lines = [line.split(",") for line in own_table.read_text(**TEXT).splitlines()]
    order = [0, *(1 + np.random.default_rng(0).permutation(len(lines[0]) - 1))]
    permuted = "\n".join(",".join(cells[k] for k in order) for cells in lines)
    assert lines[0] != permuted.splitlines()[0].split(",")
    (tmp_path / "permuted.csv").write_text(permuted, **TEXT)
    assert predict(photos, "--classes", tmp_path / "permuted.csv", "-o", tmp_path / "a.csv", "-q") == 0
    assert without_digests(tmp_path / "a.csv") == without_digests(written)


def test_permuted_rows_give_the_same_answers(written: Path, own_table: Path, photos: Path, tmp_path: Path):
    header, *classes = own_table.read_text(**TEXT).splitlines()
    (tmp_path / "backwards.csv").write_text("\n".join([header, *classes[::-1]]), **TEXT)
    assert predict(photos, "--classes", tmp_path / "backwards.csv", "-o", tmp_path / "a.csv", "-q") == 0
    found, before = table_of(tmp_path / "a.csv"), table_of(written)
    for name in ("path", "rank", "class", "seen"):
        assert [row[name] for row in found] == [row[name] for row in before]
    for name in ("score", "probability"):
        assert [float(row[name]) for row in found] == pytest.approx([float(row[name]) for row in before], abs=1e-4)


def without_cell(lines: list[list[str]]) -> None:
    del lines[2][5]


def with_cell_more(lines: list[list[str]]) -> None:
    lines[2].append("1")


def set_cell(line: int, column: int, text: str):
    def change(lines: list[list[str]]) -> None:
        lines[line - 1][column - 1] = text

    return change


def with_column_more(lines: list[list[str]]) -> None:
    for cells in lines:
        cells.append("1")
    lines[0][-1] = "stripse"


def without_column(lines: list[list[str]]) -> None:
    for cells in lines:
        del cells[-1]


def with_row_twice(lines: list[list[str]]) -> None:
    lines.append([lines[3][0].upper().replace(" ", "_"), *lines[3][1:]])


INVALID = {
    "a row too short": (without_cell, r":3:86: .*ends too early.*\"domestic\" is missing"),
    "a row too long": (with_cell_more, r":3:87: .*too long"),
    "a word": (set_cell(4, 7, "yes"), r':4:7: attribute "orange" of class .* is "yes"'),
    "an empty cell": (set_cell(4, 7, ""), r':4:7: attribute "orange" of class .* is empty'),
    "nan": (set_cell(9, 2, "nan"), r':9:2: attribute "black" .*finite'),
    "an overflow": (set_cell(9, 2, "1e400"), r':9:2: attribute "black" .*too large'),
    "a class without a name": (set_cell(5, 1, " "), r":5:1: the name of the class is empty"),
    "a class twice": (with_row_twice, r":111:1: class .* is on line 4 and on line 111"),
    "a column twice": (set_cell(1, 3, "black"), r':1:3: columns 2 and 3 are both called "black"'),
    "a column without a name": (set_cell(1, 3, ""), r":1:3: the name of this attribute is empty"),
    "another first column": (set_cell(1, 1, "animal"), r':1:1: the first column is called "animal"'),
    "a column misspelt": (set_cell(1, 12, "stripse"), r':1:12: lacks 1 .*"stripes" \(did you mean "stripse"\?\)'),
    "a column more": (
        with_column_more,
        r':1:87: has 1 attributes .* know: "stripse" \(did you mean "stripes"\?\)',
    ),
    "a column less": (without_column, r':1: lacks 1 of the model\'s 85 attributes: "domestic"'),
}


@pytest.mark.parametrize("fault", INVALID)
def test_an_invalid_table_is_refused_with_the_position_of_the_error(
    fault: str, own_table: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    change, message = INVALID[fault]
    lines = [line.split(",") for line in own_table.read_text(**TEXT).splitlines()]
    change(lines)
    path, output = tmp_path / "bad.csv", tmp_path / "out.csv"
    path.write_text("\n".join(map(",".join, lines)) + "\n", **TEXT)
    assert predict(photos, "--classes", path, "-o", output) == 4
    printed = capsys.readouterr()
    assert re.search(f"error: {re.escape(str(path))}{message}", printed.err)
    assert printed.out == ""
    assert not output.exists()


def test_empty_cells_can_be_filled_with_the_mean(
    own_table: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    lines = [line.split(",") for line in own_table.read_text(**TEXT).splitlines()]
    lines[3][6] = ""
    (tmp_path / "holes.csv").write_text("\n".join(map(",".join, lines)), **TEXT)
    assert predict(photos / "a.jpg", "--classes", tmp_path / "holes.csv", "--missing", "mean") == 0
    printed = capsys.readouterr()
    assert "1 empty cells were filled" in printed.err
    assert printed.out.split("\t")[1] == "raccoon"


def test_a_class_added_by_the_user_can_be_predicted(own_table: Path, photos: Path, tmp_path: Path):
    lines = own_table.read_text(**TEXT).splitlines()
    twin = next(line for line in lines if line.startswith("raccoon,")).replace("raccoon", "[bold]Waschbär", 1)
    few = [line for line in lines if not line.startswith("raccoon,")]
    (tmp_path / "mine.csv").write_text("\n".join([*few, twin]), **TEXT)
    assert predict(photos / "a.jpg", "--classes", tmp_path / "mine.csv", "-o", tmp_path / "a.csv", "-q") == 0
    best = table_of(tmp_path / "a.csv")[0]
    assert (best["class"], best["seen"]) == ("[bold]Waschbär", "false")
