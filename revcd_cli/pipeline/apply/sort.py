"""Sort photos into a folder for each class, by copies or links. Photos are never moved or changed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import RevcdError, UsageError, listed
from .answers import Answer
from .undo import FILE, UndoList

UNSURE = "unsure"  # name of the folder
_CHUNK = 1 << 20
# What Windows, macOS or Linux do not allow in the name of a folder.
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_STOPS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # every further photo would fail, too


@dataclass(frozen=True)
class Placement:
    """A photo and the path that its copy or link gets, both absolute."""

    answer: Answer
    photo: Path
    target: Path


def absolute(path: str | Path) -> Path:
    """Return the absolute path without `..`; symbolic links are kept."""
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 (Path.resolve would follow links)


def common_folder(answers: Sequence[Answer]) -> Path:
    """Return the deepest folder that has all photos in it or below."""
    try:
        return Path(os.path.commonpath([absolute(answer.path).parent for answer in answers]))
    except ValueError:  # Windows: several drives
        raise UsageError(
            "The photos are on several drives, so they have no common folder.",
            hint="Classify and sort the photos of each drive in turn.",
        ) from None


def plan_sort(chosen: Sequence[Answer], folder: Path, root: Path) -> list[Placement]:
    """Return where each photo goes: folder/CLASS/PATH, with its path relative to `root`. Nothing is written.

    Raises `UsageError` if two classes would get one folder, or if a target exists.
    """
    names = _folder_names([answer.name for answer in chosen])
    folder = absolute(folder)
    placements = []
    for answer in chosen:
        photo = absolute(answer.path)
        placements.append(Placement(answer, photo, folder / names[answer.name] / photo.relative_to(root)))
    refuse_existing([placement.target for placement in placements])
    return placements


def refuse_existing(targets: Sequence[Path]) -> None:
    """Raise `UsageError` if one of the paths exists."""
    existing = [str(target) for target in targets if os.path.lexists(target)]
    if existing:
        raise UsageError(
            f"{len(existing):,} of {len(targets):,} files exist already, and nothing was written: "
            f"{listed(existing, 3)}.",
            hint="Choose another folder, or undo the earlier run: revcd apply --undo LIST",
        )


def _folder_names(names: Sequence[str | None]) -> dict[str | None, str]:
    found: dict[str | None, str] = {}
    owners: dict[str, str | None] = {}
    for name in dict.fromkeys(names):
        folder = UNSURE if name is None else _NOT_IN_NAMES.sub("_", name).strip().rstrip(".") or "_"
        if _DEVICE_NAMES.fullmatch(folder):
            folder += "_"
        owner = owners.setdefault(folder.casefold(), name)
        if owner != name:
            one, other = (f'"{each}"' if each is not None else "unsure photos" for each in (owner, name))
            raise UsageError(f'{one} and {other} would get the same folder, "{folder}".')
        found[name] = folder
    return found


def place(placement: Placement, how: str, undo: UndoList) -> None:
    """Copy or link one photo. Raises `OSError` if the photo cannot be read or the target exists.

    how: "copy", "hardlink" or "symlink". Raises `RevcdError` where no other photo could be placed either: a full or
    read-only disk, or links that the disk cannot hold.
    """
    photo, target = placement.photo, placement.target
    if not photo.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such photo")
    try:
        undo.add_folders(target.parent)
        if how == "copy":
            _copy(photo, target, undo)
            return
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "exists already")
        undo.add(FILE, target, photo=os.fspath(photo), how=how, sha256=None)
        if how == "hardlink":
            os.link(photo, target)
        else:
            target.symlink_to(photo)
    except OSError as error:
        links = how != "copy" and error.errno in {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK}
        if not links and error.errno not in _STOPS:
            raise
        hint = "Use --how copy: this disk cannot hold such links to these photos." if links else None
        raise RevcdError(f"{target}: cannot be written ({error.strerror or error}).", hint=hint) from error


def _copy(photo: Path, target: Path, undo: UndoList) -> None:
    """Copy a photo with its times. It appears at the target when it is complete; an existing file is not replaced."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".revcd-", suffix=".tmp")
    temporary, digest = Path(name), hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as copy, photo.open("rb") as original:
            while chunk := original.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
        with contextlib.suppress(OSError):  # a disk that keeps no times or modes
            shutil.copystat(photo, temporary)
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "exists already")
        undo.add(FILE, target, photo=os.fspath(photo), how="copy", sha256=digest.hexdigest())
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
