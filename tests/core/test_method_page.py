"""The table of docs/method.md: every function and every test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "method.md").read_text("utf-8")
ROWS = [line.split("|")[1:-1] for line in PAGE.splitlines() if re.match(r"\| (\d|Algorithm)", line)]


def missing(cell: str, folder: Path) -> list[str]:
    """Return the names in a cell that are not defined in the file named before them."""
    text, absent = "", []
    for word in re.findall(r"`([^`]+)`", cell):
        if word.endswith(".py"):
            text = (folder / word).read_text("utf-8")
        else:
            absent += [part for part in word.split(".") if not re.search(rf"(def|class) {part}\b", text)]
    return absent


@pytest.mark.parametrize("row", ROWS, ids=[row[0].strip() for row in ROWS])
def test_a_row_names_functions_and_tests_that_exist(row: list[str]) -> None:
    _, _, functions, tests = row

    assert missing(functions, ROOT / "revcd_cli" / "core") == []
    assert "`" in tests and missing(tests, ROOT / "tests" / "core") == []


def test_every_equation_and_algorithm_of_the_paper_has_a_row() -> None:
    numbers = {
        number
        for row in ROWS
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", row[0].replace("Algorithm", ""))
        for number in range(int(first), int(last or first) + 1)
        if "Algorithm" not in row[0]
    }
    assert numbers == set(range(1, 25))
    assert [row[0].strip() for row in ROWS if "Algorithm" in row[0]] == ["Algorithm 1", "Algorithm 2"]
