"""Photos good and bad: each becomes the right picture or the right reason."""

from __future__ import annotations

import io
import random
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, features

from revcd_cli.data import images
from revcd_cli.data.images import REASONS, ImageFailure, decode_rgb

# Pillow warns of what it finds broken.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]
HAS_HEIF = images.pillow_heif is not None


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(width: int = 96, height: int = 64) -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def pixels(data: bytes) -> np.ndarray:
    picture = decode_rgb(data)
    assert isinstance(picture, Image.Image), picture
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, rows: bytes = b"", before: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def patched(data: bytes, position: int, new: bytes) -> bytes:
    return data[:position] + new + data[position + len(new) :]


JPEG, PNG = encoded(photo(), "JPEG", quality=95), encoded(photo())
GIF, WEBP, TIFF = (encoded(photo(), kind) for kind in ("GIF", "WEBP", "TIFF"))
ZIPPED_TIFF = encoded(photo(), "TIFF", compression="tiff_adobe_deflate")
HEIC = b"\0\0\0\x18ftypheic" + bytes(80)
BAD = {
    "no-bytes": (b"", "empty_file"),
    "one-byte": (b"\xff", "corrupt"),
    "jpeg-magic": (JPEG[:4], "corrupt"),
    "text": (b"not a photo at all\n" * 9, "unsupported_format"),
    "text-cut-inside-a-letter": ("é".encode() * 300 + b"x", "unsupported_format"),
    "other-binary": (bytes(range(1, 256)), "unsupported_format"),
    "web-page": (b"\xef\xbb\xbf\n<!DOCTYPE html><html>404", "unsupported_format"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "unsupported_format"),
    "half-a-jpeg": (JPEG[: len(JPEG) // 2], "truncated"),
    "half-a-gif": (GIF[: len(GIF) // 2], "truncated"),
    "half-a-webp": (WEBP[: len(WEBP) // 2], "truncated"),
    "half-a-tiff": (TIFF[: len(TIFF) // 2], "truncated"),
    "half-a-compressed-tiff": (ZIPPED_TIFF[: len(ZIPPED_TIFF) // 2], "truncated"),
    "jpeg-without-its-end": (JPEG[:-2], "truncated"),
    "half-a-png": (PNG[: len(PNG) // 2], "truncated"),
    "bad-idat": (patched(PNG, len(PNG) // 2, b"\0" * 40), "corrupt"),
    "bad-header-sum": (patched(PNG, 29, b"\0\0\0\0"), "corrupt"),
    "giant-header": (png(60_000, 60_000), "too_large"),
    "large-header": (png(15_000, 10_000), "too_large"),
    "tall-strip": (encoded(Image.new("L", (1, 5000))), "extreme_aspect"),
    "flat-strip": (encoded(Image.new("L", (20_000, 2))), "extreme_aspect"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported_format"),
    "binary-eps": (b"\xc5\xd0\xd3\xc6" + bytes(60), "unsupported_format"),
    "pdf": (b"%PDF-1.7\n" + bytes(60), "unsupported_format"),
    "svg": (b"<?xml version='1.0'?><svg/>", "unsupported_format"),
    "format-off-the-list": (encoded(photo(), "PPM"), "unsupported_format"),
    "not-a-number": (encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"), "corrupt"),
}


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD)
def test_a_file_without_a_whole_picture_is_a_failure_with_its_reason(data: bytes, reason: str):
    failure = decode_rgb(data)
    assert isinstance(failure, ImageFailure)
    assert failure.reason == reason
    assert failure.detail
    assert "0x" not in failure.detail  # no address in memory: the same file has the same row in every run


@pytest.mark.parametrize(("case", "hint"), [("web-page", "web page"), ("lfs", "git lfs pull"), ("text", "text file")])
def test_a_file_that_is_something_else_is_named(case: str, hint: str):
    assert hint in decode_rgb(BAD[case][0]).detail


@pytest.mark.skipif(HAS_HEIF, reason="pillow-heif is installed")
def test_a_heic_photo_without_its_reader_names_the_package_to_install():
    failure = decode_rgb(HEIC)
    assert failure.reason == "unsupported_format"
    assert "pip install pillow-heif" in failure.detail


def test_the_reasons_are_a_closed_list():
    with pytest.raises(ValueError, match="unknown reason"):
        ImageFailure("bad_luck", "")
    assert len(set(REASONS)) == 13


def test_limits_are_inclusive_and_can_be_set():
    square = encoded(Image.new("RGB", (10, 10)))
    assert isinstance(decode_rgb(square, max_pixels=100), Image.Image)
    assert decode_rgb(square, max_pixels=99).reason == "too_large"
    assert isinstance(decode_rgb(encoded(Image.new("L", (50, 1)))), Image.Image)
    assert decode_rgb(encoded(Image.new("L", (51, 1)))).reason == "extreme_aspect"


def test_a_file_beyond_the_byte_limit_is_refused_without_decoding(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(images, "MAX_BYTES", len(PNG) - 1)
    assert decode_rgb(PNG).reason == "too_large"


def test_a_failing_allocation_is_reported_as_such(monkeypatch: pytest.MonkeyPatch):
    def exhausted(image: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(images, "_to_rgb", exhausted)
    assert decode_rgb(PNG).reason == "out_of_memory"


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "JPEG", "WEBP", "AVIF"])
def test_every_listed_format_decodes_to_what_was_saved(kind: str):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow cannot write AVIF")
    grey = Image.new("RGB", (40, 30), (200, 120, 40))
    decoded = pixels(encoded(grey, kind))
    assert decoded.shape == (30, 40, 3)
    assert np.abs(decoded - (200, 120, 40)).max() <= 4


def test_a_single_pixel_is_a_photo():
    assert pixels(encoded(Image.new("RGB", (1, 1), (9, 8, 7)))).tolist() == [[[9, 8, 7]]]


@pytest.mark.parametrize("junk", [b"x" * 1_000_000, b"\xff\xd8\xff" * 100], ids=["long", "another-start"])
def test_bytes_after_the_picture_are_ignored(junk: bytes):
    assert np.array_equal(pixels(PNG + junk), pixels(PNG))
    assert np.array_equal(pixels(JPEG + junk), pixels(JPEG))


def test_a_text_bomb_in_a_png_is_a_failure_or_a_picture():
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "a" * 3_000_000, zip=True)
    assert decode_rgb(encoded(photo(), pnginfo=text)).reason == "too_large"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_eight_orientations_of_one_scene_decode_to_the_same_picture(kind: str, orientation: int):
    scene = photo()
    turn_back = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    stored = scene if orientation == 1 else scene.transpose(images._UPRIGHT[turn_back])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    decoded = pixels(encoded(stored, kind, exif=exif, **options))
    assert decoded.shape == (64, 96, 3)
    assert np.abs(decoded - np.asarray(scene)).max() <= 8


@pytest.mark.parametrize("orientation", [(3, 0), (3, 9), (3, 255), (2, 0x41424344), (12, 0)], ids=str)
def test_a_senseless_orientation_is_ignored(orientation: tuple[int, int]):
    kind, value = orientation
    entry = struct.pack("<HHHII", 1, ExifTags.Base.Orientation, kind, 4 if kind == 2 else 1, value)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + entry + bytes(4)
    assert np.array_equal(pixels(encoded(photo(), exif=exif)), np.asarray(photo()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "block", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff"]
)
def test_a_broken_exif_block_or_colour_profile_is_ignored(kind: str, block: bytes):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    clean = encoded(photo(), kind, **options)
    dirty = encoded(photo(), kind, exif=block, icc_profile=b"no profile", **options)
    assert np.array_equal(pixels(dirty), pixels(clean))


def test_the_picture_carries_no_metadata_that_could_be_applied_again():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture = decode_rgb(encoded(photo(), exif=exif, icc_profile=b"profile"))
    assert picture.info == {}
    assert ExifTags.Base.Orientation not in picture.getexif()


RAMP16 = np.tile(np.arange(256, dtype=np.uint16) * 257, (32, 1))  # (32, 256): every 8-bit value, widened exactly
RAMP8 = (RAMP16 // 257).astype(np.uint8)
WIDE = {
    "16-bit-png": encoded(Image.fromarray(RAMP16)),
    "16-bit-tiff": encoded(Image.fromarray(RAMP16), "TIFF"),
    "16-bit-big-endian-tiff": encoded(Image.fromarray(RAMP16.astype(">u2")), "TIFF"),
    "16-bit-rgb-png": png(
        256,
        32,
        depth=16,
        rows=b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.repeat(RAMP16[:, :, None], 3, axis=2)),
    ),
    "32-bit-tiff-of-8-bits": encoded(Image.fromarray(RAMP8.astype(np.int32)), "TIFF"),
    "32-bit-tiff-of-16-bits": encoded(Image.fromarray(RAMP16.astype(np.int32)), "TIFF"),
    "32-bit-tiff": encoded(Image.fromarray(RAMP16.astype(np.int32) << 15), "TIFF"),
    "float-tiff-to-1": encoded(Image.fromarray((RAMP8 / 255).astype(np.float32)), "TIFF"),
    "float-tiff-to-255": encoded(Image.fromarray(RAMP8.astype(np.float32)), "TIFF"),
    "float-tiff-of-any-range": encoded(Image.fromarray((RAMP8 * 1e6).astype(np.float32)), "TIFF"),
}


@pytest.mark.parametrize("data", WIDE.values(), ids=WIDE)
def test_wide_samples_give_the_same_ramp_as_eight_bits(data: bytes):
    assert np.abs(pixels(data) - RAMP8[:, :, None].astype(int)).max() <= 1


NARROW = {"1": 255, "L": 0, "P": 0, "LA": 0, "RGBA": 0, "CMYK": 0, "YCbCr": 2}


@pytest.mark.parametrize(("mode", "tolerance"), NARROW.items(), ids=NARROW)
def test_every_colour_mode_keeps_its_colours(mode: str, tolerance: int):
    grey = Image.fromarray(RAMP8)
    scene = grey.convert(mode) if mode == "P" else grey.convert("RGB").convert(mode)
    decoded = pixels(encoded(scene, "TIFF"))
    assert np.abs(decoded - RAMP8[:, :, None].astype(int)).max() <= tolerance
    assert decoded.mean() == pytest.approx(127.5, abs=1)


def test_lab_colours_are_converted():
    red = Image.new("RGB", (8, 8), (200, 30, 30))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(red, *profiles, outputMode="LAB")
    assert np.abs(pixels(encoded(lab, "TIFF")) - (200, 30, 30)).max() <= 4


def test_cmyk_jpeg_keeps_its_colours():
    ink = Image.new("RGB", (32, 32), (200, 30, 60)).convert("CMYK")
    assert np.abs(pixels(encoded(ink, "JPEG", quality=95)) - (200, 30, 60)).max() <= 4


def half_hidden(colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    image.paste((*colour, 0), (0, 0, 4, 8))
    return image


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colour_hidden_under_full_transparency_has_no_effect(kind: str):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    first, second = (encoded(half_hidden(colour), kind, **options) for colour in ((255, 0, 0), (0, 0, 0)))
    assert first != second
    assert np.array_equal(pixels(first), pixels(second))
    assert pixels(first)[0, 0].tolist() == [255, 255, 255]
    assert pixels(first)[0, 7].tolist() == [10, 20, 30]


def test_half_transparent_black_over_white_is_grey():
    assert pixels(encoded(Image.new("LA", (4, 4), (0, 128)))).mean() == pytest.approx(127, abs=1)


def test_premultiplied_grey_of_a_tiff_is_composited_like_plain_grey():
    plain = encoded(Image.new("LA", (4, 4), (100, 128)), "TIFF")
    tag = struct.pack("<HHI", ExifTags.Base.ExtraSamples, 3, 1)
    premultiplied = patched(plain, plain.index(tag) + len(tag), struct.pack("<H", 1))
    premultiplied = premultiplied.replace(bytes((100, 128)) * 16, bytes((50, 128)) * 16)
    with Image.open(io.BytesIO(premultiplied)) as image:
        assert image.mode == "La"
    assert np.abs(pixels(premultiplied) - pixels(plain)).max() <= 1


def transparent_palette() -> Image.Image:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (2, 0, 4, 4))
    return image


@pytest.mark.parametrize(
    "data",
    [
        encoded(transparent_palette(), transparency=0),
        encoded(transparent_palette(), transparency=b"\0\xff"),
        encoded(transparent_palette(), "GIF", transparency=0),
        encoded(transparent_palette().convert("RGB"), transparency=(255, 0, 0)),
    ],
    ids=["palette-index", "palette-alphas", "gif", "colour-key"],
)
def test_a_transparent_colour_shows_white(data: bytes):
    assert pixels(data)[0, 0].tolist() == [255, 255, 255]
    assert pixels(data)[0, 3].tolist() == [0, 0, 255]


def test_a_transparent_level_of_16_bit_grey_shows_white():
    decoded = pixels(encoded(Image.fromarray(RAMP16), transparency=257))
    assert decoded[0, :3, 0].tolist() == [0, 255, 2]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_only_the_first_frame_is_read(kind: str):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = pixels(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert np.abs(decoded - (255, 0, 0)).max() == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_random_damage_gives_a_picture_or_a_failure_and_the_same_one_each_time(kind: str):
    whole = encoded(photo(48, 32), kind)
    for seed in range(60):
        chance = random.Random(seed)
        damaged = bytearray(whole[: chance.randrange(1, len(whole))] if seed % 2 else whole)
        for _ in range(chance.randrange(1, 12)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        first, second = decode_rgb(bytes(damaged)), decode_rgb(bytes(damaged))
        assert isinstance(first, ImageFailure | Image.Image)
        assert first == second


def test_many_threads_decode_alike():
    files = [JPEG, PNG, GIF, WEBP, JPEG[:-2], b"text"] * 8
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decode_rgb, files))
    assert together == [decode_rgb(data) for data in files]
