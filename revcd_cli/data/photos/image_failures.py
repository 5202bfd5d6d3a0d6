"""Recognise files that cannot be decoded: other formats, and variants of TIFF and JPEG that Pillow does not read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from .tiff_tags import BITS, COMPRESSION, SAMPLES, Tags, is_whole, read_directories

_NOT_PHOTOS = (
    ((b"version https://git-lfs",), "a Git LFS pointer, not the photo itself; run: git lfs pull"),
    ((b"<!doctype html", b"<html", b"<head", b"<body"), "looks like a web page, not a photo; download it again"),
    ((b"<svg", b"<?xml"), "an SVG or XML document, not a photo; export it as PNG"),
    ((b"%pdf", b"%!ps", b"\xc5\xd0\xd3\xc6"), "a PDF or PostScript document, not a photo; export it as PNG"),
)
_OTHER_FORMATS = (
    ((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"), "a JPEG XL photo"),
    ((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), "a JPEG 2000 photo"),
    ((b"8BPS",), "a Photoshop document"),
    ((b"gimp xcf",), "a GIMP document"),
    ((b"v/1\x01", b"#?RADIANCE", b"#?RGBE"), "an HDR image"),
    ((b"SIMPLE  =",), "a FITS image"),
    ((b"PK\x03\x04", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"BZh", b"\xfd7zXZ"), "an archive"),
    ((b"\0\0\1\0", b"\0\0\2\0"), "an icon or cursor"),
    ((b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3"), "a video"),
    ((b"\x89HDF", b"CDF\1", b"CDF\2"), "a scientific data file"),
    ((b"DDS ", b"qoif", b"BPG\xfb", b"FLIF"), "an image of a format that revcd does not read"),
)
_VIDEOS = (b"isom", b"mp4", b"qt  ", b"m4v", b"avc1", b"3gp", b"iso", b"dash")
_TIFF_COMPRESSIONS = {
    **{1: "no", 2: "CCITT", 3: "CCITT", 4: "CCITT", 5: "LZW", 7: "JPEG", 8: "Deflate", 32773: "PackBits"},
    **{32946: "Deflate", 6: "old JPEG", 34661: "JBIG", 34712: "JPEG 2000", 33003: "JPEG 2000", 33005: "JPEG 2000"},
    **{34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL"},
}
_USUAL_COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946}  # which every build of Pillow decodes
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF, 0xF7}  # frame markers that Pillow cannot decode


def other_format(data: bytes, supported: str) -> str | None:
    """Return a phrase for a file of a known format that revcd does not read, or None."""
    start = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginnings, detail in _NOT_PHOTOS:
        if start.startswith(beginnings):
            return detail
    kind = next((kind for beginnings, kind in _OTHER_FORMATS if data.startswith(beginnings)), None)
    if data[128:132] == b"DICM":
        kind = "a DICOM image"
    if data[4:8] == b"ftyp" and data[8:12].lower().startswith(_VIDEOS):
        kind = "a video"
    if data[:4] == b"RIFF" and data[8:12] in (b"AVI ", b"WAVE"):
        kind = "a video or sound"
    if data[:1] == b"P" and data[1:2] in b"1234567" and data[2:3] in b" \n\r\t" and len(data) > 2:
        kind = "a PNM image"
    return kind and f"{kind}; export it as JPEG or PNG. Readable are {supported}"


def unreadable_variant(data: bytes) -> str | None:
    """Return a phrase for a valid TIFF or JPEG file of a variant that Pillow cannot decode, or None."""
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_variant(data)
    if data[:4] in (b"II+\0", b"MM\0+"):
        return "a BigTIFF; export it as TIFF or PNG"
    return _jpeg_variant(data) if data[:3] == b"\xff\xd8\xff" else None


def _tiff_variant(data: bytes) -> str | None:
    directories = read_directories(data)
    if not directories or not is_whole(data, directories[0]):
        return None
    tags = directories[0]
    bits, samples, compression = tags.get(BITS) or (1,), _first(tags, SAMPLES), _first(tags, COMPRESSION)
    named = _TIFF_COMPRESSIONS.get(compression, f"unknown ({compression})")
    depths = "/".join(map(str, dict.fromkeys(bits)))
    return (
        f"a TIFF of {samples} value{'s' * (samples > 1)} of {depths} bits per pixel with {named} compression, "
        "a variant that Pillow does not decode; export it as PNG"
    )


def has_unusual_compression(data: bytes) -> bool:
    """Return whether a file is a lossless JPEG, or a whole TIFF compressed by a method that Pillow may not decode."""
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg_variant(data) is not None
    directories = read_directories(data)
    if not directories or not is_whole(data, directories[0]):
        return False
    return _first(directories[0], COMPRESSION) not in _USUAL_COMPRESSIONS


def _first(tags: Tags, tag: int) -> int:
    """Return the first value of a tag, 1 if it is missing or its entry is damaged and has no values."""
    return (tags.get(tag) or (1,))[0]


def _jpeg_variant(data: bytes) -> str | None:
    place = 2
    while place + 9 < len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        is_frame = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if is_frame or marker == 0xF7:
            if marker in _LOSSLESS:
                return "a lossless JPEG, a variant that Pillow does not decode; export it as PNG"
            if data[place + 4] != 8:
                return f"a JPEG of {data[place + 4]} bits, a variant that Pillow does not decode; export it as PNG"
            return None
        if marker == 0xDA:
            return None
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None


def accepts(opener: Any, data: bytes) -> bool:
    """Return whether the beginning of the data fits a format of Pillow. opener: a value of `Image.OPEN`."""
    accept: Callable[[bytes], Any] | None = opener[1]
    return accept is not None and accept(data[:16]) is True


def declares_more(data: bytes) -> bool:
    """Return whether a WebP or TIFF file declares more bytes than it has; Pillow reports it as unidentified."""
    if data[:4] == b"RIFF" and len(data) >= 8:
        return struct.unpack_from("<I", data, 4)[0] + 8 > len(data)
    order = {b"II*\0": "<I", b"MM\0*": ">I"}.get(data[:4])
    if order and len(data) >= 8:
        return struct.unpack_from(order, data, 4)[0] + 2 > len(data)
    return False


def is_text(data: bytes) -> bool:
    """Return whether the beginning of the data is text in UTF-8."""
    start = data[:512]
    controls = bytes(range(9)) + bytes(range(14, 27)) + bytes(range(28, 32))
    if any(byte in controls for byte in start):
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4 and len(data) > len(start)  # only the last character is incomplete
    return True
