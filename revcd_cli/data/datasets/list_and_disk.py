"""Compare the photos of `images.csv` with the files on the disk: other spellings, missing and unlisted photos."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import RevcdError, did_you_mean, listed
from ..findings import NOTE, WARNING, Finding
from ..photos.class_folders import class_of_photo, list_photos
from ..photos.passed_over import PassedOver, has_storage_part

_NAMED = 5  # names that a sentence lists


@dataclass(frozen=True)
class Located:
    """Where the photos of a list are on the disk."""

    paths: list[str]  # (N,) as on the disk; as listed if missing
    missing: list[int]  # positions of photos that are not on the disk
    unlisted: list[str]  # photos on the disk that the list does not have
    findings: list[Finding]


def locate_photos(root: Path, wanted: Sequence[str], rows: Mapping[str, int]) -> Located:
    """Find the photos of a list below a folder.

    A path that does not exist is tried again with "/" for "\\", in the normal form NFC of Unicode, and without regard
    to letter case; it must then fit one file only, which no other photo of the list has. rows: class number by
    `class_key`, for the unlisted photos.
    """
    passed = PassedOver()
    try:
        on_disk = list_photos(root, passed)
    except RevcdError:
        on_disk = []  # no photo at all
    known = set(on_disk)
    plain = ["/".join(part for part in path.split("/") if part not in ("", ".")) for path in wanted]
    found = [
        short if short in known else path if os.path.exists(root / path) else None  # noqa: PTH110
        for path, short in zip(wanted, plain, strict=True)
    ]
    taken = {path for path in found if path is not None}
    respelt = 0
    for key in (_as_on_disk, _any_case):
        respelt += _match(found, wanted, [path for path in on_disk if path not in taken], key)
        taken = {path for path in found if path is not None}
    missing = [place for place, path in enumerate(found) if path is None]
    unlisted = [path for path in on_disk if path not in taken]
    findings = passed.findings()
    if respelt:
        changed = tuple(
            path for path, short, used in zip(wanted, plain, found, strict=True) if used not in (None, path, short)
        )
        text = (
            f"{respelt:,} photos have another spelling in images.csv than on the disk (letter case, separator or "
            f"normal form of Unicode); the files on the disk are used: {listed(changed, _NAMED)}."
        )
        findings.append(Finding(NOTE, "other spelling", text, items=changed))
    if missing:
        names = [f"{wanted[place]}{did_you_mean(wanted[place], unlisted)}" for place in missing[:_NAMED]]
        text = (
            f"{len(missing):,} of {len(wanted):,} photos of images.csv are not in {root}: "
            f"{listed(names, _NAMED, total=len(missing))}."
        )
        findings.append(Finding(WARNING, "missing photos", text, items=tuple(wanted[place] for place in missing)))
    if unlisted:
        findings.append(_unlisted_finding(root, unlisted, rows))
    stored = tuple(path for path in wanted if has_storage_part(path))
    if stored:
        text = (
            f"{len(stored):,} photos of images.csv are in folders that storage systems make, probably small copies of "
            f"other photos: {listed(stored, _NAMED)}."
        )
        findings.append(Finding(WARNING, "listed storage files", text, "Remove their lines.", stored))
    paths = [listed_path if path is None else path for path, listed_path in zip(found, wanted, strict=True)]
    return Located(paths, missing, unlisted, findings)


def _match(found: list[str | None], wanted: Sequence[str], on_disk: Sequence[str], key: Callable[[str], str]) -> int:
    """Fill in the missing photos that fit exactly one file of the disk by a key, and return their number."""
    files: dict[str, list[str]] = defaultdict(list)
    for path in on_disk:
        files[key(path)].append(path)
    claims: dict[str, list[int]] = defaultdict(list)
    for place, path in enumerate(wanted):
        if found[place] is None and len(files.get(key(path), ())) == 1:
            claims[files[key(path)][0]].append(place)
    unique = {path: places[0] for path, places in claims.items() if len(places) == 1}
    for path, place in unique.items():
        found[place] = path
    return len(unique)


def _as_on_disk(path: str) -> str:
    normal = unicodedata.normalize("NFC", path).replace("\\", "/")
    return "/".join(part for part in normal.split("/") if part not in ("", "."))


def _any_case(path: str) -> str:
    return unicodedata.normalize("NFC", _as_on_disk(path).casefold())


def _unlisted_finding(root: Path, unlisted: Sequence[str], rows: Mapping[str, int]) -> Finding:
    of_class = [path for path in unlisted if class_of_photo(path, rows) is not None]
    others = sorted({PurePosixPath(path).parent.name or "." for path in unlisted if path not in set(of_class)})
    parts = [f"{len(of_class):,} in folders of classes"] if of_class else []
    if others:
        rest = len(unlisted) - len(of_class)
        parts.append(f"{rest:,} in folders that are no class of attributes.csv ({listed(others, _NAMED)})")
    text = f"{len(unlisted):,} photos in {root} are not in images.csv and are not used: {', '.join(parts)}."
    hint = f"To add those of classes: revcd data update {root}" if of_class else ""
    return Finding(WARNING, "unlisted photos", text, hint, tuple(unlisted))
