"""Answers are read back from every form of file that `revcd predict` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from revcd_cli.errors import InputFileError, UsageError
from revcd_cli.pipeline.apply.answers import Answer
from revcd_cli.reports.predictions.reading import read_answers
from tests.makers.answers import ANSWERS, predictions, write_answers

FORMS = ("csv", "json", "jsonl", "parquet")
UNUSUAL = {
    "#1/a.jpg": ("moose", 0.5),
    "=1+1.jpg": ("=cmd", 0.25),
    "'=quoted.jpg": ("moose", 1.0),
    'x,y\n"z"; -1.jpg': ("a,b", 0.125),
    "not utf-8 \udce9.jpg": ("élan", 0.75),
    " spaces .jpg": ("moose", float("nan")),
    "none.jpg": ("", 0.0),
    "broken.jpg": None,
}


def expected(answers: dict, folder: Path) -> list[Answer]:
    found = []
    for name, answer in answers.items():
        path = (folder / name).as_posix()
        if answer is None or answer[0] == "":
            found.append(Answer(path, "failed" if answer is None else "rejected", None, None))
        else:
            found.append(Answer(path, "ok", answer[0], answer[1] if answer[1] == answer[1] else None))
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("answers", [ANSWERS, UNUSUAL], ids=["usual", "unusual"])
def test_every_form_gives_the_best_class_of_each_photo(form: str, answers: dict, tmp_path: Path):
    found = read_answers(write_answers(tmp_path / f"a.{form}", predictions(Path("photos"), answers)))
    by_path = lambda answer: answer.path  # noqa: E731 (JSON lists failures last)
    assert sorted(found, key=by_path) == sorted(expected(answers, Path("photos")), key=by_path)


@pytest.mark.parametrize("folder", [Path(), Path("photos")])
def test_the_apostrophes_for_spreadsheets_are_removed(folder: Path, tmp_path: Path):
    path = write_answers(tmp_path / "a.csv", predictions(folder, UNUSUAL), excel=True)
    assert b"'=" in path.read_bytes()
    assert read_answers(path) == expected(UNUSUAL, folder)


def test_a_table_that_a_spreadsheet_saved_with_semicolons_is_read(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("path;rank;class;probability;status\r\na.jpg;1;moose;0.5;ok\r\n;;;;\r\n", encoding="utf-8-sig")
    assert read_answers(path) == [Answer("a.jpg", "ok", "moose", 0.5)]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "photo,class\n", "a.csv:1: has no column path, probability, status"),
        ("a.csv", "path,rank,class,probability,status\na.jpg,1,moose,2.5,ok\n", 'a.csv:2: probability is "2.5"'),
        ("a.csv", "path,rank,class,probability,status\na.jpg,1,moose,0.5\n", "a.csv:2: has 4 cells"),
        ("a.csv", "path,rank,class,probability,status\na.jpg,1,moose,0.5,fine\n", 'a.csv:2: status is "fine"'),
        ("a.csv", "path,rank,class,probability,status\na.jpg,1,,0.5,ok\n", "a.csv:2: has an empty class"),
        ("a.json", "{}", "is not a document of revcd predict"),
        ("a.json", "{", "is not valid JSON"),
        ("a.jsonl", '{"path": "a.jpg"}\n', "a.jsonl:1: has an entry that is not a prediction"),
        ("a.parquet", "PAR1", "is not a valid Parquet file"),
    ],
)
def test_another_file_is_refused_with_its_line(name: str, text: str, says: str, tmp_path: Path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputFileError, match=says.replace("(", r"\(")):
        read_answers(tmp_path / name)


@pytest.mark.parametrize("name", ["a.tsv", "a.html", "a"])
def test_a_form_without_probabilities_is_refused(name: str, tmp_path: Path):
    with pytest.raises(UsageError, match=r"answers are read from \.csv, \.json, \.jsonl, \.parquet"):
        read_answers(tmp_path / name)
