"""The journal of an extraction: the finished shards of an interrupted run, from which the next run resumes.

Next to the output F is the folder `F.partial/`:

- `manifest.json`: the settings that determine the result. A run with other settings is refused.
- `shard-000000.parquet`, ...: the photos 0-255 of the listing, 256-511 and so on (fewer per shard if a photo has many
  spatial tokens). A shard is written atomically, so a shard that exists is finished, and no index is needed.

A shard holds the path, the signature (size and modification time) and the outcome of each of its photos. It is reused
if it has the digest of the settings, if the listing has the same paths and signatures at its place, and if its failed
photos fail again for the same reason. Otherwise the whole shard is computed again. Interruptions
therefore change neither the batches of photos nor any bit of the features. The folder is removed when the output is
complete; other files in it are never removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ...config import BackboneRecord
from ...data.features.feature_set import FAILED, FeatureSet
from ...data.features.parquet import open_parquet, read_group, to_table, write_tables
from ...data.formats.path_encoding import decode_path
from ...data.photos.images import ImageFailure, decode_rgb
from ...data.photos.sources import ImageSource
from ...errors import InputFileError, RevcdError, UsageError
from ...system import files
from ..fingerprint import differences
from .stream import ExtractedPhoto

SHARD_ROWS = 256  # at most this many photos are computed twice after a kill
_SHARD_VALUES = 2**23  # feature values in a shard; a few copies of a shard are in memory
_LEAST_ROWS = 16  # fewer would make the batches too small
_DIGEST = b"revcd.settings"
_COLUMNS = ("path", "status", "reason", "sha256", "signature", "detail")


def partial_folder(output: Path) -> Path:
    """Return the folder of the journal of an output."""
    return output.with_name(f"{output.name}.partial")


def unfinished_settings(output: Path) -> dict[str, Any]:
    """Return the settings of the interrupted run of an output, {} if there is none or they cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        settings = json.loads((partial_folder(output) / "manifest.json").read_bytes())
        if isinstance(settings, dict):
            return settings
    return {}


@dataclass(frozen=True)
class Shard:
    """One shard: consecutive photos of the listing."""

    features: FeatureSet
    signatures: tuple[str, ...]
    details: tuple[str, ...]

    def holds(self, row: int, source: ImageSource) -> bool:
        """Return whether the row is still valid for the photo; a photo that failed is read again."""
        if row >= len(self.signatures):
            return False
        if (self.features.paths[row], self.signatures[row]) != (source.path, source.signature):
            return False
        return self.features.status[row] != FAILED or _fails_as(self.features.reason[row], source)

    def failures(self) -> list[tuple[str, str, str]]:
        """Return path, reason and detail of each photo that failed."""
        rows = zip(self.features.paths, self.features.status, self.features.reason, self.details, strict=True)
        return [(path, reason, detail) for path, status, reason, detail in rows if status == FAILED]


def _fails_as(reason: str, source: ImageSource) -> bool:
    data = source.read()
    outcome = data if isinstance(data, ImageFailure) else decode_rgb(data)
    return isinstance(outcome, ImageFailure) and outcome.reason == reason


@dataclass(frozen=True)
class Finished:
    """A shard of an earlier run that is reused."""

    rows: int
    failed: int
    listed: int  # hash of the paths and signatures of its photos


