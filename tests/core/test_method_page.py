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


@pytest.mark.parametrize("row", ROWS, ids=[row[0].strip() for row in ROWS])
def test_the_docstring_of_a_function_names_its_equation(row: list[str]) -> None:
    """A search for "Eq. 12" finds the function. One of the functions of a row is enough."""
    words = re.findall(r"`([^`]+)`", row[2])
    files = {word: (ROOT / "revcd_cli" / "core" / word).read_text("utf-8") for word in words if word.endswith(".py")}
    text, documented = "", []
    for word in words:
        if word in files:
            text = files[word]
            continue
        body = re.search(rf"(?:def|class) {word.split('.')[-1]}\b.*?\"\"\"(.*?)\"\"\"", text, re.DOTALL)
        assert body, word
        documented.append(body[1])
    for number in re.findall(r"\d+", row[0]):
        name = rf"Algorithm {number}\b" if "Algorithm" in row[0] else rf"Eq\. (?:\d+(?:, | and ))*{number}\b"
        assert any(re.search(name, docstring) for docstring in documented), name


def test_every_equation_and_algorithm_of_the_paper_has_a_row() -> None:
    numbers = [int(number) for row in ROWS if "Algorithm" not in row[0] for number in re.findall(r"\d+", row[0])]
    assert numbers == list(range(1, 25))
    assert [row[0].strip() for row in ROWS if "Algorithm" in row[0]] == ["Algorithm 1", "Algorithm 2"]
