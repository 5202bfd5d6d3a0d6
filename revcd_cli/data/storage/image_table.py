"""Photos in Parquet files: a column of encoded bytes, or of structs {bytes, path} as Hugging Face datasets write it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import InputFileError, RevcdError, brief, listed
from ...system.filesystems import RemoteReadError, is_remote, open_filesystem
from ...system.remote_file import RemoteFile
from ..photos.image_source import ImageSource, access_failure, failed_source, remote_failure
from ..photos.images import ImageFailure
from .reference import TABLE, Reference, change_of, changed

_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class ImageColumns:
    """The columns of Parquet files with photos. image: encoded bytes; key: names of the photos, unique in each file."""

    image: str = "image"
    key: str | None = None


def table_references(reference: Reference, columns: ImageColumns, shard_rows: int) -> Iterator[Reference]:
    """Yield references to ranges of at most `shard_rows` rows of a Parquet file.

    Raises `InputFileError` for a file that is not Parquet, or has no such columns.
    """
    with _explained(reference.path), _open(reference) as stream, pq.ParquetFile(stream) as file:
        _check_columns(reference.path, file.schema_arrow, columns)
        total = file.metadata.num_rows
    for first in range(0, total, shard_rows):
        rows = min(shard_rows, total - first)
        yield Reference(TABLE, reference.path, reference.size, reference.stamp, first, rows)


def table_sources(reference: Reference, columns: ImageColumns) -> Iterator[ImageSource]:
    """Yield the photos of a range of rows, named `FILE/KEY`, or `FILE/NUMBER` from 0 without keys.

    A file that cannot be read to its end gives one failed source for the rest.
    """
    failure = _change(reference)
    if failure is not None:
        yield failed_source(reference.path, failure)
        return
    try:
        with _open(reference) as stream, pq.ParquetFile(stream, buffer_size=1 << 20) as file:
            for number, image, key in _rows(file, reference, columns):
                data, name = image, key
                if isinstance(image, dict):
                    data, name = image.get("bytes"), key or image.get("path")
                path = f"{reference.path}/{name or f'{number:09d}'}"
                if data is None:
                    yield failed_source(path, ImageFailure("empty_file", "has no bytes in the table"))
                else:
                    yield ImageSource(path, reference.signature, lambda data=data: data)  # type: ignore[misc]
    except (OSError, pa.ArrowException) as error:
        yield failed_source(f"{reference.path}/{reference.first:09d}-", _failure(reference.path, error))


def _rows(file: pq.ParquetFile, reference: Reference, columns: ImageColumns) -> Iterator[tuple[int, Any, Any]]:
    """Yield number, image and key of the rows of the reference; only the row groups that have them are read."""
    first, end = reference.first, reference.first + reference.rows
    names = [columns.image, *([columns.key] if columns.key else [])]
    start = 0
    for group in range(file.metadata.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if start < end and start + count > first:
            number = start
            for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=names):
                if number < end and number + len(batch) > first:
                    images = batch.column(columns.image).to_pylist()
                    keys = batch.column(columns.key).to_pylist() if columns.key else [None] * len(batch)
                    for row in range(max(first - number, 0), min(end - number, len(batch))):
                        yield number + row, images[row], keys[row]
                number += len(batch)
        start += count


def _check_columns(path: str, schema: pa.Schema, columns: ImageColumns) -> None:
    for name, option in ((columns.image, "--image-column"), (columns.key, "--key-column")):
        if name is not None and schema.names.count(name) != 1:
            names = listed(schema.names, 10)
            raise InputFileError(path, f'has no column "{name}". Its columns: {names}.', hint=f"Name it with {option}.")
    kind = schema.field(columns.image).type
    has_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if pa.types.is_struct(kind):
        has_bytes = kind.get_field_index("bytes") >= 0
    if not has_bytes:
        raise InputFileError(path, f'column "{columns.image}" is {kind}; expected encoded photos as bytes.')


@contextlib.contextmanager
def _open(reference: Reference) -> Iterator[Any]:
    if not is_remote(reference.path):
        with Path(reference.path).open("rb") as stream:
            yield stream
        return
    filesystem, path = open_filesystem(reference.path)
    with io.BufferedReader(RemoteFile(filesystem, path, reference.size), 1 << 16) as stream:
        yield stream


def _change(reference: Reference) -> ImageFailure | None:
    if is_remote(reference.path):
        return change_of(*open_filesystem(reference.path), reference)
    try:
        size = Path(reference.path).stat().st_size
    except OSError as error:
        return access_failure(reference.path, error, missing="vanished")
    return None if size == reference.size else changed(size, reference.size)


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except RemoteReadError as error:
        raise RevcdError(f"{path}: cannot be read ({brief(error)}).") from error
    except (OSError, pa.ArrowException) as error:
        raise InputFileError(path, f"is not a readable Parquet file ({brief(error)}).") from error


def _failure(path: str, error: Exception) -> ImageFailure:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, RemoteReadError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, RemoteReadError):
        return remote_failure(cause)
    if isinstance(error, OSError) and error.errno is not None:
        return access_failure(path, error, missing="vanished")
    return ImageFailure("corrupt", f"the rest of the table cannot be read: {brief(error)}")