class Journal:
    """The shards of one output. Iteration yields their features in order, with one shard in memory at a time."""

    def __init__(self, output: Path, backbone: BackboneRecord, settings: dict[str, Any]) -> None:
        self.folder = partial_folder(output)
        self.backbone = backbone
        # As read back from the manifest, where tuples have become lists.
        self.settings = json.loads(json.dumps({**settings, "backbone": backbone.to_dict()}))
        self.digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        self.shard_rows = min(SHARD_ROWS, max(_LEAST_ROWS, _SHARD_VALUES // backbone.feature_dim))
        self.finished: dict[int, Finished] = {}  # of earlier runs
        self.shards = 0  # their number, known when every photo has its row

    def open(self, *, fresh: bool) -> None:
        """Start or resume. Raises `UsageError` if the shards have other settings; `fresh` removes them first."""
        if fresh:
            self.remove()
        earlier = self._manifest()
        if earlier is not None and earlier != self.settings:
            changed = "\n".join(f"  {difference}" for difference in differences(earlier, self.settings))
            raise UsageError(
                f"{self.folder}: holds an unfinished run with other settings:\n{changed}",
                hint="Repeat the earlier settings to resume, add --fresh to start over, or choose another output.",
            )
        for leftover in self.folder.glob(".revcd-*.tmp"):  # of a killed run: this run holds the lock
            leftover.unlink(missing_ok=True)

    @property
    def is_empty(self) -> bool:
        return not any(self.folder.glob("shard-*.parquet"))

    def survey(self, sources: Iterable[ImageSource]) -> None:
        """Read the listing and record which shards can be reused."""
        sources = iter(sources)
        for number in count():
            shard = self._current(number)
            listed, holds = [], True
            for row, source in enumerate(islice(sources, self.shard_rows)):
                listed.append((source.path, source.signature))
                holds = holds and shard is not None and shard.holds(row, source)
            if not listed:
                return
            if shard is not None and holds and len(listed) == len(shard.signatures):
                self.finished[number] = Finished(len(listed), len(shard.failures()), hash(tuple(listed)))

    def unfinished(self, sources: Iterable[ImageSource], numbers: deque[int]) -> Iterator[ImageSource]:
        """Yield the sources of the shards to compute; append the number of each shard to `numbers` before its first."""
        sources = iter(sources)
        for number in count():
            group = islice(sources, self.shard_rows)
            if number in self.finished:
                if hash(tuple((source.path, source.signature) for source in group)) != self.finished[number].listed:
                    raise RevcdError("The photos changed while they were listed.", hint="Run the command again.")
                continue
            first = next(group, None)
            if first is None:
                return
            numbers.append(number)
            yield first
            yield from group

    def write(self, number: int, photos: Sequence[ExtractedPhoto]) -> None:
        """Write one shard; the first also writes the manifest."""
        missing = np.full(self.backbone.feature_dim, np.nan, dtype=np.float32)
        block = FeatureSet(
            paths=tuple(photo.path for photo in photos),
            features=np.stack([missing if photo.feature is None else photo.feature for photo in photos]),
            status=tuple(photo.status for photo in photos),
            reason=tuple(photo.reason for photo in photos),
            sha256=tuple(photo.sha256 for photo in photos),
            backbone=self.backbone,
        )
        extra = {"signature": [p.signature for p in photos], "detail": [p.detail for p in photos]}
        table = to_table(block, extra)
        table = table.replace_schema_metadata({**table.schema.metadata, _DIGEST: self.digest.encode()})
        if not (self.folder / "manifest.json").exists():
            manifest = json.dumps(self.settings, indent=1, sort_keys=True)
            files.write_bytes(self.folder / "manifest.json", manifest.encode())
        with files.atomic_write(self._path(number)) as stream:
            write_tables(stream, [table])

    def load(self, number: int) -> Shard:
        """Read a shard. Raises `InputFileError` if it is missing, corrupt or of other settings."""
        path = self._path(number)
        if not path.is_file():
            raise InputFileError(path, "is missing.")
        with open_parquet(path) as (file, backbone):
            digest = file.schema_arrow.metadata.get(_DIGEST, b"").decode()
            if digest != self.digest or backbone != self.backbone or file.metadata.num_row_groups != 1:
                raise InputFileError(path, "is not a shard of this run.")
            names = file.schema_arrow.names
            if any(names.count(name) != 1 or file.schema_arrow.field(name).type != pa.string() for name in _COLUMNS):
                raise InputFileError(path, "has other columns than a shard.")
            features = np.empty((file.metadata.num_rows, backbone.feature_dim), dtype=np.float32)
            columns = read_group(path, file, 0, features).select(_COLUMNS)
        if any(columns[name].null_count for name in _COLUMNS):
            raise InputFileError(path, "has missing values.")
        text = {name: tuple(map(decode_path, columns[name].to_pylist())) for name in _COLUMNS}
        block = FeatureSet(text["path"], features, text["status"], text["reason"], text["sha256"], backbone)
        return Shard(block, text["signature"], text["detail"])

    def _current(self, number: int) -> Shard | None:
        with contextlib.suppress(InputFileError):
            return self.load(number)
        return None

    def __iter__(self) -> Iterator[FeatureSet]:
        return (self.load(number).features for number in range(self.shards))

    def remove(self) -> None:
        """Remove the files of the journal, and the folder unless it holds other files."""
        for pattern in ("shard-*.parquet", ".revcd-*.tmp", "manifest.json"):  # the manifest last: shards need it
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _manifest(self) -> dict[str, Any] | None:
        path = self.folder / "manifest.json"
        try:
            settings = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, OSError, RecursionError):
            settings = None
        if not isinstance(settings, dict):
            raise UsageError(f"{path}: cannot be read.", hint="Add --fresh to start over, or choose another output.")
        return settings

    def _path(self, number: int) -> Path:
        return self.folder / f"shard-{number:06d}.parquet"
