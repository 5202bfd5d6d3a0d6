"""Boxes of a detector: how its file is read, and what is cut out of a photo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from revcd_cli.data.parts.megadetector import read_boxes
from revcd_cli.data.parts.part import MARGIN, Box
from revcd_cli.errors import InputFileError, UsageError
from tests.makers.detections import detection, write_detections

SHARES = st.floats(0, 1, allow_nan=False)


@given(
    left=SHARES,
    top=SHARES,
    width=st.floats(1e-6, 1),
    height=st.floats(1e-6, 1),
    size=st.tuples(*[st.integers(1, 300)] * 2),
)
def test_a_cut_lies_in_the_photo_and_is_square_unless_the_photo_is_too_small(
    left: float, top: float, width: float, height: float, size: tuple[int, int]
):
    cut = Box(1, left, top, width, height, 1.0).cut(Image.new("RGB", size))
    side = max(1, round(max(width * size[0], height * size[1]) * (1 + 2 * MARGIN)))
    assert cut.size == (min(side, size[0]), min(side, size[1]))


def test_a_cut_shows_the_pixels_of_the_box_in_its_middle():
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40:60, 90:110] = 255  # 20 pixels square
    cut = np.asarray(Box(1, 0.45, 0.4, 0.1, 0.2, 1.0).cut(Image.fromarray(pixels)))
    assert cut.shape == (24, 24, 3)  # a margin of 10 % on each side
    assert (cut[2:22, 2:22] == 255).all() and cut.sum() == 20 * 20 * 3 * 255


def test_a_cut_at_the_edge_is_moved_into_the_photo():
    photo = Image.fromarray(np.arange(100 * 100, dtype=np.int32).astype(np.uint8).reshape(100, 100)).convert("RGB")
    assert Box(1, 0.9, 0.9, 0.1, 0.1, 1.0).cut(photo).tobytes() == photo.crop((88, 88, 100, 100)).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "sub/b.jpg", "c.jpg", "d.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def test_each_confident_box_of_an_animal_is_a_source_and_each_other_photo_one_with_a_reason(
    folder: Path, tmp_path: Path
):
    found = {
        "a.jpg": [detection(0.9), detection(0.1), detection(0.8, category="2"), detection(0.3, 0, 0, 1, 1)],
        "sub\\b.jpg": [],
        "c.jpg": "Failure image access",
    }
    boxes = read_boxes(write_detections(tmp_path / "md.json", found), str(folder))
    listed = [(each.path, each.part.box and each.part.box.number) for each in boxes()]
    root = folder.as_posix()
    assert listed == [(f"{root}/a.jpg", 1), (f"{root}/a.jpg", 4), (f"{root}/sub/b.jpg", None), (f"{root}/c.jpg", None)]
    *_, empty, failed = boxes()
    assert (empty.read().reason, failed.read().reason) == ("no_box", "detector_failed")
    assert "Failure image access" in failed.read().detail
    assert (boxes.count(), boxes.unlisted()) == (4, 1)
    assert len({each.signature for each in list(boxes())[:2]}) == 2


@pytest.mark.parametrize(("typical", "given_least", "number"), [(None, None, 2), (0.5, None, 1), (0.5, 0.01, 3)])
def test_the_least_confidence_is_given_or_the_typical_one_of_the_detector(
    folder: Path, tmp_path: Path, typical: float | None, given_least: float | None, number: int
):
    about = {} if typical is None else {"detector_metadata": {"typical_detection_threshold": typical}}
    found = {"a.jpg": [detection(0.9), detection(0.3), detection(0.05)]}
    boxes = read_boxes(write_detections(tmp_path / "md.json", found, **about), str(folder), given_least)
    assert boxes.count() == number


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": 3}, "not the output of a detector"),
        ({"detection_categories": {"1": "bird"}}, 'no detection category "animal"; its categories: bird'),
        ({"info": {"format_version": "2.0"}}, "format version 2.0"),
        ({"images": [{"detections": []}]}, 'entry 1 of "images" names no file'),
        ({"images": [{"file": "a.jpg", "detections": [detection(0.5, 1, 2, 3)]}]}, "a.jpg has a box"),
        ({"images": [{"file": "a.jpg", "detections": [detection(0.5, 0, 0, 0, 1)]}]}, "a.jpg has a box"),
        ({"images": [{"file": "a.jpg", "detections": [detection(5, 0, 0, 1, 1)]}]}, "a.jpg has a box"),
        ({"images": [{"file": "a.jpg", "detections": [{"category": "1"}]}]}, "a.jpg has a box"),
    ],
)
def test_a_file_of_another_form_is_refused(folder: Path, tmp_path: Path, change: dict[str, object], says: str):
    path = write_detections(tmp_path / "md.json", {"a.jpg": []})
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputFileError) as error:
        read_boxes(path, str(folder))
    assert says in str(error.value)


def test_a_wrong_folder_and_text_that_is_no_json_are_refused(folder: Path, tmp_path: Path):
    path = write_detections(tmp_path / "md.json", {"nowhere.jpg": []})
    with pytest.raises(UsageError, match="None of the 1 photos"):
        read_boxes(path, str(folder))
    path.write_text("{")
    with pytest.raises(InputFileError, match="not valid JSON"):
        read_boxes(path, str(folder))
