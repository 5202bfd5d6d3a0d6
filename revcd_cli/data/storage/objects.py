"""List photos and archives in object storage, and open them: objects one by one, tar and zip files as streams."""

from __future__ import annotations

import fnmatch
import functools
import io
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, cast

from ...errors import RevcdError, UsageError, brief
from ...system.filesystems import open_filesystem, read_object, repeated
from ...system.remote_file import RemoteFile
from ..photos.archives import is_archive_name, stream_sources
from ..photos.image_source import ImageSource, failed_source, is_photo_name, natural_key, remote_failure
from ..photos.images import MAX_BYTES, ImageFailure, too_large
from ..photos.passed_over import PassedOver, is_storage_name
from ..photos.raw_previews import is_raw_name
from .prefetch import prefetched
from .reference import ARCHIVE, PHOTO, TABLE, Reference, change_of, changed, stamp_of

_WILD = "*?["
_FOLDERS_AHEAD = 8  # listings of folders at a time


def kind_of(path: str) -> str:
    """Return the kind of a file that was named by the user, by its suffix."""
    if is_archive_name(path):
        return ARCHIVE
    return TABLE if path.lower().endswith(".parquet") else PHOTO


def remote_references(address: str, passed: PassedOver | None = None) -> Iterator[Reference]:
    """Yield what an address names: an object, the photos below a folder, or what a pattern (`*`, `?`, `**`) matches.

    The order and the rules are those of local folders; passed counts what is passed over. The next few folders are
    listed ahead, because each takes at least one request. Raises `UsageError` if there is nothing at the address, and
    `RevcdError` if it cannot be listed.
    """
    filesystem, path = open_filesystem(address)
    prefix = address[: address.index("://") + 3]
    if not path.strip("/"):
        raise UsageError(f"{address}: names no folder.")
    pool = ThreadPoolExecutor(_FOLDERS_AHEAD, thread_name_prefix="revcd-listing")
    try:
        walk = _Walk(filesystem, prefix, path, address, PassedOver() if passed is None else passed, pool)
        yield from _named(walk, path, address)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _named(walk: _Walk, path: str, address: str) -> Iterator[Reference]:
    info = walk.info(path)
    if walk.is_file(info):
        yield walk.reference(info)
    elif walk.is_folder(info):
        yield from walk.photos(walk.entries(path))
    elif any(character in path for character in _WILD):
        parts = path.split("/")
        fixed = next(place for place, part in enumerate(parts) if any(character in part for character in _WILD))
        found = False
        for reference in walk.matches(walk.entries("/".join(parts[:fixed])), parts[fixed:]):
            found = True
            yield reference
        if not found:
            raise UsageError(
                f"{address}: nothing matches this pattern.", hint="Check the folder; ** enters subfolders."
            )
    else:
        raise UsageError(f"{address}: there is no such file or folder.", hint="Check the bucket and the path.")


