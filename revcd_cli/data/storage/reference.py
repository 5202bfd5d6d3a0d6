"""A reference to a photo, an archive or rows of a Parquet file: what a listing stores, and enough to open it later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...system.filesystems import repeated
from ..photos.image_source import remote_failure
from ..photos.images import ImageFailure

PHOTO, ARCHIVE, TABLE, FEATURES = "photo", "archive", "table", "features"
UNKNOWN = -1


@dataclass(frozen=True)
class Reference:
    """One line of a listing.

    kind: "photo", "archive" (zip or tar), "table" (Parquet file with image bytes) or "features" (a part of a folder of
    features). size: bytes, -1 if unknown. stamp: modification time in microseconds, "" if unknown. first, rows: the
    rows of a table.
    """

    kind: str
    path: str
    size: int = UNKNOWN
    stamp: str = ""
    first: int = 0
    rows: int = UNKNOWN

    @property
    def signature(self) -> str:
        """A text that changes when the bytes may have changed."""
        return f"{self.size}:{self.stamp}"


def stamp_of(info: Any) -> str:
    """Return the modification time of a `pyarrow.fs.FileInfo` in microseconds."""
    return "" if info.mtime_ns is None else str(info.mtime_ns // 1000)


def change_of(filesystem: Any, path: str, listed: Reference) -> ImageFailure | None:
    """Return the failure of an object that is not the one that was listed, None if it is."""
    from pyarrow import fs

    try:
        info = repeated(lambda: filesystem.get_file_info(path))
    except OSError as error:
        return remote_failure(error)
    if info.type != fs.FileType.File:
        return remote_failure(FileNotFoundError())
    return None if (info.size, stamp_of(info)) == (listed.size, listed.stamp) else changed(info.size, listed.size)


def changed(size: int, listed: int) -> ImageFailure:
    """Return the failure of a file whose size or time differs from the listing."""
    detail = f"has {size:,} bytes, and {listed:,} when it was listed" if size != listed else "was written again"
    return ImageFailure("changed", f"{detail}; list the photos again with --fresh")
