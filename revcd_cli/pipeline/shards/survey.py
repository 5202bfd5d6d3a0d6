"""Find out which parts of a folder are finished, from the names and the metadata of its files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from ...data.features.shards import DIGEST, part_name
from ...system.storage_folder import StorageFolder
from .report import KEY, Tally

_REQUESTS = 32  # at a time
_FOOTER = 1 << 16  # bytes, which hold the metadata of a part
AGAIN = "remote_error"  # photos that failed for this reason are read again by the next run


def finished_parts(folder: StorageFolder, digest: str, numbers: Iterable[int]) -> dict[int, Tally]:
    """Return the counts of the parts that need not be computed again, by number.

    A part counts if it is complete and was computed with the settings of this digest, and if no photo in it failed
    because of the network.
    """
    there = folder.sizes()
    wanted = [number for number in numbers if part_name(number) in there]

    def look(number: int) -> tuple[int, Tally | None]:
        return number, _tally(folder, number, digest)

    with ThreadPoolExecutor(_REQUESTS if folder.is_remote else 1) as pool:
        return {number: tally for number, tally in pool.map(look, wanted) if tally and not tally.reasons[AGAIN]}


def _tally(folder: StorageFolder, number: int, digest: str) -> Tally | None:
    with contextlib.suppress(OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        with folder.open(part_name(number), _FOOTER) as stream, pq.ParquetFile(stream) as file:
            metadata = file.schema_arrow.metadata or {}
        if metadata.get(DIGEST, b"").decode() == digest:
            return Tally.from_metadata(metadata[KEY])
    return None
