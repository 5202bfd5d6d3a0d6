"""What a photo file says about itself: capture time, camera, size and position, from its EXIF data."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image

from .images import FORMATS, orientation

_SWAPPED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"[+-]\d\d:\d\d")


@dataclass(frozen=True)
class PhotoDetails:
    """Details of a photo; None where the file does not state them, or states something impossible."""

    taken: str | None = None  # ISO 8601, "2026-05-01T06:12:33", with the offset from UTC if it is stated
    camera: str | None = None  # maker and model
    width: int | None = None  # pixels of the upright photo
    height: int | None = None
    latitude: float | None = None  # degrees, north positive
    longitude: float | None = None  # degrees, east positive


def read_details(data: bytes) -> PhotoDetails:
    """Return the details of an encoded photo; empty ones for bytes that are no photo. Nothing is raised."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if orientation(image) in _SWAPPED:
                width, height = height, width
            exif = image.getexif()
    except Exception:  # decoders raise many types for damaged files
        return PhotoDetails()
    base, inner, place = dict(exif), _folder(exif, ExifTags.IFD.Exif), _folder(exif, ExifTags.IFD.GPSInfo)
    return PhotoDetails(
        _taken(inner),
        _camera(_text(base.get(ExifTags.Base.Make)), _text(base.get(ExifTags.Base.Model))),
        width,
        height,
        _degrees(place.get(ExifTags.GPS.GPSLatitude), place.get(ExifTags.GPS.GPSLatitudeRef), "S", 90),
        _degrees(place.get(ExifTags.GPS.GPSLongitude), place.get(ExifTags.GPS.GPSLongitudeRef), "W", 180),
    )


def _folder(exif: Image.Exif, number: int) -> dict[int, Any]:
    try:
        return dict(exif.get_ifd(number))
    except Exception:  # damaged tags raise many types
        return {}


def _text(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""
    return " ".join(text.replace("\0", " ").split())


def _taken(tags: dict[int, Any]) -> str | None:
    """Return when the photo was taken. The time of the last change (DateTime) is another thing and not used."""
    for name, offset in (("DateTimeOriginal", "OffsetTimeOriginal"), ("DateTimeDigitized", "OffsetTimeDigitized")):
        match = _TIME.fullmatch(_text(tags.get(ExifTags.Base[name])))
        if match and _is_time(*map(int, match.groups())):
            year, month, day, hour, minute, second = match.groups()
            zone = _text(tags.get(ExifTags.Base[offset]))
            return f"{year}-{month}-{day}T{hour}:{minute}:{second}{zone if _OFFSET.fullmatch(zone) else ''}"
    return None


def _is_time(*parts: int) -> bool:
    import datetime

    try:
        datetime.datetime(*parts)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def _camera(maker: str, model: str) -> str | None:
    """Return maker and model; many models begin with the maker's name."""
    first = maker.split(" ")[0].casefold()
    name = model if model.casefold().startswith(first) else f"{maker} {model}".strip()
    return name or None


def _degrees(parts: Any, side: Any, negative: str, most: float) -> float | None:
    """Return degrees from degrees, minutes and seconds; None unless they are a position."""
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    value = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(value) or not 0 <= value <= most:
        return None
    reference = _text(side).upper()
    if not reference:
        return None
    return round(-value if reference.startswith(negative) else value, 6)
