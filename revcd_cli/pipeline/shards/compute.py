"""Compute one shard and write its part: what every engine runs, in this process or in a worker."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ...data.features.parquet import write_tables
from ...data.features.shards import DIGEST, FEATURES, folder_at, part_name, read_manifest, read_part
from ...data.photos.passed_over import PassedOver
from ...data.storage import reference
from ...data.storage.image_table import ImageColumns
from ...data.storage.listing import Shard, open_shard
from ...errors import InputFileError, RevcdError
from ...system.storage_folder import StorageFolder
from ...version import __version__
from .jobs import Job, OnPhoto, Sources
from .report import KEY, Tally


@dataclass(frozen=True)
class Work:
    """What a worker needs besides the shard. digest: of the contract; cwd: folder of relative inputs, if there are."""

    job: Job
    folder: StorageFolder
    digest: str
    columns: ImageColumns
    cwd: str | None
    version: str = __version__


def compute_shard(work: Work, shard: Shard, on_photo: OnPhoto | None = None) -> Tally:
    """Compute a shard, write its part and return its counts.

    Raises `RevcdError` if the part cannot be written, or if this worker differs from where the run began.
    """
    if work.version != __version__:
        raise RevcdError(
            f"This worker has revcd {__version__}, and the run began with {work.version}.",
            hint="Install the same version of revcd on every node.",
        )
    passed = PassedOver()
    table, tally = work.job.shard_table(_sources(work, shard, passed), on_photo)
    tally.formats = passed.formats
    metadata = {**(table.schema.metadata or {}), DIGEST: work.digest.encode(), KEY: tally.to_metadata()}
    work.folder.write(part_name(shard.number), serialised(table.replace_schema_metadata(metadata)))
    return tally


def enter(work: Work) -> None:
    """Change to the working folder of the run, in a worker process. Raises `RevcdError` if it is not there."""
    if work.cwd is not None and Path.cwd() != Path(work.cwd):
        try:
            os.chdir(work.cwd)
        except OSError as error:
            raise RevcdError(
                f"{work.cwd}: this folder, to which the inputs are relative, is not on every node.",
                hint="Name the inputs by absolute paths that every node can read, or by addresses.",
            ) from error


def _sources(work: Work, shard: Shard, passed: PassedOver) -> Sources:
    first = shard.references[0]
    if first.kind != reference.FEATURES:
        return open_shard(shard, work.columns, passed)
    folder = folder_at(first.path)
    manifest = read_manifest(folder)
    if manifest is None or manifest["kind"] != FEATURES:
        raise InputFileError(first.path, "is no folder of features any more.")
    return read_part(folder, first.first, manifest)


def serialised(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file. Features hardly compress, so they are stored as they are."""
    stream = io.BytesIO()
    if "feature" in table.schema.names:
        write_tables(stream, [table])
    else:
        pq.write_table(table, stream, compression="zstd", write_page_checksum=True)
    return stream.getvalue()
