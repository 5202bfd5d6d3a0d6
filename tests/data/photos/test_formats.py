"""Wide grey values, raw photos, and files of formats or variants that are not decoded."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from revcd_cli.data.photos.images import ImageFailure, decode_rgb
from tests.makers.pictures import JPEG, RAMP8, TIFF, encoded, patched, photo, png


def grey(image: Image.Image | ImageFailure) -> np.ndarray:
    assert isinstance(image, Image.Image), image
    return np.asarray(image)[:, :, 0].astype(int)


def few_bits(bits: int) -> np.ndarray:
    """Return a ramp (32, 256) of 16-bit values that use the lower `bits` bits."""
    return (RAMP8.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)


@pytest.mark.parametrize("bits", [9, 10, 11, 12, 13, 14, 15, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_values_that_use_few_of_16_bits_are_scaled_by_these_bits(bits: int, kind: str):
    picture = decode_rgb(encoded(Image.fromarray(few_bits(bits)), kind))
    assert np.abs(grey(picture) - RAMP8).max() <= 1
    assert ("range" in picture.info["notes"]) == (bits < 16)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("kind", ["PNG", "PNG with alpha", "TIFF, II", "TIFF, MM"])
def test_colour_values_that_use_few_of_16_bits_are_scaled_by_these_bits(bits: int, kind: str):
    colours = np.stack([few_bits(bits), few_bits(bits) // 2, few_bits(bits) // 3], axis=-1)
    expected = colours.astype(float) * 255 / (2**bits - 1)
    if kind.startswith("PNG"):
        if "alpha" in kind:
            colours = np.concatenate([colours, np.full((32, 256, 1), 65_535, np.uint16)], axis=-1)
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)
        data = png(256, 32, depth=16, colour=6 if "alpha" in kind else 2, rows=rows)
    else:
        order = "<" if "II" in kind else ">"
        data = colour_tiff(colours.astype(f"{order}u2"), order)
    picture = decode_rgb(data)
    assert isinstance(picture, Image.Image), picture
    assert np.abs(np.asarray(picture) - expected).max() <= 1
    assert ("range" in picture.info["notes"]) == (bits < 16)


def colour_tiff(colours: np.ndarray, order: str) -> bytes:
    """Return an uncompressed TIFF of 16-bit RGB values (H, W, 3)."""
    height, width, _ = colours.shape
    depths = 8 + 2 + 12 * 9 + 4
    short = [
        (256, width),
        (257, height),
        (258, None),
        (259, 1),
        (262, 2),
        (273, None),
        (277, 3),
        (278, height),
        (279, None),
    ]
    entries = b""
    for tag, value in short:
        if tag == 258:
            entries += struct.pack(f"{order}HHII", tag, 3, 3, depths)
        elif tag in (273, 279):
            entries += struct.pack(f"{order}HHII", tag, 4, 1, depths + 6 if tag == 273 else colours.nbytes)
        else:
            entries += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 9)
    return start + entries + bytes(4) + struct.pack(f"{order}HHH", 16, 16, 16) + colours.tobytes()


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_grey_values_of_32_bits_and_floating_point_are_scaled_by_the_bits_they_use(bits: int):
    whole = decode_rgb(encoded(Image.fromarray(few_bits(bits).astype(np.int32)), "TIFF"))
    real = decode_rgb(encoded(Image.fromarray(few_bits(bits).astype(np.float32)), "TIFF"))
    assert np.abs(grey(whole) - RAMP8).max() <= 1 and np.abs(grey(real) - RAMP8).max() <= 1
    assert "range" in whole.info["notes"] and "range" in real.info["notes"]


def test_small_and_negative_floating_point_values_are_not_black():
    small = decode_rgb(encoded(Image.fromarray((RAMP8 / 255 * 0.03125).astype(np.float32)), "TIFF"))
    signed = decode_rgb(encoded(Image.fromarray((RAMP8 / 255 * 2 - 1).astype(np.float32)), "TIFF"))
    assert np.abs(grey(small) - RAMP8).max() <= 1 and np.abs(grey(signed) - RAMP8).max() <= 1


def tiff(entries: list[tuple[int, int, int]], tail: bytes = b"", start: int = 8) -> bytes:
    """Return a little-endian TIFF with one directory of (tag, type, value), and `tail` behind it."""
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(entries))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + body + bytes(4) + tail


def raw(preview: bytes, *extra: tuple[int, int, int]) -> bytes:
    """Return a file like a DNG: one directory with sensor data, and a preview behind it."""
    entries = [(256, 4, 16), (257, 4, 16), (258, 3, 14), (262, 3, 32803), (50706, 1, 0x0401), *extra]
    return tiff(entries, bytes(64) + preview + bytes(64))


RAWS = {
    "DNG": raw,
    "Canon CR2": lambda preview: b"II*\0" + struct.pack("<I", 16) + b"CR\2\0" + bytes(8) + preview,
    "Canon CR3": lambda preview: b"\0\0\0\x18ftypcrx " + bytes(64) + preview,
    "Fujifilm": lambda preview: b"FUJIFILMCCD-RAW 0201" + bytes(64) + preview,
    "Olympus": lambda preview: b"IIRO\x08\0\0\0" + bytes(64) + preview,
    "Panasonic": lambda preview: b"IIU\0\x18\0\0\0" + bytes(64) + preview,
}
LARGE, SMALL = (encoded(photo(*size), "JPEG", quality=90) for size in ((640, 480), (160, 120)))


@pytest.mark.parametrize("kind", RAWS)
def test_a_raw_photo_is_read_by_its_largest_preview(kind: str):
    picture = decode_rgb(RAWS[kind](SMALL + LARGE))
    assert isinstance(picture, Image.Image) and picture.size == (640, 480)
    assert kind in picture.info["notes"]["raw"]
    expected = np.asarray(Image.open(io.BytesIO(LARGE)).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(picture), expected)


@pytest.mark.parametrize("kind", RAWS)
def test_a_raw_photo_whose_preview_is_smaller_than_the_network_needs_is_not_read(kind: str):
    for preview in (SMALL, b""):
        failure = decode_rgb(RAWS[kind](preview))
        assert isinstance(failure, ImageFailure) and failure.reason == "unsupported_format"
        assert "raw photo" in failure.detail and "JPEG" in failure.detail
    assert isinstance(decode_rgb(RAWS[kind](SMALL), least_side=112), Image.Image)


def test_the_preview_is_turned_by_the_orientation_of_the_raw_photo():
    picture = decode_rgb(raw(LARGE, (274, 3, 6)))
    assert isinstance(picture, Image.Image) and picture.size == (480, 640)


UNSUPPORTED = {
    "JPEG XL": (b"\xff\x0a" + bytes(40), "JPEG XL"),
    "JPEG XL container": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "JPEG 2000"),
    "JPEG 2000 stream": (b"\xff\x4f\xff\x51" + bytes(40), "JPEG 2000"),
    "Photoshop": (b"8BPS\0\1" + bytes(40), "Photoshop"),
    "DICOM": (bytes(128) + b"DICM" + bytes(40), "DICOM"),
    "zip": (b"PK\3\4" + bytes(40), "archive"),
    "video": (b"\0\0\0\x18ftypisom" + bytes(40), "video"),
    "OpenEXR": (b"v/1\1" + bytes(40), "HDR"),
}
PIXELS = bytes(16 * 16 * 3)


def variant(bits: int, compression: int, photometric: int = 1, samples: int = 1, **other: int) -> bytes:
    """Return a whole TIFF of 16 x 16 pixels of a variant; its pixels are zeros."""
    entries = [(256, 4, 16), (257, 4, 16), (258, 3, bits), (259, 3, compression), (262, 3, photometric)]
    entries += [(277, 3, samples), (278, 4, 16), (279, 4, len(PIXELS)), (339, 3, other.get("form", 1))]
    start = 8 + 2 + 12 * (len(entries) + 1) + 4
    return tiff([*entries, (273, 4, start)], PIXELS)


UNSUPPORTED_TIFF = {
    "JPEG 2000": variant(8, 34712),
    "LERC": variant(8, 34887),
    "JPEG XL": variant(8, 50002),
    "unknown compression": variant(8, 65123),
    "24 bits": variant(24, 1),
    "64 bits": variant(64, 1, form=3),
    "24 bits of floating point": variant(24, 1, form=3),
    "complex": variant(64, 1, form=6),
    "logarithmic": variant(16, 34676, photometric=32844),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_known_format_that_is_not_read_is_named(name: str):
    data, words = UNSUPPORTED[name]
    failure = decode_rgb(data)
    assert isinstance(failure, ImageFailure)
    assert (failure.reason, words in failure.detail) == ("unsupported_format", True)


@pytest.mark.parametrize("name", UNSUPPORTED_TIFF)
def test_a_variant_of_tiff_that_is_not_decoded_is_unsupported_and_not_corrupt(name: str):
    failure = decode_rgb(UNSUPPORTED_TIFF[name])
    assert isinstance(failure, ImageFailure)
    assert (failure.reason, "a TIFF of" in failure.detail) == ("unsupported_format", True), failure


def test_a_lossless_or_12_bit_jpeg_is_unsupported():
    frame = JPEG.index(b"\xff\xc0")
    for data in (patched(JPEG, frame + 1, b"\xc3"), patched(JPEG, frame + 4, b"\x0c")):
        failure = decode_rgb(data)
        assert isinstance(failure, ImageFailure) and failure.reason == "unsupported_format", failure


@pytest.mark.parametrize("tag", [258, 259, 277])  # bits, compression, samples
def test_a_tiff_with_a_tag_of_another_type_is_a_failure_and_no_crash(tag: int):
    data = bytearray(colour_tiff(np.full((8, 8, 3), 4000, np.uint16), "<"))
    entry = data.index(struct.pack("<HH", tag, 3))
    data[entry : entry + 8] = struct.pack("<HHI", tag, 2, 1)  # text
    assert isinstance(decode_rgb(bytes(data)), Image.Image | ImageFailure)


def test_a_damaged_tiff_stays_corrupt_or_truncated():
    zipped = encoded(photo(), "TIFF", compression="tiff_adobe_deflate")
    assert decode_rgb(patched(zipped, 40, b"\xff" * 60)).reason == "corrupt"
    assert decode_rgb(TIFF[: len(TIFF) // 2]).reason == "truncated"
