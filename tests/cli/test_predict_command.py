"""`revcd predict` with the shipped model: printed output, written files and exit codes."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from revcd_cli import Predictor
from revcd_cli.__main__ import main
from revcd_cli.checkpoint.model_file import read_class_table
from revcd_cli.pipeline.predict.columns import COLUMNS, ORIGIN, rows

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
N_CLASSES = 109
FORMATS = ("csv", "tsv", "json", "jsonl", "parquet", "html")
TEXT = {"encoding": "utf-8"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two valid photos; one name has special characters of shells and browsers."""
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(EXAMPLES / "raccoon.jpg", folder / "a.jpg")
    colours = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(colours).save(folder / "b <i> [red] & 'quoted'.png")
    return folder


@pytest.fixture(scope="module")
def mixed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photos and an unreadable one between them."""
    folder = tmp_path_factory.mktemp("mixed")
    shutil.copytree(photos, folder, dirs_exist_ok=True)
    (folder / "aa.jpg").write_bytes((EXAMPLES / "cat.jpg").read_bytes()[:9000])
    return folder


def predict(*arguments: object) -> int:
    return main(["predict", *map(str, arguments)])


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", **TEXT) as stream:
        return list(csv.DictReader(stream))


def document_rows(document: list[dict[str, Any]]) -> list[tuple]:
    """Return the photos of a JSON or JSONL output as (path, class, score, probability, seen)."""
    return [
        (photo["path"], each["class"], each["score"], each["probability"], each["seen"])
        for photo in document
        for each in photo["candidates"]
    ]


def read_back(path: Path) -> list[tuple]:
    """Return the rows of a file of any format but tsv, as (path, class, score, probability, seen)."""
    text = "" if path.suffix == ".parquet" else path.read_text(**TEXT)
    if path.suffix == ".json":
        return document_rows(json.loads(text)["results"])
    if path.suffix == ".jsonl":
        return document_rows([json.loads(line) for line in text.splitlines()])
    if path.suffix == ".html":
        return list(html_rows(text))
    found = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else table_of(path)
    return [
        (row["path"], row["class"], float(row["score"]), float(row["probability"]), row["seen"] in (True, "true"))
        for row in found
    ]


def html_rows(text: str):
    for card in text.split("<article ")[1:]:
        path = html.unescape(re.search(r'data-path="([^"]*)"', card)[1])
        for kind, title, share in re.findall(r'<li class="(\w+)" title="([^"]*)">.*?--share:([\d.e-]+)%', card):
            name, score = html.unescape(title).rsplit(": score ", 1)
            yield path, name, float(score), float(share) / 100, kind == "photos"


@pytest.fixture(scope="module")
def written(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The predictions for the valid photos in every format."""
    folder = tmp_path_factory.mktemp("written")
    paths = {form: folder / f"answers.{form}" for form in FORMATS}
    for path in paths.values():
        assert predict(photos, "-o", path, "-q") == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in paths.values())
    return paths


@pytest.fixture(scope="module")
def expected(photos: Path) -> list[tuple]:
    """The same predictions from the Python API."""
    found = Predictor.from_checkpoint("animals").predict(photos)
    return [row for prediction in found for row in rows(prediction)]


def test_a_csv_holds_the_predictions_of_the_python_api(written: dict[str, Path], expected: list[tuple], photos: Path):
    found = table_of(written["csv"])
    assert tuple(found[0]) == (*COLUMNS, *ORIGIN)
    assert [tuple(row.values())[: len(COLUMNS)] for row in found] == [
        (path, str(rank), name, str(score), str(share), str(seen).lower(), kind, status, reason)
        for path, rank, name, score, share, seen, kind, status, reason in expected
    ]
    assert {row["path"] for row in found} == {path.as_posix() for path in photos.iterdir()}
    assert (found[0]["class"], found[0]["seen"]) == ("raccoon", "true")


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_every_format_holds_the_same_numbers(written: dict[str, Path], expected: list[tuple], form: str):
    assert read_back(written[form]) == [(row[0], *row[2:6]) for row in expected]


def test_a_page_holds_the_same_numbers_and_a_picture_of_each_photo(written: dict[str, Path], expected: list[tuple]):
    found = read_back(written["html"])
    assert [(row[0], row[1], row[2], row[4]) for row in found] == [(row[0], row[2], row[3], row[5]) for row in expected]
    assert [row[3] for row in found] == pytest.approx([row[4] for row in expected])
    text, n_attributes = written["html"].read_text(**TEXT), len(read_class_table("animals").attributes)
    assert text.count("data:image/jpeg;base64,") == 2
    assert [len(mean.split()) for mean in re.findall(r' data-mean="([^"]*)"', text)] == [n_attributes] * 2


