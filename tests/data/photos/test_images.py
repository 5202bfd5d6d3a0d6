"""Decoding of valid and invalid photos: the right image or the right reason."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, features

from revcd_cli.data.photos import images
from revcd_cli.data.photos.images import REASONS, ImageFailure, decode_rgb
from tests.makers.pictures import (
    BAD,
    BROKEN_EXIF,
    GIF,
    HEIC,
    JPEG,
    PNG,
    RAMP8,
    RAMP16,
    WEBP,
    WIDE,
    animated,
    encoded,
    half_hidden,
    orientation_exif,
    photo,
    premultiplied,
    turned,
)

# Pillow warns about damaged files.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]
HAS_HEIF = images.pillow_heif is not None


def pixels(data: bytes) -> np.ndarray:
    picture = decode_rgb(data)
    assert isinstance(picture, Image.Image), picture
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD)
def test_a_file_without_a_complete_picture_is_a_failure_with_its_reason(data: bytes, reason: str):
    failure = decode_rgb(data)
    assert isinstance(failure, ImageFailure)
    assert failure.reason == reason
    assert failure.detail
    assert "0x" not in failure.detail  # no address in memory: the same file has the same row in every run


@pytest.mark.parametrize(("case", "hint"), [("web-page", "web page"), ("lfs", "git lfs pull"), ("text", "text file")])
def test_the_failure_of_another_file_type_names_the_type(case: str, hint: str):
    assert hint in decode_rgb(BAD[case][0]).detail


@pytest.mark.skipif(HAS_HEIF, reason="pillow-heif is installed")
def test_a_heic_photo_without_a_reader_names_the_package_to_install():
    failure = decode_rgb(HEIC)
    assert failure.reason == "unsupported_format"
    assert "pip install 'revcd[heif]'" in failure.detail


def test_an_unknown_reason_of_a_failure_is_refused():
    with pytest.raises(ValueError, match="unknown reason"):
        ImageFailure("bad_luck", "")
    assert len(set(REASONS)) == len(REASONS) == 17


def test_limits_are_inclusive_and_can_be_set():
    square = encoded(Image.new("RGB", (10, 10)))
    assert isinstance(decode_rgb(square, max_pixels=100), Image.Image)
    assert decode_rgb(square, max_pixels=99).reason == "too_large"
    assert isinstance(decode_rgb(encoded(Image.new("L", (50, 1)))), Image.Image)
    assert decode_rgb(encoded(Image.new("L", (51, 1)))).reason == "extreme_aspect"


def test_a_file_beyond_the_byte_limit_is_refused_without_decoding(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(images, "MAX_BYTES", len(PNG) - 1)
    assert decode_rgb(PNG).reason == "too_large"


def test_a_failed_allocation_is_reported_as_out_of_memory(monkeypatch: pytest.MonkeyPatch):
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


def test_a_text_bomb_in_a_png_is_a_failure():
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "a" * 3_000_000, zip=True)
    assert decode_rgb(encoded(photo(), pnginfo=text)).reason == "too_large"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_eight_orientations_of_one_scene_decode_to_the_same_picture(kind: str, orientation: int):
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    decoded = pixels(turned(kind, orientation, **options))
    assert decoded.shape == (64, 96, 3)
    assert np.abs(decoded - np.asarray(photo())).max() <= 8


@pytest.mark.parametrize("orientation", [(3, 0), (3, 9), (3, 255), (2, 0x41424344), (12, 0)], ids=str)
def test_an_invalid_orientation_is_ignored(orientation: tuple[int, int]):
    exif = orientation_exif(*orientation)
    assert np.array_equal(pixels(encoded(photo(), exif=exif)), np.asarray(photo()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("block", BROKEN_EXIF)
def test_a_broken_exif_block_or_colour_profile_is_ignored(kind: str, block: bytes):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    clean = encoded(photo(), kind, **options)
    dirty = encoded(photo(), kind, exif=block, icc_profile=b"no profile", **options)
    assert np.array_equal(pixels(dirty), pixels(clean))


def test_the_picture_has_no_metadata_that_could_be_applied_again():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture = decode_rgb(encoded(photo(), exif=exif, icc_profile=b"profile"))
    assert picture.info == {"notes": {}}
    assert ExifTags.Base.Orientation not in picture.getexif()


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
    plain, other = premultiplied()
    with Image.open(io.BytesIO(other)) as image:
        assert image.mode == "La"
    assert np.abs(pixels(other) - pixels(plain)).max() <= 1


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
def test_a_transparent_colour_becomes_white(data: bytes):
    assert pixels(data)[0, 0].tolist() == [255, 255, 255]
    assert pixels(data)[0, 3].tolist() == [0, 0, 255]


def test_a_transparent_level_of_16_bit_grey_becomes_white():
    decoded = pixels(encoded(Image.fromarray(RAMP16), transparency=257))
    assert decoded[0, :3, 0].tolist() == [0, 255, 2]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_only_the_first_frame_is_read(kind: str):
    decoded = pixels(animated(kind))
    assert np.abs(decoded - (255, 0, 0)).max() == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_random_damage_gives_a_picture_or_a_failure_and_repeats_exactly(kind: str):
    whole = encoded(photo(48, 32), kind)
    for seed in range(60):
        chance = random.Random(seed)
        damaged = bytearray(whole[: chance.randrange(1, len(whole))] if seed % 2 else whole)
        for _ in range(chance.randrange(1, 12)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        first, second = decode_rgb(bytes(damaged)), decode_rgb(bytes(damaged))
        assert isinstance(first, ImageFailure | Image.Image)
        assert first == second


def test_decoding_in_many_threads_gives_equal_pictures():
    files = [JPEG, PNG, GIF, WEBP, JPEG[:-2], b"text"] * 8
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decode_rgb, files))
    assert together == [decode_rgb(data) for data in files]
