"""Prediction files: every format holds the same rows, hostile names are unchanged, and failed writes keep old files."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revcd_cli.data.formats.path_encoding import decode_path
from revcd_cli.errors import RevcdError, UsageError
from revcd_cli.pipeline.predict.columns import COLUMNS, ORIGIN
from revcd_cli.pipeline.predict.predictions import NO_CLASS_FITS, REJECTED, Candidate, OutputFormat, Prediction
from revcd_cli.reports.predictions.files import open_writer

HEADER = {
    "model": {"name": "animals", "sha256": "0123456789abcdef" * 4},
    "backbone": "embedded",
    "classes": {"source": "a [b].csv", "sha256": "f" * 64, "n": 2},
    "settings": {"top_k": 2},
}
HOSTILE = [
    "quote \" and ' apostrophe.jpg",
    "comma, semicolon; tab\t.jpg",
    "new\nline and\rreturn\r\n.jpg",
    "=cmd|' /C calc'!A0.jpg",
    "[/bold][red]:dog:.jpg",
    "</script><img src=x onerror=alert(1)>&amp;.jpg",
    "{{ 7*7 }}{% raw %}.jpg",
    "emoji 🦓 and עברית and é.jpg",
    os.fsdecode(b"caf\xe9.jpg"),
    "a literal \\udce9.jpg",
    "x" * 300,
]
WRITTEN = (OutputFormat.csv, OutputFormat.json, OutputFormat.jsonl, OutputFormat.parquet)


def classified(path: str, *names: str, score: float = 0.5) -> Prediction:
    share = 1 / max(1, len(names))
    return Prediction(
        path,
        candidates=tuple(
            Candidate(name, score, share, "photos" if index else "known") for index, name in enumerate(names)
        ),
    )


def failed(path: str) -> Prediction:
    return Prediction(path, "failed", "truncated", "The file ends before the picture does.")


def rejected(path: str) -> Prediction:
    return Prediction(path, REJECTED, NO_CLASS_FITS, "the best class, ox, fits by -1.2; 0.4 is asked for")


def write(path: Path, *predictions: Prediction, excel: bool = False) -> Path:
    with open_writer(path, OutputFormat.of(path), HEADER, excel=excel) as writer:
        for prediction in predictions:
            writer.write(prediction)
    return path


def read_csv(path: Path, encoding: str = "utf-8") -> list[list[str]]:
    with path.open(encoding=encoding, newline="") as stream:
        return list(csv.reader(stream))


def read_json(text: str) -> object:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def read_rows(path: Path) -> list[tuple]:
    """Read a file of any format back as rows of Python values."""
    if path.suffix == ".csv":
        number, truth = lambda cell: float(cell) if cell else None, {"true": True, "false": False, "": None}
        return [
            (p, int(rank) if rank else None, name, number(score), number(share), truth[seen], kind, status, reason)
            for p, rank, name, score, share, seen, kind, status, reason, *_ in read_csv(path)[1:]
        ]
    if path.suffix == ".parquet":
        return [tuple(row.values())[: len(COLUMNS)] for row in pq.read_table(path).to_pylist()]
    if path.suffix == ".json":
        document = read_json(path.read_text("utf-8"))
        photos = [*document["results"], *document["failures"], *document["rejected"]]
    else:
        photos = [read_json(line) for line in path.read_text("utf-8").splitlines()]
    rows = []
    for photo in photos:
        if not photo.get("candidates"):
            rows.append((photo["path"], None, "", None, None, None, "", photo["status"], photo["reason"]))
        for one in photo.get("candidates", ()):
            values = (one["rank"], one["class"], one["score"], one["probability"], one["seen"], one["kind"])
            rows.append((photo["path"], *values, photo["status"], photo.get("reason", "")))
    return rows


@pytest.mark.parametrize("form", WRITTEN)
def test_every_format_holds_the_same_rows(form: OutputFormat, tmp_path: Path):
    photos = [classified("a.jpg", "zebra", "ox", score=-0.25), failed("b.jpg"), rejected("c.jpg")]
    path = write(tmp_path / f"out.{form.value}", *photos)
    assert read_rows(path) == [
        ("a.jpg", 1, "zebra", -0.25, 0.5, False, "known", "ok", ""),
        ("a.jpg", 2, "ox", -0.25, 0.5, True, "photos", "ok", ""),
        ("b.jpg", None, "", None, None, None, "", "failed", "truncated"),
        ("c.jpg", None, "", None, None, None, "", "rejected", "no_class_fits"),
    ]


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_read_back_exactly(form: OutputFormat, name: str, tmp_path: Path):
    path = write(tmp_path / f"out.{form.value}", classified(name, name), failed(name))
    rows = read_rows(path)
    assert [decode_path(row[0]) for row in rows] == [name, name]
    assert decode_path(rows[0][2]) == name


@given(name=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_back_from_csv(name: str):
    stream = io.BytesIO()
    with open_writer(stream, OutputFormat.csv, HEADER) as writer:
        writer.write(classified("a.jpg", name))
    rows = list(csv.reader(io.StringIO(stream.getvalue().decode("utf-8"), newline="")))
    assert decode_path(rows[1][2]) == name


def test_csv_has_the_documented_columns_and_unix_lines(tmp_path: Path):
    data = write(tmp_path / "out.csv", classified("a.jpg", "zebra")).read_bytes()
    header = ",".join((*COLUMNS, *ORIGIN))
    assert data == f"{header}\na.jpg,1,zebra,0.5,1.0,false,known,ok,,0123456789ab,ffffffffffff\n".encode()


def test_numbers_have_six_significant_digits(tmp_path: Path):
    score = 0.1 + 0.2 + 1e-9  # 0.300000001
    assert read_csv(write(tmp_path / "out.csv", classified("a.jpg", "ox", score=score)))[1][3] == "0.3"
    assert read_csv(write(tmp_path / "out2.csv", classified("a.jpg", "ox", score=-12345.678)))[1][3] == "-12345.7"


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_is_null(form: OutputFormat, value: float, tmp_path: Path):
    assert read_rows(write(tmp_path / f"o.{form.value}", classified("a.jpg", "ox", score=value)))[0][3] is None


def test_the_spreadsheet_form_escapes_formulas_but_not_numbers(tmp_path: Path):
    path = write(tmp_path / "out.csv", classified("-x.jpg", "=cmd()", "@a", "ox", score=-0.5), excel=True)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = read_csv(path, "utf-8-sig")
    assert rows[0] == [*COLUMNS, *ORIGIN]
    assert [row[2] for row in rows[1:]] == ["'=cmd()", "'@a", "ox"]
    assert {row[0] for row in rows[1:]} == {"'-x.jpg"}
    assert {row[3] for row in rows[1:]} == {"-0.5"}


SPREADSHEET_NAMES = st.text(st.sampled_from("=+-@\uff1d;,|\t\r\n\"' ax1"), max_size=8)


@given(path=SPREADSHEET_NAMES, name=SPREADSHEET_NAMES)
def test_no_cell_of_the_spreadsheet_form_is_a_formula_with_any_separator(path: str, name: str):
    stream = io.BytesIO()
    with open_writer(stream, OutputFormat.csv, HEADER, excel=True) as writer:
        writer.write(classified(path, name, score=-0.5))
    text = stream.getvalue().decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text, newline="")))[1][3] == "-0.5"
    lines = [line for line in text.replace("\r", "\n").split("\n") if line]
    for separator in ",;|\t":
        # A program may or may not interpret quotes: with both, no cell may be computed as a formula.
        for cell in (cell for line in lines for cell in line.split(separator)):
            start = cell.lstrip(' \t"')
            assert start[:1] not in ("=", "+", "-", "@", "\uff1d") or start.startswith("-0.5")


def test_the_json_document_has_its_origin_and_counts(tmp_path: Path):
    photos = [classified("a.jpg", "ox"), failed("b.jpg"), rejected("d.jpg"), classified("c.jpg", "ox")]
    path = write(tmp_path / "out.json", *photos)
    document = read_json(path.read_text("utf-8"))
    assert document["schema"] == 1
    assert {name: document[name] for name in HEADER} == HEADER
    assert [photo["path"] for photo in document["results"]] == ["a.jpg", "c.jpg"]
    assert document["failures"][0]["detail"] == "The file ends before the picture does."
    (withheld,) = document["rejected"]
    assert (withheld["path"], withheld["status"], withheld["reason"]) == ("d.jpg", "rejected", "no_class_fits")
    assert "fits by -1.2" in withheld["detail"]
    assert document["summary"] == {"photos": 4, "classified": 2, "rejected": 1, "failed": 1}


@pytest.mark.parametrize("form", WRITTEN)
def test_a_run_without_photos_leaves_a_valid_empty_file(form: OutputFormat, tmp_path: Path):
    assert read_rows(write(tmp_path / f"out.{form.value}")) == []


def test_json_lines_can_be_read_while_they_are_written(tmp_path: Path):
    path = tmp_path / "new" / "out.jsonl"
    with open_writer(path, OutputFormat.jsonl, HEADER) as writer:
        for count in range(1, 4):
            writer.write(classified(f"{count}.jpg", "ox"))
            lines = path.read_text("utf-8").splitlines()
            assert [read_json(line)["path"] for line in lines] == [f"{n}.jpg" for n in range(1, count + 1)]
    assert read_json(lines[0])["model"] == "0123456789ab"


@pytest.mark.parametrize("form", [*WRITTEN, OutputFormat.html, OutputFormat.tsv])
def test_an_interrupted_run_keeps_the_old_file_except_for_json_lines(form: OutputFormat, tmp_path: Path):
    path = tmp_path / f"out.{form.value}"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), open_writer(path, form, HEADER) as writer:
        writer.write(classified("a.jpg", "ox"))
        raise KeyboardInterrupt
    assert (path.read_text("utf-8") == "old") is (form is not OutputFormat.jsonl)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", [OutputFormat.csv, OutputFormat.jsonl])
def test_a_file_that_cannot_be_written_is_named(form: OutputFormat, tmp_path: Path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / f"out.{form.value}"
    with pytest.raises(RevcdError, match="out"), open_writer(path, form, HEADER):
        pass


def test_parquet_keeps_the_order_over_row_groups_and_the_header(tmp_path: Path):
    photos = [classified(f"{n}.jpg", "ox", "zebra") for n in range(9000)]
    file = pq.ParquetFile(write(tmp_path / "out.parquet", *photos))
    assert file.num_row_groups > 1
    assert file.read().column("path").to_pylist() == [photo.path for photo in photos for _ in range(2)]
    assert json.loads(file.schema_arrow.metadata[b"revcd"])["model"] == HEADER["model"]


def test_plain_output_is_one_line_per_photo_with_the_best_class():
    stream = io.BytesIO()
    with open_writer(stream, OutputFormat.tsv, HEADER) as writer:
        writer.write(classified("a\tb\n\x1b[31m.jpg", "zebra", "ox"))
        writer.write(failed("c.jpg"))
        writer.write(rejected("d.jpg"))
    lines = ["a\\tb\\n\\x1b[31m.jpg\tzebra\t0.5\t0.5", "c.jpg\t\t\t", "d.jpg\tnone of these\t\t"]
    assert stream.getvalue().decode() == "".join(f"{line}\t0123456789ab\tffffffffffff\n" for line in lines)


@pytest.mark.parametrize(("name", "form"), [("a.CSV", "csv"), ("b.x.jsonl", "jsonl"), ("c.html", "html")])
def test_the_suffix_determines_the_format(name: str, form: str):
    assert OutputFormat.of(Path(name)).value == form


@pytest.mark.parametrize("name", ["answers", "answers.xlsx", "answers.table"])
def test_an_unknown_suffix_is_a_usage_error_that_lists_the_formats(name: str):
    with pytest.raises(UsageError, match=r"\.parquet"):
        OutputFormat.of(Path(name))


def test_an_unknown_format_name_is_a_usage_error_that_names_the_nearest():
    assert OutputFormat.named("json") is OutputFormat.json
    with pytest.raises(UsageError, match=r'did you mean "parquet"'):
        OutputFormat.named("parket")


@pytest.mark.parametrize(("form", "excel"), [(OutputFormat.table, False), (OutputFormat.json, True)])
def test_a_format_without_a_file_form_is_a_usage_error_and_nothing_is_written(
    form: OutputFormat, excel: bool, tmp_path: Path
):
    with pytest.raises(UsageError), open_writer(tmp_path / "out", form, HEADER, excel=excel):
        pass
    assert not list(tmp_path.iterdir())


class Page(HTMLParser):
    """Collects tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", HOSTILE)