def test_the_size_of_a_page_is_reported(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert predict(photos, "-o", tmp_path / "report.html") == 0
    size = (tmp_path / "report.html").stat().st_size
    assert f"({size / 1e6:.1f} MB, {size / 2e3:.1f} kB per photo)" in capsys.readouterr().err


def test_tsv_output_holds_the_best_class_of_each_photo(written: dict[str, Path], expected: list[tuple]):
    lines = [line.split("\t") for line in written["tsv"].read_text(**TEXT).splitlines()]
    assert [line[:4] for line in lines] == [
        [row[0], row[2], str(row[3]), str(row[4])] for row in expected if row[1] == 1
    ]
    assert {tuple(line[4:]) for line in lines} == {(read_class_table("animals").sha256[:12],) * 2}


def test_json_names_the_origin_of_the_predictions(written: dict[str, Path]):
    document = json.loads(written["json"].read_text(**TEXT))
    own = read_class_table("animals")
    assert document["model"] == {"name": "animals", "sha256": own.sha256}
    assert document["backbone"]["tag"] == "embedded@300"
    assert document["classes"]["n"] == N_CLASSES
    assert document["settings"]["top_k"] == 5
    assert document["summary"] == {"photos": 2, "classified": 2, "rejected": 0, "failed": 0}
    assert document["failures"] == document["rejected"] == []


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_format_on_stdout_is_the_same_as_in_a_file(
    written: dict[str, Path], photos: Path, form: str, capfdbinary: pytest.CaptureFixture[bytes]
):
    assert predict(photos, "--format", form) == 0
    printed = capfdbinary.readouterr()
    assert printed.out == written[form].read_bytes()
    assert b"model animals" in printed.err


def test_in_a_pipe_results_are_lines_of_three_cells_and_messages_go_to_stderr(
    written: dict[str, Path], photos: Path, capsys: pytest.CaptureFixture[str]
):
    assert predict(photos) == 0
    printed = capsys.readouterr()
    assert printed.out == written["tsv"].read_text(**TEXT)
    counts = r"109 classes \(39 with photos, 59 known, 11 described\)"
    assert re.fullmatch(rf"model animals, {counts}, device \w+\n", printed.err)


def test_quiet_leaves_results_and_errors(
    written: dict[str, Path], mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert predict(mixed, "-q", "--top-k", 99) == 3
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err == ""
    assert predict(tmp_path / "none.jpg", "-q") == 2
    assert "none.jpg: no such file" in capsys.readouterr().err


def test_a_photo_that_cannot_be_read_is_a_row_and_exit_code_3_and_changes_no_other(
    mixed: Path, expected: list[tuple], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert predict(mixed, "-o", tmp_path / "a.csv") == 3
    found = table_of(tmp_path / "a.csv")
    bad = [{name: row[name] for name in COLUMNS} for row in found if row["status"] != "ok"]
    assert bad == [
        dict.fromkeys(COLUMNS, "") | {"path": (mixed / "aa.jpg").as_posix(), "status": "failed", "reason": "truncated"}
    ]
    good = [row for row in found if row["status"] == "ok"]
    assert [(Path(row["path"]).name, row["rank"], row["class"]) for row in good] == [
        (Path(row[0]).name, str(row[1]), row[2]) for row in expected
    ]
    assert [float(row["score"]) for row in good] == pytest.approx([row[3] for row in expected], abs=1e-4)
    said = capsys.readouterr().err
    assert f"warning: {mixed / 'aa.jpg'}: truncated (" in said
    assert "2 photos classified, 1 failed. Written to" in said


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_when_no_photo_can_be_read_the_exit_code_is_1_and_the_table_is_still_written(form: str, tmp_path: Path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"")
    output = tmp_path / f"out.{form}"
    assert predict(tmp_path / "a.jpg", tmp_path / "b.jpg", "-o", output, "-q") == 1
    if form == "parquet":
        reasons = pq.read_table(output)["reason"].to_pylist()
    elif form == "json":
        reasons = [failure["reason"] for failure in json.loads(output.read_text(**TEXT))["failures"]]
    else:
        reasons = [row["reason"] for row in table_of(output)]
    assert reasons == ["empty_file", "empty_file"]


@pytest.mark.parametrize("form", FORMATS)
def test_an_existing_output_is_not_changed(form: str, photos: Path, tmp_path: Path):
    output = tmp_path / f"out.{form}"
    output.write_text("mine")
    assert predict(photos, "-o", output) == 2
    assert output.read_text() == "mine"


def test_overwrite_replaces_the_output(written: dict[str, Path], photos: Path, tmp_path: Path):
    output = tmp_path / "new folder" / "out.csv"
    assert predict(photos, f"-o={output}", "-q") == 0
    output.write_text("mine")
    assert predict(photos, "-o", output, "--overwrite", "-q") == 0
    assert output.read_bytes() == written["csv"].read_bytes()
    assert [path.name for path in output.parent.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(("name", "code"), [("no such photo.jpg", 2), ("empty folder", 1), ("*.jpg", 2)])
def test_without_photos_even_overwrite_keeps_the_output(
    form: str, name: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "empty folder").mkdir()
    output = tmp_path / f"out.{form}"
    output.write_text("mine")
    assert predict(tmp_path / name, "-o", output, "--overwrite") == code
    assert output.read_text() == "mine"
    assert name in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty folder", output.name]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--top-k", "0"], "--top-k"),
        (["--top-k", "-1"], "--top-k"),
        (["--seed", "-1"], "--seed"),
        (["--rule", "cosinus"], "cosinus"),
        (["--format", "jsno"], 'did you mean "json"'),
        (["-o", "answers.cvs"], 'did you mean "csv"'),
        (["-o", "answers"], "is not the suffix of a format"),
        (["-o", "answers.csv", "--format", "table"], "a table is for the terminal"),
        (["-o", "answers.json", "--excel"], "--excel requires CSV"),
        (["-o", "."], "is a folder"),
        (["--batch-size", "0"], "--batch-size"),
        (["--device", "abacus"], "abacus"),
        (["--precision", "float8"], "float8"),
        (["--missing", "median"], "median"),
    ],
)
def test_invalid_arguments_are_a_usage_error_and_nothing_is_written(
    arguments: list[str],
    says: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    assert predict(photos, *arguments) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.out == ""
    assert not list(tmp_path.iterdir())


def test_top_k_above_the_number_of_classes_shows_all_with_a_note(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert predict(photos / "a.jpg", "--top-k", 1000, "-o", tmp_path / "a.csv") == 0
    found = table_of(tmp_path / "a.csv")
    assert [row["rank"] for row in found] == [str(rank) for rank in range(1, N_CLASSES + 1)]
    assert sum(float(row["probability"]) for row in found) == pytest.approx(1, abs=1e-4)
    assert sum(row["seen"] == "true" for row in found) == 39
    assert f"All {N_CLASSES} classes are reported" in capsys.readouterr().err


def test_equal_seeds_give_equal_bytes_and_other_seeds_nearly_equal_scores(photos: Path, tmp_path: Path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        options = ["--rule", "cosine", "--seed", seed, "--top-k", N_CLASSES, "-q"]
        assert predict(photos, "-o", tmp_path / f"{name}.csv", *options) == 0
    a, b, c = ((tmp_path / f"{name}.csv").read_bytes() for name in "abc")
    assert a == b != c
    one, other = ({row[:2]: row[2] for row in read_back(tmp_path / f"{name}.csv")} for name in "ac")
    assert one == pytest.approx(other, abs=0.1)


@pytest.mark.parametrize(("separator", "options"), [("\n", []), ("\r\n", []), ("\0", ["--null"])])
def test_a_list_on_stdin_gives_the_same_output_as_arguments(
    separator: str,
    options: list[str],
    written: dict[str, Path],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    listed = separator.join(str(path) for path in sorted(photos.iterdir()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed.encode())))
    assert predict("-", *options) == 0
    assert capsys.readouterr().out == written["tsv"].read_text(**TEXT)


def test_a_table_of_one_photo_shows_its_candidates(
    photos: Path, expected: list[tuple], capsys: pytest.CaptureFixture[str]
):
    assert predict(photos / "a.jpg", "--format", "table", "-q") == 0
    path, header, *lines = capsys.readouterr().out.splitlines()
    assert path == str(photos / "a.jpg")
    assert header.split("\t") == ["", "class", "probability", "", "score"]
    cells = [line.split("\t") for line in lines]
    assert [(row[0], row[1], row[3], row[4]) for row in cells] == [
        (str(rank), name, kind, f"{score:.3f}") for _, rank, name, score, _, _, kind, _, _ in expected[:5]
    ]
    assert [row[2].split()[-1] for row in cells] == [f"{row[4]:.0%}" for row in expected[:5]]


def test_a_table_of_several_photos_has_a_line_for_each_and_names_failures(
    mixed: Path, expected: list[tuple], capsys: pytest.CaptureFixture[str]
):
    assert predict(mixed, "--format", "table", "-q") == 3
    header, *lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert header == ["photo", "class", "probability", "", "next"]
    assert [line[1] for line in lines] == [expected[0][2], "failed: truncated", expected[5][2]]
    assert lines[0][4] == f"{expected[1][2]} {expected[1][4]:.0%}"
    assert lines[0][0].endswith("a.jpg")
