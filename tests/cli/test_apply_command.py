"""`revcd apply`: printed output, exit codes and files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from tests.makers.answers import content, make_photos, predictions, write_answers


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers with relative paths, in the folder where they are applied."""
    make_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return write_answers(Path("answers.csv"), predictions(Path("photos")))


def apply(*arguments: object) -> int:
    return main(["apply", *map(str, arguments)])


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_each_form_of_answers_sorts_alike(form: str, answers: Path, capsys: pytest.CaptureFixture[str]):
    path = write_answers(Path(f"other.{form}"), predictions(Path("photos")))
    assert apply(path, "--sort", "sorted", "--min-probability", 0.5) == 0
    assert sorted(content(Path("sorted"))) == [
        "grizzly bear/101/c & d.nef",
        "moose/100/a.jpg",
        "raccoon/100/b.jpg",
        "unsure/101/a.jpg",
    ]
    printed = capsys.readouterr()
    assert sorted(printed.out.splitlines()[1:]) == ["grizzly bear\t1", "moose\t1", "raccoon\t1", "unsure\t1"]
    assert "left out: 1 photo that could not be classified" in printed.err
    assert "Undo: revcd apply --undo other.undo.jsonl" in printed.err


def test_a_dry_run_prints_every_target_and_writes_nothing(answers: Path, capsys: pytest.CaptureFixture[str]):
    before = content(Path())
    assert apply(answers, "--sort", "sorted", "--xmp", "--only", "moose", "--dry-run", "--sidecar", "a.jpg.xmp") == 0
    folder = Path("sorted/moose").absolute()
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[2] for row in rows[1:]] == [
        str(folder / name) for name in ("100/a.jpg", "101/a.jpg", "100/a.jpg.xmp", "101/a.jpg.xmp")
    ]
    assert content(Path()) == before


def test_a_second_run_has_its_own_list_and_each_can_be_undone(answers: Path):
    before = content(Path())
    assert apply(answers, "--sort", "one", "--how", "symlink") == 0
    assert apply(answers, "--sort", "two", "--xmp", "--parent", "animals") == 0
    assert apply("--undo", "answers.undo.jsonl") == 0
    assert not Path("one").exists() and Path("two").exists()
    assert apply("--undo", "answers.undo-2.jsonl") == 0
    assert content(Path()) == before


def test_a_missing_photo_is_exit_code_3_and_none_there_is_1(
    answers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    Path("photos/100/a.jpg").unlink()
    assert apply(answers, "--sort", "sorted") == 3
    assert "no such photo" in capsys.readouterr().err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert apply("../answers.csv", "--sort", "sorted") == 1
    assert "run apply where revcd predict ran" in capsys.readouterr().err


def test_a_changed_file_is_left_by_undo_with_exit_code_3(answers: Path, capsys: pytest.CaptureFixture[str]):
    assert apply(answers, "--sort", "sorted") == 0
    Path("sorted/moose/100/a.jpg").write_bytes(b"edited")
    assert apply("--undo", "answers.undo.jsonl") == 3
    assert [*content(Path("sorted"))] == ["moose/100/a.jpg"]
    assert "was changed since; it was left as it is" in capsys.readouterr().err


def test_sorting_below_the_photos_is_warned_of(answers: Path, capsys: pytest.CaptureFixture[str]):
    assert apply(answers, "--sort", "photos/sorted", "--dry-run") == 0
    assert "warning: photos/sorted is below the photos' folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "give the ANSWERS"),
        (["answers.csv"], 2, "nothing to do"),
        (["answers.csv", "--sort", "s", "--how", "move"], 2, "copy, hardlink, symlink"),
        (["answers.csv", "--sort", "s", "--only", "mose"], 2, 'did you mean "moose"'),
        (["answers.csv", "--sort", "s", "--min-probability", "2"], 2, "--min-probability"),
        (["answers.csv", "--sort", "s", "--undo-list", "answers.csv"], 2, "exists already"),
        (["answers.csv", "--undo", "x.jsonl"], 2, "--undo takes a list only"),
        (["none.csv", "--xmp"], 4, "there is no such file"),
        (["--undo", "answers.csv"], 4, "answers.csv:1: is not a list"),
        (["--undo", "none.jsonl"], 4, "none.jsonl: cannot be read"),
    ],
)
def test_invalid_arguments_write_nothing(
    arguments: list[str], code: int, says: str, answers: Path, capsys: pytest.CaptureFixture[str]
):
    before = content(Path())
    assert apply(*arguments) == code
    assert says in capsys.readouterr().err
    assert content(Path()) == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user that permissions hold for")
def test_a_folder_that_cannot_be_written_fails(answers: Path, capsys: pytest.CaptureFixture[str]):
    Path("sorted").mkdir(mode=0o500)
    assert apply(answers, "--sort", "sorted") == 1
    assert "Permission denied" in capsys.readouterr().err


def test_torch_is_not_loaded(answers: Path):
    program = (
        "import sys; from revcd_cli.__main__ import main; "
        "code = main(['apply', 'answers.csv', '--sort', 's', '--xmp', '-q']); "
        "sys.exit(code or sorted({'torch', 'timm', 'PIL', 'scipy', 'jinja2'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
