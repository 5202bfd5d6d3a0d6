"""Find the photos of a command line: files, folders, patterns, archives, and lists on standard input."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from ...errors import RevcdError, UsageError, is_address, listed
from ...system.filesystems import SCHEMES, check_address, is_remote
from ..storage.objects import open_remote
from .archives import archive_sources, is_archive_name, is_compressed_tar
from .image_source import (
    ImageSource,
    access_failure,
    failed_source,
    file_source,
    is_photo_name,
    natural_key,
)
from .images import PHOTO_SUFFIXES, SUPPORTED_TYPES, ImageFailure
from .passed_over import PassedOver, is_own_picture, is_storage_name
from .raw_previews import is_raw_name

__all__ = ["ImageSource", "count_sources", "iter_sources"]

# Paths are text: pathlib would change `./a.jpg` to `a.jpg`, and an empty path to the current folder.
# ruff: noqa: PTH111, PTH116, PTH118, PTH207

_STDIN = "-"


def iter_sources(
    inputs: Sequence[str],
    *,
    stdin: BinaryIO | None = None,
    null_separated: bool = False,
    passed: PassedOver | None = None,
) -> Iterator[ImageSource]:
    """Iterate lazily over the photos of the inputs, in order.

    A folder is searched recursively, in natural order (photo2 before photo10), for files with the suffix of a photo.
    Hidden files, files that storage systems make and plots of revcd are skipped; `passed` counts them and the files of
    other formats. A folder with several links to it is visited once. A file may have any name;
    `.zip` and `.tar[.gz|.bz2|.xz]` are replaced by their photos. Patterns (`*`, `?`, `[a-z]`, `**`) are expanded unless
    a file has that name. `-` is a list on `stdin`, one path per line, or separated by NUL if `null_separated`.

    Paths are unique: one that is named twice is used once. For an unreadable photo, `read()` returns the failure.
    Raises `UsageError`, before anything is read, if the only input does not exist, a pattern has no match, or standard
    input is a terminal. The iterator raises `RevcdError` if there is no photo at all.
    """
    arguments = expand_arguments(inputs)
    listed: BinaryIO | None = stdin or getattr(sys.stdin, "buffer", None)  # None if standard input is closed
    if _STDIN in arguments and listed is None:
        raise UsageError("Standard input is closed, so a list of photos cannot be read from it.")
    if _STDIN in arguments and listed is not None and listed.isatty():
        raise UsageError(
            "Standard input is a terminal, so a list of photos cannot be read from it.",
            hint="Pipe a list into it, for example: find photos -name '*.jpg' | revcd predict -",
        )
    sources = _sources(arguments, listed, null_separated, passed)
    # One folder or archive has no path twice; otherwise the paths are stored to compare them.
    single = len(arguments) == 1 and _STDIN not in arguments
    return _at_least_one(sources if single else _unique(sources), inputs)


def count_sources(inputs: Sequence[str], passed: PassedOver | None = None) -> int | None:
    """Count the sources without reading photos; None for standard input, compressed tars and object storage.

    passed: counts what is passed over, see `iter_sources`.
    """
    arguments = expand_arguments(inputs)
    if _STDIN in arguments or any(is_compressed_tar(argument) or is_remote(argument) for argument in arguments):
        return None
    return sum(1 for _ in iter_sources(inputs, passed=passed))


def expand_arguments(inputs: Sequence[str]) -> list[str]:
    """Return the paths, the addresses in object storage and the "-" that the inputs name; patterns are expanded.

    Raises `UsageError` for the only input if it does not exist, for a pattern without a match, and for other addresses.
    """
    if not inputs:
        raise UsageError("No photos are given.", hint="Name files, folders, patterns, archives, or - for a list.")
    arguments = [path for given in inputs for path in ([given] if given == _STDIN else _expand(given))]
    if len(arguments) == 1 and arguments[0] != _STDIN and not os.path.lexists(arguments[0]):
        if is_remote(arguments[0]):
            check_address(arguments[0])
            return arguments
        _refuse_address(inputs[0])
        raise UsageError(f"{inputs[0]}: no such file or folder.", hint="Check the path.")
    return arguments


def _expand(given: str) -> list[str]:
    if os.path.lexists(given):  # names may begin with ~ and contain [ or *
        return [given]
    path = os.path.expanduser(given)
    if os.path.lexists(path) or not any(character in path for character in "*?["):
        return [path]
    if is_remote(given):
        check_address(given)
        return [given]
    _refuse_address(given)
    matches = sorted(glob.glob(path, recursive=True), key=natural_key)
    if not matches:
        raise UsageError(
            f"{given}: no file matches this pattern.",
            hint="Check the folder, and quote the pattern so that the shell does not expand it; ** enters subfolders.",
        )
    return matches


def _refuse_address(given: str) -> None:
    if is_address(given):
        raise UsageError(
            f"{given}: is an address that revcd does not read; it reads files, folders and object storage "
            f"({', '.join(SCHEMES)}).",
            hint="Download the photos first, and name the file or folder."
            if not given.startswith("file://")
            else f"Write {given.removeprefix('file://')} instead.",
        )


def _sources(
    arguments: Iterable[str], stdin: BinaryIO | None, null_separated: bool, passed: PassedOver | None
) -> Iterator[ImageSource]:
    for argument in arguments:
        if argument == _STDIN and stdin is not None:
            for path in listed_paths(stdin, null_separated):
                yield from sources_at(path, passed)
        else:
            yield from sources_at(argument, passed)


def sources_at(path: str, passed: PassedOver | None) -> Iterator[ImageSource]:
    """Yield the photos of one path: a file, a folder, an archive, or an address in object storage."""
    if is_remote(path) and not os.path.lexists(path):
        yield from open_remote(path, passed)
        return
    shown = path.replace(os.sep, "/")
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        yield failed_source(shown, access_failure(path, error, missing="not_found"))
        return
    if stat.S_ISDIR(mode):
        yield from _folder_sources(path, passed)
    elif stat.S_ISREG(mode) and is_archive_name(path):
        yield from archive_sources(path, shown, passed)
    else:
        yield file_source(path, shown)


def _folder_sources(root: str, passed: PassedOver | None) -> Iterator[ImageSource]:
    visited: set[tuple[int, int]] = set()
    waiting = [(root, True)]
    while waiting:
        path, is_folder = waiting.pop()
        shown = path.replace(os.sep, "/")
        if not is_folder:
            yield file_source(path, shown)
            continue
        try:
            status = os.stat(path)
            entries = [] if (status.st_dev, status.st_ino) in visited else _entries(path, passed)
        except OSError as error:
            yield failed_source(shown, access_failure(path, error, missing="vanished"))
            continue
        if not entries and is_photo_name(path):
            yield failed_source(shown, ImageFailure("not_a_file", "an empty folder with a photo's name"))
        visited.add((status.st_dev, status.st_ino))
        waiting.extend(reversed(entries))


def _entries(folder: str, passed: PassedOver | None) -> list[tuple[str, bool]]:
    """Return (path, is a folder) of the photos and folders in a folder, in natural order."""
    with os.scandir(folder) as listing:
        entries = [(entry.name, _is_folder(entry)) for entry in listing]
    passed = PassedOver() if passed is None else passed
    chosen = []
    for name, is_folder in entries:
        if is_storage_name(name):
            passed.storage[name] += 1
        elif is_folder:
            chosen.append((name, True))
        elif not is_photo_name(name):
            passed.add_file(name, is_raw=is_raw_name(name))
        elif is_own_picture(os.path.join(folder, name)):
            passed.own += 1
        else:
            chosen.append((name, False))
    chosen.sort(key=lambda entry: natural_key(entry[0]))
    return [(os.path.join(folder, name), is_folder) for name, is_folder in chosen]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link
        return False


def listed_paths(stdin: BinaryIO, null_separated: bool) -> Iterator[str]:
    for number, record in enumerate(_null_records(stdin) if null_separated else stdin):
        path = record if null_separated else record.rstrip(b"\r\n")
        if number == 0:
            path = path.removeprefix(b"\xef\xbb\xbf")
        if b"\0" in path:
            raise UsageError(
                "The list on standard input contains NUL bytes, so it is not a list of lines in UTF-8.",
                hint="Add --null for a list separated by NUL, or save a UTF-16 list as UTF-8.",
            )
        if path.strip():
            decoded = os.fsdecode(path)
            yield decoded if os.path.lexists(decoded) else os.path.expanduser(decoded)


def _null_records(stdin: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while piece := stdin.read(1 << 16):
        *records, rest = (rest + piece).split(b"\0")
        yield from records
    yield rest


def _unique(sources: Iterable[ImageSource]) -> Iterator[ImageSource]:
    seen: set[str] = set()
    for source in sources:
        if source.path not in seen:
            seen.add(source.path)
            yield source


def _at_least_one(sources: Iterable[ImageSource], inputs: Sequence[str]) -> Iterator[ImageSource]:
    source = None
    for source in sources:
        yield source
    if source is None:
        places = listed(["standard input" if given == _STDIN else given for given in inputs], 3)
        raise RevcdError(
            f"{places}: no photo found.",
            hint=f"Readable are {SUPPORTED_TYPES}; in folders and archives by the suffixes {' '.join(PHOTO_SUFFIXES)}.",
        )
