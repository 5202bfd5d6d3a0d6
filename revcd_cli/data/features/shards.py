"""Read a folder of shards with features as one feature set, and the manifest that says what belongs to it.

A folder of shards has `_manifest.json` (settings, number of shards), `_listing.parquet` (the inputs of each shard) and
a file `part-000123.parquet` for each finished shard. `pipeline.shards` writes it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...config import BackboneRecord
from ...errors import InputFileError, brief, listed
from ...system.filesystems import is_remote
from ...system.storage_folder import StorageFolder
from ..formats.path_encoding import decode_path
from .feature_set import FeatureSet, check_rows
from .parquet import open_parquet, read_group

MANIFEST, LISTING = "_manifest.json", "_listing.parquet"
DIGEST = b"revcd.settings"  # key in a part's metadata: the sha256 of the settings that gave it
FEATURES = "features"  # the kind of a folder that `revcd extract` wrote
_TEXT = ("path", "status", "reason", "sha256")
_PART = re.compile(r"part-(\d{6,})\.parquet")
_NAMED = 5


def part_name(number: int) -> str:
    """Return the name of a part."""
    return f"part-{number:06d}.parquet"


def part_number(name: str) -> int | None:
    """Return the number of a part by its name, None for other files."""
    match = _PART.fullmatch(name)
    return int(match[1]) if match else None


def is_shard_folder(path: str) -> bool:
    """Return whether a path is an address in object storage, or a folder with a manifest."""
    return is_remote(path) or (Path(path).expanduser() / MANIFEST).is_file()


def folder_at(path: str) -> StorageFolder:
    """Return the folder at a path, with or without a slash at its end."""
    return StorageFolder(path if path.endswith("/") else f"{path}/")


def read_manifest(folder: StorageFolder) -> dict[str, Any] | None:
    """Return the manifest, None if there is none. Raises `InputFileError` if it cannot be read."""
    path = folder.address + MANIFEST
    try:
        manifest = json.loads(folder.read(MANIFEST))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(path, f"cannot be read ({brief(error)}).") from error
    if not isinstance(manifest, dict) or not {"digest", "kind", "settings", "shards"} <= manifest.keys():
        raise InputFileError(path, "is not the manifest of a folder of shards.")
    return manifest


def finished_manifest(folder: StorageFolder, kind: str) -> dict[str, Any]:
    """Return the manifest of a folder of which all parts are there, or raise `InputFileError`. kind: of its rows."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputFileError(folder.address, f"has no {MANIFEST}, so it is no folder of shards.")
    if manifest["kind"] != kind:
        raise InputFileError(folder.address, f"holds {manifest['kind']}, not {kind}.")
    there = {part_number(name) for name in folder.sizes()}
    missing = [part_name(number) for number in range(manifest["shards"]) if number not in there]
    if missing:
        raise InputFileError(
            folder.address,
            f"{len(missing):,} of {manifest['shards']:,} parts are missing: {listed(missing, _NAMED)}.",
            hint="Give the command that wrote the folder again; it computes the parts that are missing.",
        )
    return manifest


def read_feature_folder(path: str) -> FeatureSet:
    """Read all parts in order. Raises `InputFileError` for missing, damaged or foreign parts.

    All features are in memory: 4 bytes for each value of each photo.
    """
    folder = folder_at(path)
    manifest = finished_manifest(folder, FEATURES)
    counts, backbone = [], None
    for number in range(manifest["shards"]):
        with _open_part(folder, number, manifest) as part:
            counts.append(part.file.metadata.num_rows)
            if backbone is not None and part.backbone != backbone:
                raise InputFileError(folder.address + part_name(number), "is of another backbone than the first part.")
            backbone = part.backbone
    if backbone is None or not sum(counts):
        raise InputFileError(folder.address, "has no photos.")
    features = np.empty((sum(counts), backbone.feature_dim), dtype=np.float32)
    text: dict[str, list[str]] = {name: [] for name in _TEXT}
    start = 0
    for number in range(manifest["shards"]):
        with _open_part(folder, number, manifest) as part:
            start = _fill(part, features, text, start)
    status, reason, sha256 = (tuple(text[name]) for name in _TEXT[1:])
    found = FeatureSet(tuple(map(decode_path, text["path"])), features, status, reason, sha256, backbone)
    return check_rows(folder.address, found)


def read_part(folder: StorageFolder, number: int, manifest: dict[str, Any]) -> FeatureSet:
    """Read one part. Raises `InputFileError`."""
    with _open_part(folder, number, manifest) as part:
        features = np.empty((part.file.metadata.num_rows, part.backbone.feature_dim), dtype=np.float32)
        text: dict[str, list[str]] = {name: [] for name in _TEXT}
        _fill(part, features, text, 0)
        status, reason, sha256 = (tuple(text[name]) for name in _TEXT[1:])
        found = FeatureSet(tuple(map(decode_path, text["path"])), features, status, reason, sha256, part.backbone)
        return check_rows(part.path, found)


class _Part(NamedTuple):
    path: str
    file: pq.ParquetFile
    backbone: BackboneRecord


@contextlib.contextmanager
def _open_part(folder: StorageFolder, number: int, manifest: dict[str, Any]) -> Iterator[_Part]:
    path = folder.address + part_name(number)
    try:
        with folder.open(part_name(number)) as stream, open_parquet(path, stream) as (file, backbone):
            if file.schema_arrow.metadata.get(DIGEST, b"").decode() != manifest["digest"]:
                raise InputFileError(
                    path,
                    "was computed with other settings than the manifest's.",
                    hint="Give the command that wrote the folder again; it computes this part again.",
                )
            yield _Part(path, file, backbone)
    except (OSError, pa.ArrowException) as error:
        raise InputFileError(path, f"cannot be read ({brief(error)}).") from error


def _fill(part: _Part, features: np.ndarray, text: dict[str, list[str]], start: int) -> int:
    for group in range(part.file.metadata.num_row_groups):
        end = start + part.file.metadata.row_group(group).num_rows
        table = read_group(part.path, part.file, group, features[start:end])
        for name in _TEXT:
            text[name] += table[name].to_pylist()
        start = end
    return start
