"""A photo in a file or an archive: its path, a signature that changes with it, and its bytes."""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

from ...errors import brief, is_address
from ..parts.part import Part
from .images import MAX_BYTES, PHOTO_SUFFIXES, ImageFailure, too_large

# Paths are text: pathlib would change `./a.jpg` to `a.jpg`, and an empty path to the current folder.
# ruff: noqa: PTH114, PTH116, PTH123

AN_ADDRESS = "an address of a kind that revcd does not read"

# Opening a pipe or device must not block.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class ImageSource:
    """A photo in a file or an archive.

    path: for output, '/'-separated: the user's argument joined with the path below it.
    signature: changes when the bytes may have changed ("size:mtime_ns:ctime_ns:inode" of a file); "" if they cannot be
    read.
    """

    path: str
    signature: str
    reader: Callable[[], bytes | ImageFailure] = field(repr=False, compare=False)
    part: Part | None = None  # what is classified of the file, if not the whole photo

    def read(self) -> bytes | ImageFailure:
        """Return the photo's bytes, at most `MAX_BYTES`, or a failure. Never blocks on a pipe."""
        return self.reader()


def failed_source(path: str, failure: ImageFailure) -> ImageSource:
    """Return a source whose `read()` returns the failure."""
    return ImageSource(path, "", lambda: failure)


def file_source(path: str, shown: str) -> ImageSource:
    """Return the source of a file. The file may be missing or unreadable."""
    return ImageSource(shown, _signature(path), functools.partial(read_file, path))


def _signature(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ""
    if not stat.S_ISREG(status.st_mode):
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def read_file(path: str) -> bytes | ImageFailure:
    """Return the bytes of a regular file, or a failure."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return ImageFailure("not_a_file", "a folder, pipe, socket or device, not a file")
        if status.st_size > MAX_BYTES:
            return too_large()
        with open(os.open(path, _OPEN_FLAGS), "rb") as stream:
            data = stream.read(MAX_BYTES + 1)  # the file may grow
    except OSError as error:
        return access_failure(path, error, missing="vanished")
    return data if len(data) <= MAX_BYTES else too_large()


def access_failure(path: str, error: OSError, *, missing: str) -> ImageFailure:
    """Return the failure for an OSError. missing: the reason for a path that does not exist."""
    if isinstance(error, PermissionError):
        return ImageFailure("permission", "no permission to read it")
    if error.errno == errno.ELOOP or (isinstance(error, FileNotFoundError) and os.path.islink(path)):
        return ImageFailure("not_a_file", "a broken link")
    if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno == errno.ENAMETOOLONG:
        if is_address(path):
            return ImageFailure(missing, AN_ADDRESS)
        detail = "no such file" if missing == "not_found" else "it was there when the photos were listed"
        return ImageFailure(missing, detail)
    return ImageFailure("decode_error", f"cannot be read: {error.strerror or error}")


def remote_failure(error: OSError) -> ImageFailure:
    """Return the failure for an error of object storage, after all attempts."""
    cause = error.__cause__ or error
    if isinstance(cause, FileNotFoundError):
        return ImageFailure("vanished", "it was there when the photos were listed")
    if isinstance(cause, PermissionError):
        return ImageFailure("permission", "no permission to read it")
    return ImageFailure("remote_error", f"the network or the storage failed: {brief(cause)}")


def is_photo_name(name: str) -> bool:
    """Return whether a file in a folder or archive is a photo by its name."""
    return name.lower().endswith(PHOTO_SUFFIXES)


def natural_key(path: str) -> tuple[object, ...]:
    """Return a sort key that puts photo2 before photo10, folder by folder. Equal only for equal paths."""
    return tuple((_natural_parts(name.casefold()), name) for name in path.split("/"))


def _natural_parts(name: str) -> tuple[object, ...]:
    # Text and digits alternate. Not int(): a name may have thousands of digits.
    parts: list[object] = re.split(r"([0-9]+)", name)
    for index in range(1, len(parts), 2):
        digits = str(parts[index]).lstrip("0")
        parts[index] = (len(digits), digits)
    return tuple(parts)
