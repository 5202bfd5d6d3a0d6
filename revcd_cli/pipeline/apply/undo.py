"""The list of what `revcd apply` did, written while it works, and its undoing.

The list has JSON lines. Each is written before the change that it describes becomes visible, so that it is complete
also after a killed run. Nothing is undone that was changed since, and a sorted file is removed only if the photo that
it was made from is still there.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ...data.formats.path_encoding import decode_path, encode_path
from ...errors import InputFileError, RevcdError
from ...system.files import file_sha256, write_bytes

FORMAT = 1
FOLDER, FILE, SIDECAR = "folder", "file", "sidecar"
HOW = ("copy", "hardlink", "symlink")


class UndoList:
    """Writes the list. Open it with `open_undo_list`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def add(self, action: str, path: Path, **values: str | None) -> None:
        """Write one line. path: absolute; values: see `undo`."""
        line = {"action": action, "path": encode_path(str(path)), **values}
        self._stream.write(json.dumps(line).encode() + b"\n")
        self._stream.flush()

    def add_folders(self, folder: Path) -> None:
        """Create a folder and its missing parents, and list the new ones."""
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            self.add(FOLDER, new)
            new.mkdir(exist_ok=True)


@contextlib.contextmanager
def open_undo_list(path: Path) -> Iterator[UndoList]:
    """Create the list, and remove it if nothing was added. Raises `RevcdError` if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("xb")
    except OSError as error:
        raise RevcdError(f"{path}: cannot be written ({error.strerror or error}).") from error
    with stream:
        head = json.dumps({"revcd_undo": FORMAT}).encode() + b"\n"
        stream.write(head)
        stream.flush()
        try:
            yield UndoList(stream)
        finally:
            is_empty = stream.tell() == len(head)
    if is_empty:
        path.unlink()


def free_undo_path(answers: Path) -> Path:
    """Return the first free name beside the answers: a.undo.jsonl, a.undo-2.jsonl, ..."""
    stem, number = answers.with_suffix(""), 1
    while (path := stem.with_name(f"{stem.name}.undo{f'-{number}' if number > 1 else ''}.jsonl")).exists():
        number += 1
    return path


def sha256_of(data: bytes) -> str:
    """Return the hexadecimal sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


@dataclass
class Undone:
    """What was undone: the number of files removed and of sidecars restored, and what was left with the reason."""

    removed: int = 0
    restored: int = 0
    absent: int = 0  # no longer there, or never made
    left: list[tuple[Path, str]] = field(default_factory=list)


def undo(path: Path) -> Undone:
    """Undo what a list describes, last change first. The list is removed if nothing was left.

    Raises `InputFileError` for a file that is not such a list.
    """
    done = Undone()
    for line in reversed(_read(path)):
        target = Path(decode_path(line["path"]))
        try:
            if line["action"] == FOLDER:
                with contextlib.suppress(OSError):  # not empty, or not there
                    target.rmdir()
            elif not os.path.lexists(target):
                done.absent += 1
            elif line["action"] == FILE:
                _remove_file(target, line, done)
            else:
                _restore_sidecar(target, line, done)
        except OSError as error:
            done.left.append((target, error.strerror or str(error)))
    if not done.left:
        path.unlink()
    return done


def _remove_file(target: Path, line: dict[str, Any], done: Undone) -> None:
    photo = Path(decode_path(line["photo"]))
    if line["how"] == "symlink":
        is_same = target.is_symlink() and target.readlink() == photo
    elif target.is_symlink() or not target.is_file():
        is_same = False
    elif not photo.is_file():
        done.left.append((target, f"the photo that it was made from, {photo}, is no longer there"))
        return
    elif line["how"] == "hardlink":
        is_same = target.samefile(photo)
    else:
        is_same = file_sha256(target) == line["sha256"]
    if not is_same:
        done.left.append((target, "was changed since"))
        return
    target.unlink()
    done.removed += 1


def _restore_sidecar(target: Path, line: dict[str, Any], done: Undone) -> None:
    if target.is_symlink() or not target.is_file() or file_sha256(target) != line["sha256"]:
        is_old = line["before"] is not None and target.is_file() and target.read_bytes() == _bytes(line["before"])
        if is_old:  # the run was stopped before it wrote the sidecar
            done.absent += 1
        else:
            done.left.append((target, "was changed since"))
    elif line["before"] is None:
        target.unlink()
        done.removed += 1
    else:
        write_bytes(target, _bytes(line["before"]))
        done.restored += 1


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror or error}).") from error
    found: list[dict[str, Any]] = []
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
            is_valid = _is_valid(line, first=number == 1)
        except ValueError:
            if 1 < number == len(lines):  # cut short when the run was killed; its change was not made
                break
            is_valid = False
        if not is_valid:
            raise InputFileError(path, "is not a list that revcd apply wrote.", line=number)
        found.append(line)
    if not found:
        raise InputFileError(path, "is empty; it is not a list that revcd apply wrote.")
    return found[1:]


def _is_valid(line: Any, *, first: bool) -> bool:
    if not isinstance(line, dict):
        return False
    if first:
        return line.get("revcd_undo") == FORMAT
    needed = {FOLDER: (), FILE: ("photo", "how"), SIDECAR: ("sha256",)}.get(line.get("action", ""))
    if needed is None or not all(isinstance(line.get(name), str) for name in ("path", *needed)):
        return False
    if line["action"] == FILE:
        return line["how"] in HOW and (line["how"] != "copy" or isinstance(line.get("sha256"), str))
    return line["action"] == FOLDER or isinstance(line.get("before"), str | None)
