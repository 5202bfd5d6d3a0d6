"""`revcd predict` for camera traps: --exif, --wide, --boxes, MegaDetector's JSON and CSV for Timelapse."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import ExifTags, Image

from revcd_cli.__main__ import main
from revcd_cli.pipeline.apply.answers import select
from revcd_cli.reports.predictions.reading import read_answers
from tests.makers.detections import detection, write_detections

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ONLY = ("--only", "raccoon,moose,deer,wolf", "--rule", "prototype", "-q")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raccoon at the left of a grey photo, a moose with EXIF data in a folder, a grey photo, and a broken one."""
    card = tmp_path_factory.mktemp("card") / "card"
    (card / "sub").mkdir(parents=True)
    wide = Image.new("RGB", (1200, 400), "grey")
    wide.paste(Image.open(EXAMPLES / "raccoon.jpg").resize((400, 400)), (0, 0))
    wide.save(card / "a.jpg", quality=95)
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "HYPERFIRE 2"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:05:01 06:12:33"
    Image.open(EXAMPLES / "moose.jpg").save(card / "sub" / "b.jpg", exif=exif, quality=95)
    Image.new("RGB", (300, 200), "grey").save(card / "c.jpg")
    (card / "d.jpg").write_bytes(b"\xff\xd8\xff")
    return card


