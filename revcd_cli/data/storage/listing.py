"""List the inputs of a run over shards, and open the photos of one shard again from its lines of the listing."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...system.filesystems import is_remote
from ..photos.archives import archive_sources
from ..photos.image_source import ImageSource, failed_source, file_source
from ..photos.images import ImageFailure
from ..photos.passed_over import PassedOver
from ..photos.sources import expand_arguments, listed_paths, sources_at
from .image_table import ImageColumns, table_references, table_sources
from .objects import kind_of, remote_archive, remote_photos, remote_references
from .reference import PHOTO, TABLE, UNKNOWN, Reference, changed

_STDIN = "-"


@dataclass(frozen=True)
class Shard:
    """The inputs of one part of the output: an archive, rows of a table, or consecutive photos."""

    number: int
    references: tuple[Reference, ...]


def list_inputs(
    inputs: Sequence[str],
    *,
    columns: ImageColumns,
    shard_rows: int,
    stdin: BinaryIO | None = None,
    null_separated: bool = False,
    passed: PassedOver | None = None,
) -> Iterator[Reference]:
    """Yield a reference for each photo, archive and range of rows of the inputs, in order and without repetition.

    Inputs are those of `iter_sources`, object storage, and Parquet files with photos. passed: counts what is passed
    over in folders. Raises `UsageError` for inputs that do not exist.
    """
    arguments = expand_arguments(inputs)
    found = _all(arguments, columns, shard_rows, stdin, null_separated, passed)
    # One input names nothing twice; otherwise all paths are held in memory.
    return found if len(arguments) == 1 and arguments[0] != _STDIN else _unique(found)


def _all(
    arguments: Iterable[str],
    columns: ImageColumns,
    shard_rows: int,
    stdin: BinaryIO | None,
    null_separated: bool,
    passed: PassedOver | None,
) -> Iterator[Reference]:
    for argument in arguments:
        is_list = argument == _STDIN and stdin is not None
        for path in listed_paths(stdin, null_separated) if is_list and stdin is not None else (argument,):
            for reference in _references_at(path, passed):
                if reference.kind == TABLE:
                    yield from table_references(reference, columns, shard_rows)
                else:
                    yield reference


def _references_at(path: str, passed: PassedOver | None) -> Iterator[Reference]:
    if is_remote(path) and not os.path.lexists(path):
        yield from remote_references(path, passed)
        return
    kind = kind_of(path)
    if kind != PHOTO and Path(path).is_file():
        status = Path(path).stat()
        yield Reference(kind, path.replace(os.sep, "/"), status.st_size, str(status.st_mtime_ns // 1000))
        return
    for source in sources_at(path, passed):
        size, _, rest = source.signature.partition(":")
        changed_at = rest.partition(":")[0]
        if size and changed_at:
            yield Reference(PHOTO, source.path, int(size), str(int(changed_at) // 1000))
        else:
            yield Reference(PHOTO, source.path)


def _unique(references: Iterable[Reference]) -> Iterator[Reference]:
    seen: set[tuple[str, int]] = set()
    for reference in references:
        if (reference.path, reference.first) not in seen:
            seen.add((reference.path, reference.first))
            yield reference


def shards_of(references: Iterable[Reference], shard_rows: int) -> Iterator[Shard]:
    """Group the references: `shard_rows` consecutive photos, or one archive or range of rows, are a shard."""
    numbers = itertools.count()
    for is_photo, group in itertools.groupby(references, lambda reference: reference.kind == PHOTO):
        while some := tuple(itertools.islice(group, shard_rows if is_photo else 1)):
            yield Shard(next(numbers), some)


def open_shard(shard: Shard, columns: ImageColumns, passed: PassedOver | None = None) -> Iterator[ImageSource]:
    """Yield the photos of a shard, each to be read before the next one is requested.

    A file that is not the one that was listed gives a failed source with the reason "changed" or "vanished". passed:
    counts members of archives that are no photos.
    """
    for (kind, remote), group in itertools.groupby(shard.references, lambda each: (each.kind, is_remote(each.path))):
        if kind == PHOTO and remote:
            yield from remote_photos(group)
            continue
        for reference in group:
            if kind == PHOTO:
                yield _local_photo(reference)
            elif kind == TABLE:
                yield from table_sources(reference, columns)
            elif remote:
                yield from remote_archive(reference, passed)
            else:
                yield from _local_archive(reference, passed)


def _local_photo(reference: Reference) -> ImageSource:
    source = file_source(reference.path, reference.path)

    def read() -> bytes | ImageFailure:
        data = source.read()
        if isinstance(data, ImageFailure) or reference.size in (UNKNOWN, len(data)):
            return data
        return changed(len(data), reference.size)

    return ImageSource(source.path, source.signature, read)


def _local_archive(reference: Reference, passed: PassedOver | None) -> Iterator[ImageSource]:
    path = Path(reference.path)
    if path.is_file() and path.stat().st_size != reference.size:
        return iter([failed_source(reference.path, changed(path.stat().st_size, reference.size))])
    return archive_sources(reference.path, reference.path, passed)
