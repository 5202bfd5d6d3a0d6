"""Raw photos of cameras: recognise them by name and content, and find the largest JPEG preview inside.

The raw pixels are not developed. Cameras store previews as JPEG files, mostly one of full size.
"""

from __future__ import annotations

import io
import re

from PIL import Image

from .tiff_tags import COMPRESSION, DNG_VERSION, ORIENTATION, PHOTOMETRIC, Tags, read_directories

RAW_SUFFIXES = (
    *(".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw"),
    *(".x3f", ".rwl", ".3fr", ".fff", ".iiq", ".mef", ".mos", ".mrw", ".erf", ".kdc", ".dcr", ".gpr", ".raw"),
)
_BEGINNINGS = (
    (b"IIRO", "Olympus"),
    (b"IIRS", "Olympus"),
    (b"MMOR", "Olympus"),
    (b"IIU\0", "Panasonic"),
    (b"FUJIFILMCCD-RAW", "Fujifilm"),
    (b"FOVb", "Sigma"),
    (b"II\x1a\0\0\0HEAPCCDR", "Canon CRW"),
    (b"\0MRM", "Minolta"),
)
_SENSOR = {32803, 34892}  # photometric interpretations: a colour filter array, linear raw
_RAW_COMPRESSIONS = {34713, 32767, 32769, 32770, 65000, 65535}  # of Nikon, Sony, Epson, Samsung, Kodak, Pentax
_HEADER_BYTES = 1 << 18  # that hold the size of a JPEG file
_MOST_PREVIEWS = 64
_SMALLEST_SIDE = 224  # of a preview, if the network's input size is unknown


def is_raw_name(name: str) -> bool:
    """Return whether a file is a raw photo by its suffix."""
    return name.lower().endswith(RAW_SUFFIXES)


def raw_kind(data: bytes) -> str:
    """Return the kind of a raw photo by its content, or "" for other files."""
    for beginning, kind in _BEGINNINGS:
        if data.startswith(beginning):
            return kind
    if data[4:12] == b"ftypcrx ":
        return "Canon CR3"
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return ""
    if data[8:10] == b"CR":
        return "Canon CR2"
    directories = read_directories(data)
    if any(DNG_VERSION in tags for tags in directories):
        return "DNG"
    return "camera's" if any(map(_is_sensor_data, directories)) else ""


def _is_sensor_data(tags: Tags) -> bool:
    kinds = {*tags.get(PHOTOMETRIC, ()), *tags.get(COMPRESSION, ())}
    return bool(kinds & (_SENSOR | _RAW_COMPRESSIONS))


def largest_preview(data: bytes) -> tuple[int, tuple[int, int]] | None:
    """Return the position and the size of the largest JPEG file inside, or None."""
    best: tuple[int, tuple[int, int]] | None = None
    for number, found in enumerate(re.finditer(b"\xff\xd8\xff[\xc0-\xfe]", data)):
        if number == _MOST_PREVIEWS:
            break
        size = _jpeg_size(data[found.start() : found.start() + _HEADER_BYTES])
        if size and (best is None or min(size) > min(best[1])):
            best = found.start(), size
    return best


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return image.size
    except Exception:  # the bytes may be no JPEG file, or a lossless one, which holds the raw pixels
        return None


def preview_orientation(data: bytes) -> int:
    """Return the EXIF orientation of the raw photo, which its previews often lack; 1 if unknown."""
    directories = read_directories(data)
    return directories[0].get(ORIENTATION, (1,))[0] if directories and directories[0].get(ORIENTATION) else 1


def is_large_enough(size: tuple[int, int], least_side: int | None) -> bool:
    """Return whether a preview has the shorter side that the network needs."""
    return min(size) >= (least_side or _SMALLEST_SIDE)
