"""List photos in class folders, and find the class of a photo from its path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ..classes.attributes import find_class
from .passed_over import PassedOver
from .sources import iter_sources


def list_photos(root: Path, passed: PassedOver | None = None) -> list[str]:
    """Return the photos below a folder as relative '/'-separated paths, sorted by folder and name as plain text.

    The rows of the benchmarks have this order. passed: counts the files that are no photos. Raises `RevcdError` if
    there is no photo.
    """
    prefix = root.as_posix()
    found = (source.path.removeprefix(prefix).lstrip("/") for source in iter_sources([str(root)], passed=passed))
    return sorted(found, key=lambda path: path.split("/"))


def class_of_photo(path: str, rows: Mapping[str, int]) -> int | None:
    """Return the class of the folder that contains a photo, or None.

    rows: class number by `class_key`. The innermost folder counts. Nested folders may form one name: SUN's
    `b/bakery/shop` is the class `bakery_shop`.
    """
    folders = PurePosixPath(path).parts[:-1]
    for last in range(len(folders), 0, -1):
        for first in range(last):
            row = find_class("_".join(folders[first:last]), rows)
            if row is not None:
                return row
    return None


def short_path(path: str) -> str:
    """Return the last folder and the name of a photo, which do not depend on the location of the dataset."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