def test_the_contact_sheet_shows_a_hostile_name_as_text_only(name: str, tmp_path: Path):
    tame = Page(write(tmp_path / "tame.html", classified("a", "b"), failed("a")).read_text("utf-8"))
    page = Page(write(tmp_path / "wild.html", classified(name, name), failed(name)).read_text("utf-8"))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in tame.tags]
    assert [set(attributes) for _, attributes in page.tags] == [set(attributes) for _, attributes in tame.tags]
    paths = [decode_path(attributes["data-path"]) for tag, attributes in page.tags if tag == "article"]
    newline = name.replace("\r\n", "\n").replace("\r", "\n")  # as HTML reads it
    assert [path.replace("\r\n", "\n").replace("\r", "\n") for path in paths] == [newline, newline]


def test_the_contact_sheet_loads_no_other_file(tmp_path: Path):
    picture = b"\xff\xd8\xff\xe0 a thumbnail"
    photo = Prediction("a.jpg", candidates=(Candidate("ox", 0.5, 1.0, "photos"),), thumbnail=picture)
    page = Page(write(tmp_path / "out.html", photo).read_text("utf-8"))
    sources = [attributes["src"] for _, attributes in page.tags if "src" in attributes]
    assert [base64.b64decode(source.removeprefix("data:image/jpeg;base64,")) for source in sources] == [picture]
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object")]
    assert "http" not in page.text


def test_the_contact_sheet_marks_unseen_classes_and_gives_reasons_of_failures(tmp_path: Path):
    photos = [classified("a.jpg", "zebra"), failed("b.jpg"), rejected("c.jpg"), rejected("d.jpg")]
    page = Page(write(tmp_path / "out.html", *photos).read_text("utf-8"))
    kinds = [attributes["data-kind"] for tag, attributes in page.tags if tag == "article"]
    assert kinds == ["known", "failed", "rejected", "rejected"]
    assert "rejected" in [attributes.get("value") for tag, attributes in page.tags if tag == "option"]
    assert "truncated" in page.text
    assert "The file ends before the picture does." in page.text
    text = " ".join(page.text.split())
    assert "1 classified · 2 none of these · 1 failed" in text
    assert "None of these no class fits the best class, ox, fits by -1.2; 0.4 is asked for" in text
