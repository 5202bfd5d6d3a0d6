"""Write the class of each photo as a keyword into its XMP sidecar, beside what is there."""

from __future__ import annotations

import base64
import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import RevcdError, UsageError, listed
from ...system.files import write_bytes
from .sort import Placement
from .undo import SIDECAR, UndoList, sha256_of
from .xmp import with_keyword

STYLES = ("auto", "a.xmp", "a.jpg.xmp")


@dataclass(frozen=True)
class Sidecar:
    """A sidecar to write, where its content begins from, and its keyword."""

    photo: Path  # which it lies beside
    path: Path
    begins_from: Path  # the sidecar that is there already; the path itself if there is none
    keyword: str


def plan_sidecars(placements: Sequence[Placement], style: str) -> list[Sidecar]:
    """Return the sidecar of each photo with a sure class. Nothing is written.

    It lies beside the sorted photo; where a placement has its photo as target, beside the photo. It begins from the
    sidecar of the photo if there is one. style: "a.xmp", "a.jpg.xmp", or "auto": the one that exists, otherwise a.xmp.
    Raises `UsageError` where photos with different classes share a sidecar.
    """
    planned, owners = [], {}  # type: tuple[list[Sidecar], dict[Path, Sidecar]]
    for placement in placements:
        if placement.answer.name is None:
            continue
        own = _path(placement.photo, style)
        path = placement.target.with_name(own.name)
        sidecar = Sidecar(placement.target, path, own if own.exists() else path, placement.answer.name)
        other = owners.setdefault(path, sidecar)
        if other.keyword != sidecar.keyword:
            raise UsageError(
                f"{other.photo.name} ({other.keyword}) and {sidecar.photo.name} ({sidecar.keyword}) share the sidecar "
                f"{path}.",
                hint="Use --sidecar a.jpg.xmp, which gives each photo its own.",
            )
        if other is sidecar:
            planned.append(sidecar)
    return planned


def _path(photo: Path, style: str) -> Path:
    short, long = photo.with_suffix(".xmp"), photo.with_name(f"{photo.name}.xmp")
    if style == "auto":
        return long if long.exists() and not short.exists() else short
    return short if style == "a.xmp" else long


def refuse_sorted_sidecars(sidecars: Sequence[Sidecar], photos: Sequence[Path]) -> None:
    """Raise `UsageError` if a sidecar would take the place of a sorted file or of an existing one beside it."""
    taken = set(photos)
    found = [str(each.path) for each in sidecars if each.path in taken or each.path.exists()]
    if found:
        raise UsageError(f"{len(found):,} sidecars exist already: {listed(found, 3)}.", hint="Choose another folder.")


def write_sidecar(sidecar: Sidecar, parents: tuple[str, ...], undo: UndoList) -> bool:
    """Write one sidecar, and return whether it was changed. Raises `OSError` or `ValueError` with the reason."""
    if not sidecar.photo.exists():
        raise FileNotFoundError(errno.ENOENT, "no such photo")
    before = sidecar.begins_from.read_bytes() if sidecar.begins_from.exists() else None
    data = with_keyword(before, sidecar.keyword, parents)
    moved = sidecar.begins_from != sidecar.path
    if data is None:
        if not moved or before is None:
            return False
        data = before  # the sorted photo gets a copy of the sidecar
    kept = None if before is None or moved else base64.b64encode(before).decode()
    undo.add(SIDECAR, sidecar.path, sha256=sha256_of(data), before=kept)
    try:
        write_bytes(sidecar.path, data)
    except RevcdError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC:
            raise
        raise ValueError(error.message) from error
    return True
