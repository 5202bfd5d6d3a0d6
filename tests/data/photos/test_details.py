"""Details of photos from their EXIF data."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from revcd_cli.data.photos.details import PhotoDetails, read_details

BASE, GPS = ExifTags.Base, ExifTags.GPS


def photo(base: dict | None = None, exif: dict | None = None, gps: dict | None = None, form: str = "JPEG") -> bytes:
    tags = Image.Exif()
    tags.update(base or {})
    for number, values in ((ExifTags.IFD.Exif, exif), (ExifTags.IFD.GPSInfo, gps)):
        if values:
            tags.get_ifd(number).update(values)
            tags[number] = values
    stream = io.BytesIO()
    Image.new("RGB", (60, 40)).save(stream, form, exif=tags)
    return stream.getvalue()


def place(latitude: tuple, north: str, longitude: tuple, east: str) -> dict:
    return {
        GPS.GPSLatitude: latitude,
        GPS.GPSLatitudeRef: north,
        GPS.GPSLongitude: longitude,
        GPS.GPSLongitudeRef: east,
    }


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_time_camera_size_and_position_are_read(form: str):
    base = {BASE.Make: "RECONYX\0", BASE.Model: "HYPERFIRE 2"}
    exif = {BASE.DateTimeOriginal: "2026:05:01 06:12:33", BASE.OffsetTimeOriginal: "+02:00"}
    data = photo(base, exif, place((52.0, 30.0, 36.0), "N", (13.0, 15.0, 0.0), "W"), form)
    assert read_details(data) == PhotoDetails(
        "2026-05-01T06:12:33+02:00", "RECONYX HYPERFIRE 2", 60, 40, pytest.approx(52.51), pytest.approx(-13.25)
    )


def test_width_and_height_are_those_of_the_upright_photo():
    details = read_details(photo({BASE.Orientation: 6}))
    assert (details.width, details.height) == (40, 60)


def test_the_maker_is_not_named_twice():
    assert read_details(photo({BASE.Make: "Canon", BASE.Model: "Canon EOS R5"})).camera == "Canon EOS R5"


@pytest.mark.parametrize("time", ["0000:00:00 00:00:00", "2026:02:30 10:00:00", "    :  :     :  :  ", "yesterday"])
def test_an_impossible_time_is_none(time: str):
    assert read_details(photo(exif={BASE.DateTimeOriginal: time})).taken is None


def test_the_time_of_the_last_change_is_not_the_capture_time():
    assert read_details(photo({BASE.DateTime: "2026:05:01 06:12:33"})).taken is None


@pytest.mark.parametrize(
    "gps",
    [
        place((95.0, 0.0, 0.0), "N", (190.0, 0.0, 0.0), "E"),
        place((52.0, 30.0), "N", (13.0,), "E"),
        place((IFDRational(0, 0), 0.0, 0.0), "N", (IFDRational(0, 0), 0.0, 0.0), "E"),
        {GPS.GPSLatitude: (52.0, 0.0, 0.0), GPS.GPSLongitude: (13.0, 0.0, 0.0)},  # no hemisphere
    ],
)
def test_an_impossible_position_is_none(gps: dict):
    details = read_details(photo(gps=gps))
    assert (details.latitude, details.longitude) == (None, None)


def test_bytes_that_are_no_photo_have_no_details():
    assert read_details(b"text") == read_details(b"") == PhotoDetails()


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it skips
@given(st.integers(0, 400), st.binary(min_size=1, max_size=40))
def test_damaged_data_raises_nothing(position: int, damage: bytes):
    data = photo(
        {BASE.Make: "A"}, {BASE.DateTimeOriginal: "2026:05:01 06:12:33"}, place((1, 2, 3), "S", (1, 2, 3), "E")
    )
    read_details(data[:position] + damage + data[position + len(damage) :])
