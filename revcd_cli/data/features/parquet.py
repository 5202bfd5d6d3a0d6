"""Read and write features as Parquet, one row per photo and one row group at a time.

Columns: `path` (see formats/path_encoding.py for names that are not UTF-8), `status`, `reason`, `sha256` of the photo's
bytes, and `feature`, a fixed-size list of D float32 values, all NaN if the photo failed. No value is null: pyarrow
below 26 cannot read null lists of a fixed size (revcd 0.1.0 wrote them). The schema's metadata has, under the key
`revcd`, the JSON of `feature_set.header`. Values hardly compress, so they are stored uncompressed; pages have
checksums.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...config import BackboneRecord
from ...errors import InputFileError
from ..formats.corrupt_files import reading
from ..formats.path_encoding import decode_path, encode_path
from .feature_set import EXTRACT_AGAIN, FAILED, FeatureSet, check_expansion, header, parse_header

_TEXT = ("path", "status", "reason", "sha256")
_KEY = b"revcd"


def to_table(features: FeatureSet, extra: Mapping[str, Iterable[str]] | None = None) -> pa.Table:
    """Return the rows as a table. extra: additional columns of text."""
    failed = np.array([status == FAILED for status in features.status], dtype=bool)
    vectors = np.where(failed[:, None], np.float32(np.nan), features.features)
    values = pa.array(np.ascontiguousarray(vectors).reshape(-1), type=pa.float32())
    columns: dict[str, pa.Array] = {
        "path": pa.array(map(encode_path, features.paths), type=pa.string()),
        "status": pa.array(features.status, type=pa.string()),
        "reason": pa.array(features.reason, type=pa.string()),
        "sha256": pa.array(features.sha256, type=pa.string()),
        "feature": pa.FixedSizeListArray.from_arrays(values, features.backbone.feature_dim),
    }
    for name, texts in (extra or {}).items():
        columns[name] = pa.array(map(encode_path, texts), type=pa.string())
    table = pa.table(columns)
    return table.replace_schema_metadata({_KEY: header(features.backbone)})


def write_tables(stream: BinaryIO, tables: Iterable[pa.Table]) -> None:
    """Write each table as one row group. All tables, at least one, have the same schema."""
    with contextlib.ExitStack() as stack:
        writer = None
        for table in tables:
            if writer is None:
                writer = pq.ParquetWriter(
                    stream,
                    table.schema,
                    compression="NONE",
                    use_dictionary=["status", "reason"],
                    write_page_checksum=True,
                )
                stack.enter_context(writer)
            writer.write_table(table, row_group_size=max(len(table), 1))


def write_parquet(stream: BinaryIO, blocks: Iterable[FeatureSet]) -> None:
    """Write each block as one row group."""
    write_tables(stream, map(to_table, blocks))


@contextlib.contextmanager
def open_parquet(path: Path | str, stream: BinaryIO | None = None) -> Iterator[tuple[pq.ParquetFile, BackboneRecord]]:
    """Open a feature file and check its schema. Corrupt data in the block raises `InputFileError`.

    stream: the open, seekable file, if it is not on this machine.
    """
    with (
        reading(path, "is not a readable Parquet file", hint=EXTRACT_AGAIN),
        pq.ParquetFile(path if stream is None else stream, page_checksum_verification=True) as file,
    ):
        size = Path(path).stat().st_size if stream is None else stream.seek(0, io.SEEK_END)
        yield file, _check_schema(path, file, size)


def _check_schema(path: Path | str, file: pq.ParquetFile, size: int) -> BackboneRecord:
    schema = file.schema_arrow
    text = (schema.metadata or {}).get(_KEY)
    if text is None:
        raise InputFileError(path, "does not name the backbone of its features.", hint=EXTRACT_AGAIN)
    backbone = parse_header(path, text.decode("utf-8", "replace"))
    expected = {**dict.fromkeys(_TEXT, pa.string()), "feature": pa.list_(pa.float32(), backbone.feature_dim)}
    for name, kind in expected.items():
        if schema.names.count(name) != 1:
            raise InputFileError(path, f'has no column "{name}" (or several).', hint=EXTRACT_AGAIN)
        if not schema.field(name).type.equals(kind):
            raise InputFileError(path, f'column "{name}" is {schema.field(name).type}; expected {kind}.')
    if file.metadata.num_rows > size:
        raise InputFileError(path, f"claims {file.metadata.num_rows:,} photos in {size:,} bytes; it is damaged.")
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    leaves = [column for group in groups for column in map(group.column, range(group.num_columns))]
    stored = [column for column in leaves if column.path_in_schema.startswith("feature.")]
    check_expansion(path, 4 * sum(c.num_values for c in stored), sum(c.total_compressed_size for c in stored))
    return backbone


def read_group(path: Path | str, file: pq.ParquetFile, number: int, out: np.ndarray) -> pa.Table:
    """Read the features of one row group into `out` (n, D), with NaN for failed photos, and return its table."""
    table = file.read_row_group(number)
    feature = table["feature"].combine_chunks()
    present = np.array(feature.is_valid().to_pylist(), dtype=bool)
    values = feature.flatten()  # of the rows that are not null
    ok = np.array([status != FAILED for status in table["status"].to_pylist()], dtype=bool)
    if values.null_count or any(table[name].null_count for name in _TEXT) or not present[ok].all():
        raise InputFileError(path, "has missing values; only the features of failed photos may be missing.")
    out[:] = np.nan
    # DLPack, because `to_numpy` imports pandas, in 0.3 s, where it is installed.
    out[present] = np.from_dlpack(values).reshape(-1, out.shape[1])
    out[~ok] = np.nan
    return table


def read_parquet(path: Path) -> FeatureSet:
    """Read features. Raises `InputFileError`."""
    with open_parquet(path) as (file, backbone):
        features = np.empty((file.metadata.num_rows, backbone.feature_dim), dtype=np.float32)
        text: dict[str, list[str]] = {name: [] for name in _TEXT}
        start = 0
        for number in range(file.metadata.num_row_groups):
            end = start + file.metadata.row_group(number).num_rows
            table = read_group(path, file, number, features[start:end])
            for name in _TEXT:
                text[name] += table[name].to_pylist()
            start = end
    return FeatureSet(
        paths=tuple(map(decode_path, text["path"])),
        features=features,
        status=tuple(text["status"]),
        reason=tuple(text["reason"]),
        sha256=tuple(text["sha256"]),
        backbone=backbone,
    )