class _Walk:
    """A listing of one address."""

    def __init__(
        self, filesystem: Any, prefix: str, path: str, address: str, passed: PassedOver, pool: ThreadPoolExecutor
    ) -> None:
        from pyarrow import fs

        self._fs, self._filesystem, self._passed, self._pool = fs, filesystem, passed, pool
        # hdfs has its authority in the address only, others have the bucket in the path.
        given = address.removeprefix(prefix).rstrip("/")
        self._prefix = prefix + given[: len(given) - len(path.lstrip("/"))]
        self._address = address

    def is_file(self, info: Any) -> bool:
        return info.type == self._fs.FileType.File

    def is_folder(self, info: Any) -> bool:
        return info.type == self._fs.FileType.Directory

    def info(self, path: str) -> Any:
        return self._call(lambda: self._filesystem.get_file_info(path))

    def reference(self, info: Any) -> Reference:
        shown = self._prefix + info.path.lstrip("/")
        return Reference(kind_of(info.path), shown, info.size, stamp_of(info))

    def photos(self, entries: Iterable[Any]) -> Iterator[Reference]:
        """Yield the photos among the entries of a folder, and in its subfolders."""
        for info, inside in self._opened(entries, self._is_entered):
            if is_storage_name(info.base_name):
                self._passed.storage[info.base_name] += 1
            elif self.is_folder(info):
                yield from self.photos(inside)
            elif is_photo_name(info.base_name):
                yield Reference(PHOTO, self._prefix + info.path.lstrip("/"), info.size, stamp_of(info))
            else:
                self._passed.add_file(info.base_name, is_raw=is_raw_name(info.base_name))

    def matches(self, entries: Sequence[Any], parts: Sequence[str]) -> Iterator[Reference]:
        """Yield the files below a folder that a pattern matches, and the photos in folders that it matches."""
        part, rest = parts[0], list(parts[1:])
        if part == "**":  # no folder, or one more
            while rest[:1] == ["**"]:
                rest = rest[1:]
            if not rest:
                yield from self.photos(entries)
                return
            yield from self.matches(entries, rest)
            for _, inside in self._opened(filter(self._is_entered, entries), self._is_entered):
                yield from self.matches(inside, parts)
            return
        matching = [info for info in entries if fnmatch.fnmatchcase(info.base_name, part)]
        for info, inside in self._opened(matching, self.is_folder):
            if rest:
                yield from self.matches(inside, rest) if self.is_folder(info) else ()
            else:
                yield from self.photos(inside) if self.is_folder(info) else (self.reference(info),)

    def _is_entered(self, info: Any) -> bool:
        return self.is_folder(info) and not is_storage_name(info.base_name)

    def _opened(self, infos: Iterable[Any], is_opened: Callable[[Any], bool]) -> Iterator[tuple[Any, list[Any]]]:
        """Yield each info with the entries of its folder if it is opened, listed ahead, or else with none."""
        infos = list(infos)
        folders = (self._pool.submit(self.entries, info.path) for info in infos if is_opened(info))
        coming = deque(itertools.islice(folders, _FOLDERS_AHEAD))
        for info in infos:
            if not is_opened(info):
                yield info, []
                continue
            found = coming.popleft().result()
            coming.extend(itertools.islice(folders, 1))
            yield info, found

    def entries(self, path: str) -> list[Any]:
        """Return what is in a folder, in natural order."""
        found = self._call(lambda: self._filesystem.get_file_info(self._fs.FileSelector(path)))
        # A "file" without a name, or of the folder's own name, marks an empty folder.
        named = [info for info in found if info.base_name and info.path.rstrip("/") != path.rstrip("/")]
        return sorted(named, key=lambda info: natural_key(info.base_name))

    def _call(self, call: Any) -> Any:
        try:
            return repeated(call)
        except OSError as error:
            raise RevcdError(
                f"{self._address}: cannot be listed ({brief(error)}).",
                hint="Check the address, the credentials in the environment and the connection.",
            ) from error


def remote_photos(references: Iterable[Reference]) -> Iterator[ImageSource]:
    """Yield the sources of objects, read ahead by many threads."""
    return prefetched((_photo(reference), reference.size) for reference in references)


def _photo(reference: Reference) -> ImageSource:
    return ImageSource(reference.path, reference.signature, functools.partial(_read, reference))


def _read(reference: Reference) -> bytes | ImageFailure:
    if reference.size > MAX_BYTES:
        return too_large()
    try:
        filesystem, path = open_filesystem(reference.path)
        data = read_object(filesystem, path, MAX_BYTES + 1)
    except OSError as error:
        return remote_failure(error)
    return data if len(data) == reference.size else changed(len(data), reference.size)


def remote_archive(reference: Reference, passed: PassedOver | None = None) -> Iterator[ImageSource]:
    """Yield the photos of an archive in object storage, which must be read in order; see `archive_sources`."""
    filesystem, path = open_filesystem(reference.path)
    failure = change_of(filesystem, path, reference)
    if failure is not None:
        yield failed_source(reference.path, failure)
        return
    with io.BufferedReader(RemoteFile(filesystem, path, reference.size), 1 << 20) as stream:
        yield from stream_sources(cast(BinaryIO, stream), reference.path, reference.size, reference.stamp, passed)


def open_remote(address: str, passed: PassedOver | None = None) -> Iterator[ImageSource]:
    """Yield the photos that an address names, see `remote_references`; archives are read in order.

    Raises `UsageError` for a Parquet file, whose columns must be named.
    """
    for kind, group in itertools.groupby(remote_references(address, passed), lambda reference: reference.kind):
        if kind == PHOTO:
            yield from remote_photos(group)
            continue
        for reference in group:
            if kind == TABLE:
                raise UsageError(
                    f"{reference.path}: is a Parquet file.",
                    hint="Photos in Parquet files are read if the output is a folder of shards: -o folder/",
                )
            yield from remote_archive(reference, passed)
