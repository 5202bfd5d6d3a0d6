"""The manifest and the listing of a folder of shards: what every worker and every later run must agree on."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...data.features.shards import LISTING, MANIFEST, part_number, read_manifest
from ...data.formats.path_encoding import decode_path, encode_path
from ...data.storage.listing import Shard, shards_of
from ...data.storage.reference import Reference
from ...errors import InputFileError, UsageError, brief
from ...system.filesystems import is_remote
from ...system.storage_folder import StorageFolder
from ...version import __version__
from ..fingerprint import differences

FORMAT = 1
_ROWS_AT_ONCE = 65_536  # of the listing in memory
_SCHEMA = pa.schema(
    [
        ("shard", pa.int64()),
        ("kind", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("stamp", pa.string()),
        ("first", pa.int64()),
        ("rows", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Contract:
    """What determines the parts of a folder.

    kind: of the rows, "features" or "predictions"; settings: JSON values; listing_sha256: of the lines of the listing;
    shards: their number; photos: None if archives do not tell; folder: the working folder if inputs are relative to it.
    """

    kind: str
    settings: dict[str, Any]
    listing_sha256: str
    shards: int
    photos: int | None
    folder: str | None

    @property
    def digest(self) -> str:
        """The sha256 of everything that determines the bytes of the parts."""
        values = {"kind": self.kind, "settings": self.settings, "listing": self.listing_sha256, "revcd": __version__}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def write(self, folder: StorageFolder) -> None:
        """Write the manifest."""
        values = {"format": FORMAT, "revcd": __version__, "digest": self.digest, **asdict(self)}
        folder.write(MANIFEST, json.dumps(values, indent=1, sort_keys=True).encode() + b"\n")


def read_contract(folder: StorageFolder) -> Contract | None:
    """Return the contract of a folder, None if it has none. Raises `InputFileError` or `UsageError`."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    path = folder.address + MANIFEST
    if manifest.get("format") != FORMAT or manifest.get("revcd") != __version__:
        raise UsageError(
            f"{path}: was written by revcd {manifest.get('revcd')} and not by {__version__}.",
            hint="Finish it with that version, add --fresh to start over, or choose another output.",
        )
    try:
        fields = ("kind", "settings", "listing_sha256", "shards", "photos", "folder")
        contract = Contract(**{name: manifest[name] for name in fields})
    except KeyError as error:
        raise InputFileError(path, f"has no {error}.", hint="Add --fresh to start over.") from error
    if contract.digest != manifest["digest"]:
        raise InputFileError(path, "was changed: its digest does not fit its settings.", hint="Add --fresh.")
    return contract


def check_same(folder: StorageFolder, earlier: Contract, kind: str, settings: dict[str, Any], cwd: str) -> None:
    """Raise `UsageError` if a run has other settings than the folder, or another working folder of relative inputs."""
    found = differences({"kind": earlier.kind, **earlier.settings}, {"kind": kind, **settings})
    if found:
        changes = "\n".join(f"  {difference}" for difference in found)
        raise UsageError(
            f"{folder.address}: holds shards with other settings:\n{changes}",
            hint="Repeat the earlier settings to resume, add --fresh to start over, or choose another output.",
        )
    if earlier.folder is not None and earlier.folder != cwd:
        raise UsageError(
            f"{folder.address}: its inputs are relative to {earlier.folder}, and this command runs in {cwd}.",
            hint="Run the command in the same folder, or name the inputs by absolute paths.",
        )


def working_folder(inputs: Iterable[str], cwd: str) -> str | None:
    """Return the working folder if an input is relative to it."""
    return None if all(is_remote(given) or Path(given).expanduser().is_absolute() for given in inputs) else cwd


def write_listing(
    folder: StorageFolder, references: Iterable[Reference], shard_rows: int
) -> tuple[str, int, int | None]:
    """Write the listing; return its sha256, the number of shards and that of photos (None if not known)."""
    digest, shards = hashlib.sha256(), 0
    photos: int | None = 0

    def lines() -> Iterator[tuple[Any, ...]]:
        nonlocal shards, photos
        for shard in shards_of(references, shard_rows):
            shards = shard.number + 1
            for each in shard.references:
                count = each.rows if each.rows >= 0 else 1
                photos = None if photos is None or each.kind == "archive" else photos + count
                line = (shard.number, each.kind, encode_path(each.path), each.size, each.stamp, each.first, each.rows)
                digest.update(repr(line).encode())
                yield line

    rows = lines()
    with folder.writer(LISTING) as stream, pq.ParquetWriter(stream, _SCHEMA, compression="zstd") as writer:
        while some := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            columns = zip(*some, strict=True)
            arrays = [pa.array(column, type=field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
            writer.write_table(pa.table(arrays, schema=_SCHEMA))
    return digest.hexdigest(), shards, photos


def read_shards(folder: StorageFolder, contract: Contract) -> Iterator[Shard]:
    """Yield the shards of the listing, with a part of it in memory at a time. Raises `InputFileError`."""
    digest = hashlib.sha256()
    try:
        with folder.open(LISTING) as stream, pq.ParquetFile(stream) as file:
            lines = itertools.chain.from_iterable(_lines(file))
            for number, group in itertools.groupby(lines, lambda line: int(line[0])):
                some = list(group)
                for line in some:
                    digest.update(repr(line).encode())
                yield Shard(number, tuple(Reference(kind, decode_path(path), *rest) for _, kind, path, *rest in some))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputFileError(folder.address + LISTING, f"cannot be read ({brief(error)}).") from error
    if digest.hexdigest() != contract.listing_sha256:
        raise InputFileError(folder.address + LISTING, "is not the listing of the manifest.", hint="Add --fresh.")


def _lines(file: pq.ParquetFile) -> Iterator[list[tuple[Any, ...]]]:
    for batch in file.iter_batches(_ROWS_AT_ONCE):
        yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def remove_all(folder: StorageFolder) -> None:
    """Remove the manifest, the listing, the parts and the marks of a folder; other files stay."""
    for name in sorted(folder.sizes()):
        if name in (MANIFEST, LISTING) or part_number(name) is not None or name.startswith("_started-"):
            folder.remove(name)