@pytest.fixture(scope="module")
def detections(card: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = {
        "a.jpg": [detection(0.9, 0, 0, 1 / 3, 1), detection(0.05, 0.5, 0, 0.1, 0.1)],
        "sub/b.jpg": [detection(0.8, 0.02, 0.02, 0.95, 0.95), detection(0.9, 0, 0, 0.5, 0.5, category="2")],
        "c.jpg": [],
        "d.jpg": "Failure image access",
    }
    return write_detections(tmp_path_factory.mktemp("md") / "md.json", found)


def predict(*arguments: object) -> int:
    return main(["predict", *map(str, arguments), *ONLY])


def table(path: Path, encoding: str = "utf-8") -> list[dict[str, str]]:
    with path.open(newline="", encoding=encoding) as stream:
        return list(csv.DictReader(stream))


def test_wide_has_a_row_for_each_photo_with_the_runner_up_and_exif_its_details(card: Path, tmp_path: Path):
    assert predict(card, "-o", tmp_path / "long.csv", "--top-k", 2) == 3
    assert predict(card, "-o", tmp_path / "wide.csv", "--wide", "--exif") == 3
    long = [row for row in table(tmp_path / "long.csv") if row["status"] == "ok"]
    rows = table(tmp_path / "wide.csv")
    assert [row["status"] for row in rows] == ["ok", "ok", "failed", "ok"]
    answered = [row for row in rows if row["status"] == "ok"]
    assert [(r["class"], r["probability"]) for r in answered] == [(r["class"], r["probability"]) for r in long[::2]]
    assert [(r["runner_up"], r["runner_up_probability"]) for r in answered] == [
        (r["class"], r["probability"]) for r in long[1::2]
    ]
    (moose,) = (row for row in rows if row["path"].endswith("sub/b.jpg"))
    size = Image.open(EXAMPLES / "moose.jpg").size
    assert (moose["taken"], moose["camera"]) == ("2026-05-01T06:12:33", "HYPERFIRE 2")
    assert (moose["width"], moose["height"], moose["latitude"]) == (*map(str, size), "")
    assert all(len(row["model"]) == len(row["table"]) == 12 for row in rows)


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_every_form_has_a_row_for_each_box_and_for_each_photo_without_one(
    form: str, card: Path, detections: Path, tmp_path: Path
):
    path = tmp_path / f"out.{form}"
    assert predict(card, "--boxes", detections, "--exif", "-o", path) == 3
    if form in ("csv", "parquet"):
        rows = table(path) if form == "csv" else pq.read_table(path).to_pylist()
        rows = [row for row in rows if str(row["rank"]) in ("1", "", "None")]
    elif form == "json":
        document = json.loads(path.read_text())
        rows = [*document["results"], *document["empty"], *document["failures"]]
        assert document["summary"] == {"photos": 4, "classified": 2, "rejected": 0, "failed": 1, "empty": 1}
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = [(Path(row["path"]).name, row["status"], row.get("reason") or "", str(row["box"] or "")) for row in rows]
    assert found == [
        ("a.jpg", "ok", "", "1"),
        ("b.jpg", "ok", "", "1"),
        ("c.jpg", "empty", "no_box", ""),
        ("d.jpg", "failed", "detector_failed", ""),
    ]
    assert float(rows[0]["box_confidence"]) == 0.9 and rows[1]["camera"] == "HYPERFIRE 2"
    selected = select(read_answers(path))
    assert [answer.name for answer in selected.answers] == ["raccoon", "moose", None]


def test_megadetector_output_is_its_input_with_classifications(card: Path, detections: Path, tmp_path: Path):
    path = tmp_path / "classified.json"
    assert predict(card, "--boxes", detections, "--format", "megadetector", "-o", path) == 3
    document, given = json.loads(path.read_text()), json.loads(detections.read_text())
    names = document.pop("classification_categories")
    classified = [(image["file"], each) for image in document["images"] for each in image["detections"] or []]
    best = {
        (file, each["conf"]): names[each.pop("classifications")[0][0]] for file, each in classified if len(each) > 3
    }
    assert best == {("a.jpg", 0.9): "raccoon", ("sub/b.jpg", 0.8): "moose"}
    assert all(number.isdigit() for number in names)
    assert "revcd" in document["info"].pop("classifier")
    assert len(document["info"].pop("classifier_metadata")["model"]["sha256"]) == 64
    assert document == given


def test_megadetector_output_of_whole_photos_has_descending_classifications(card: Path, tmp_path: Path):
    path = tmp_path / "classified.json"
    assert predict(card, "--format", "megadetector", "-o", path) == 3
    document = json.loads(path.read_text())
    assert [image["file"] for image in document["images"]] == ["a.jpg", "c.jpg", "d.jpg", "sub/b.jpg"]
    for image in document["images"]:
        if image["file"] == "d.jpg":
            assert image["failure"] and image["detections"] is None
            continue
        (box,) = image["detections"]
        shares = [share for _, share in box["classifications"]]
        assert box["bbox"] == [0, 0, 1, 1] and shares == sorted(shares, reverse=True)
        assert {number for number, _ in box["classifications"]} <= set(document["classification_categories"])


def test_timelapse_output_has_a_row_for_each_photo_by_relative_path_and_file(
    card: Path, detections: Path, tmp_path: Path
):
    path = tmp_path / "timelapse.csv"
    assert predict(card, "--boxes", detections, "--exif", "--format", "timelapse", "-o", path) == 3
    rows = table(path, "utf-8-sig")
    assert [(row["RelativePath"], row["File"], row["Species"], row["Count"], row["Status"]) for row in rows] == [
        ("", "a.jpg", "raccoon", "1", "ok"),
        ("sub", "b.jpg", "moose", "1", "ok"),
        ("", "c.jpg", "", "0", "no box"),
        ("", "d.jpg", "", "0", "detector failed"),
    ]
    assert rows[1]["DateTime"] == "2026-05-01 06:12:33"


def test_a_page_of_boxes_shows_each_box(card: Path, detections: Path, tmp_path: Path):
    assert predict(card, "--boxes", detections, "-o", tmp_path / "page.html") == 3
    assert (tmp_path / "page.html").read_text("utf-8").count("<article ") == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["CARD", "--boxes", "MD", "--features", "f.npz"], "leave out --features"),
        (["a.jpg", "--boxes", "MD"], "the one folder that the detector searched"),
        (["CARD", "--wide", "-o", "x.json"], "--wide requires CSV or Parquet"),
        (["CARD", "--exif", "-o", "x.html"], "--exif requires CSV"),
        (["--features", "f.npz", "--exif", "-o", "x.csv"], "--exif reads the photos"),
        (["CARD", "--every", "soon"], '"soon" is not a time between frames'),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(
    arguments: list[str], says: str, card: Path, detections: Path, capsys: pytest.CaptureFixture[str]
):
    given = [{"CARD": str(card), "MD": str(detections)}.get(each, each) for each in arguments]
    assert main(["predict", *given]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
