"""Photos that are sorted into folders by class: which there are, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ..classes.attributes import class_key
from .sources import iter_sources


def list_photos(root: Path) -> list[str]:
    """Return the photos below a folder as '/'-separated paths relative to it, sorted folder by folder.

    The order is that of plain text, in which the benchmarks' authors numbered their rows. Raises `RevcdError` if there
    is none.
    """
    prefix = root.as_posix()
    found = (source.path.removeprefix(prefix).lstrip("/") for source in iter_sources([str(root)]))
    return sorted(found, key=lambda path: path.split("/"))


def class_of_photo(path: str, rows: Mapping[str, int]) -> int | None:
    """Return the class whose folder a photo lies in, or None.

    rows: class number by `class_key`. The innermost folder counts; nested folders may spell one name together, as
    SUN's `b/bakery/shop` is the class `bakery_shop`.
    """
    folders = PurePosixPath(path).parts[:-1]
    for last in range(len(folders), 0, -1):
        for first in range(last):
            row = rows.get(class_key("_".join(folders[first:last])))
            if row is not None:
                return row
    return None


def short_path(path: str) -> str:
    """Return a photo's folder and name: what stays the same of its path wherever the data set lies."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
