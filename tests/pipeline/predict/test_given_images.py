"""Photos that a program gives as bytes, PIL images and arrays have the answers of their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revcd_cli.errors import UsageError
from revcd_cli.pipeline.predict.predictions import Prediction
from revcd_cli.pipeline.predict.predictor import Predictor
from tests.makers.predictions import EVERY_CLASS, assert_same_prediction


def test_bytes_images_and_arrays_have_the_answers_of_the_files(
    predictor: Predictor, files: list[str], alone: dict[str, Prediction]
):
    name = next(name for name in files if name.endswith("pattern 0.png"))  # without loss, so the pixels are the same
    with Image.open(name) as image:
        pixels = np.asarray(image)
        given = [Path(name).read_bytes(), image.copy(), pixels, name]
    found = predictor.predict(given, top_k=EVERY_CLASS)
    assert [each.path for each in found] == ["image 1", "image 2", "image 3", name]
    for each in found:
        assert_same_prediction(each, alone[Path(name).name])
    assert_same_prediction(predictor.predict(pixels, top_k=EVERY_CLASS)[0], alone[Path(name).name])
    assert len(predictor.predict(np.stack([pixels, pixels]))) == 2


def test_an_image_is_turned_by_its_orientation_like_its_file(predictor: Predictor, files: list[str], tmp_path: Path):
    with Image.open(next(name for name in files if name.endswith("pattern 2.bmp"))) as image:
        exif = image.getexif()
        exif[0x0112] = 6  # Orientation: turned by 90 degrees
        image.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        by_image, by_file = predictor.predict([image, tmp_path / "turned.png"], top_k=EVERY_CLASS)
    assert_same_prediction(by_image, by_file)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I;16"])
def test_every_mode_of_pillow_is_accepted(mode: str, predictor: Predictor, files: list[str]):
    with Image.open(files[0]) as image:
        converted = image.convert("RGB").resize((32, 32)).convert("L" if mode == "I;16" else mode)
    assert predictor.predict(converted.convert(mode))[0].status == "ok"


def test_bytes_that_are_no_photo_are_a_failed_prediction(predictor: Predictor, files: list[str]):
    good, bad = predictor.predict([Path(files[0]).read_bytes(), Path(files[0]).read_bytes()[:1000]])
    assert (good.status, bad.status, bad.path) == ("ok", "failed", "image 2")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "NoneType is no image"),
        ([7], "Image 1 is of the type int"),
        ([b"", np.zeros((4, 4, 3))], "Image 2 is an array of float64 with the shape"),
        (np.zeros((3, 4, 5), np.uint8), r"the shape \(3, 4, 5\)"),
        (np.zeros((0, 4, 3), np.uint8), r"the shape \(0, 4, 3\)"),
    ],
)
def test_anything_else_is_refused_in_plain_words(given: object, says: str, predictor: Predictor):
    with pytest.raises(UsageError, match=says):
        predictor.predict(given)
