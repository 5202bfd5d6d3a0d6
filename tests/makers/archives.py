"""Zip and tar archives of given members, and zips with one damaged header field."""

from __future__ import annotations

import io
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path

Content = dict[str, bytes]


def make_zip(path: str, content: Content, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # about duplicate names
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name.rstrip("!")), data, method)
    return Path(path).read_bytes()


def open_tar(path: str) -> tarfile.TarFile:
    suffix = Path(path).suffix[1:]
    return tarfile.open(path, "w:" + {"tar": "", "tgz": "gz"}.get(suffix, suffix))


def make_tar(path: str, content: Content) -> bytes:
    with open_tar(path) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name.rstrip("!"))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return Path(path).read_bytes()


def in_directory(data: bytes, offset: int, new: bytes) -> bytes:
    """Patch a field of the first entry of a zip's central directory, and the same field of the local header."""
    central = data.index(b"PK\x01\x02")
    data = data[: central + offset] + new + data[central + offset + len(new) :]
    return data[: offset - 2] + new + data[offset - 2 + len(new) :]


ZIP_FLAGS, ZIP_METHOD, ZIP_CRC, ZIP_SIZE = 8, 10, 16, 24
BAD_ZIPS = {
    "encrypted": (ZIP_FLAGS, struct.pack("<H", 1), "permission"),
    "unknown-compression": (ZIP_METHOD, struct.pack("<H", 77), "unsupported_format"),
    "bad-checksum": (ZIP_CRC, b"\0\0\0\0", "corrupt"),
    "declares-too-much": (ZIP_SIZE, struct.pack("<I", 0xFFFF0000), "too_large"),
    "declares-too-little": (ZIP_SIZE, struct.pack("<I", 1), "corrupt"),
}
