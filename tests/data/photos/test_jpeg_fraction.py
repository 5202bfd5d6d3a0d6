"""JPEGs decoded at reduced size: close to full decoding, and never too small."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revcd_cli.data.photos.images import ImageFailure, decode_rgb

SIDE = 64
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def encoded(width: int, height: int, form: str = "JPEG", mode: str = "RGB", **options: object) -> bytes:
    """Return a JPEG of several photos side by side, each reduced, so that the image is sharp."""
    whole = Image.new("RGB", (width, height))
    for place, path in enumerate(sorted(EXAMPLES.glob("*.jpg"))):
        with Image.open(path) as photo:
            tile = photo.convert("RGB").resize((200, 150))
        for left in range(200 * place, width, 400):
            for top in range(0, height, 150):
                whole.paste(tile, (left, top))
    stream = io.BytesIO()
    whole.convert(mode).save(stream, form, **options)
    return stream.getvalue()


def resized(picture: Image.Image) -> np.ndarray:
    shape = tuple(SIDE * side // min(picture.size) for side in picture.size)
    return np.asarray(picture.resize(shape, Image.Resampling.BILINEAR), dtype=float)


@pytest.mark.parametrize("options", [{"quality": 90}, {"quality": 75, "progressive": True}, {"mode": "L"}])
@pytest.mark.parametrize("size", [(256, 260), (300, 512), (512, 700), (1104, 1024)])
def test_reduced_decoding_differs_by_less_than_two_grey_levels_on_average(size: tuple[int, int], options: dict):
    data = encoded(*size, **options)
    whole, part = decode_rgb(data), decode_rgb(data, least_side=SIDE)
    assert 2 * SIDE <= min(part.size) < min(whole.size)
    assert np.abs(resized(whole) - resized(part)).mean() < 2


@pytest.mark.parametrize(
    ("width", "height", "factor"),
    [
        *[(254, 400, 1), (256, 400, 2), (510, 512, 2), (512, 516, 4), (1024, 1056, 8), (2048, 2560, 8)],
        *[(257, 400, 1), (1024, 1055, 1), (1028, 1024, 4)],
    ],
)
def test_reduced_decoding_divides_the_sides_and_keeps_twice_the_needed_size(width: int, height: int, factor: int):
    part = decode_rgb(encoded(width, height), least_side=SIDE)
    assert part.size == (width // factor, height // factor)


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK"), ("TIFF", "RGB")])
def test_other_pictures_are_decoded_at_full_size(form: str, mode: str):
    data = encoded(600, 500, form, mode)
    assert decode_rgb(data, least_side=SIDE).tobytes() == decode_rgb(data).tobytes()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.99])
def test_a_truncated_large_photo_is_reported_also_at_reduced_size(kept: float, progressive: bool):
    data = encoded(1200, 1024, progressive=progressive)
    found = decode_rgb(data[: int(len(data) * kept)], least_side=SIDE)
    assert isinstance(found, ImageFailure) and found.reason == "truncated"


def test_a_large_photo_is_upright_also_at_reduced_size():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(1200, 704, exif=exif.tobytes())
    assert decode_rgb(data, least_side=SIDE).size == (176, 300)


def test_the_pixel_limit_applies_to_the_full_size():
    found = decode_rgb(encoded(1200, 1000), max_pixels=10**6, least_side=SIDE)
    assert isinstance(found, ImageFailure) and found.reason == "too_large"
