"""The journal of an extraction: shards of features in Parquet; see `pipeline.journal`.

A shard has fewer photos if a photo has many spatial tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from ...config import BackboneRecord
from ...data.features.feature_set import FAILED, FeatureSet
from ...data.features.parquet import open_parquet, read_group, write_tables
from ...data.features.shards import DIGEST
from ...data.formats.path_encoding import decode_path
from ...errors import InputFileError
from .. import journal
from .photo_table import photo_table
from .stream import ExtractedPhoto

_SHARD_VALUES = 2**23  # feature values in a shard; a few copies of a shard are in memory
_LEAST_ROWS = 16  # fewer would make the batches too small
_COLUMNS = ("path", "status", "reason", "sha256", "signature", "detail")


@dataclass(frozen=True)
class FeatureShard(journal.Shard):
    """The features of consecutive photos of the listing."""

    features: FeatureSet
    signatures: tuple[str, ...]
    details: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        return self.features.paths

    def failure(self, row: int) -> str | None:
        return self.features.reason[row] if self.features.status[row] == FAILED else None

    def failures(self) -> list[tuple[str, str, str]]:
        rows = zip(self.features.paths, self.features.status, self.features.reason, self.details, strict=True)
        return [(path, reason, detail) for path, status, reason, detail in rows if status == FAILED]


class FeatureJournal(journal.Journal[FeatureShard, ExtractedPhoto]):
    """The shards of a feature file. Iteration yields their features in order, with one shard in memory at a time."""

    suffix = ".parquet"

    def __init__(self, output: Path, backbone: BackboneRecord, settings: dict[str, Any]) -> None:
        rows = min(journal.SHARD_ROWS, max(_LEAST_ROWS, _SHARD_VALUES // backbone.feature_dim))
        super().__init__(output, {**settings, "backbone": backbone.to_dict()}, rows)
        self.backbone = backbone
        self.shards = 0  # their number, known when every photo has its row

    def _write_items(self, stream: BinaryIO, items: Sequence[ExtractedPhoto]) -> None:
        table = photo_table(items, self.backbone, ("signature", "detail"))
        table = table.replace_schema_metadata({**table.schema.metadata, DIGEST: self.digest.encode()})
        write_tables(stream, [table])

    def load(self, number: int) -> FeatureShard:
        path = self.path(number)
        if not path.is_file():
            raise InputFileError(path, "is missing.")
        with open_parquet(path) as (file, backbone):
            digest = file.schema_arrow.metadata.get(DIGEST, b"").decode()
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
        return FeatureShard(block, text["signature"], text["detail"])

    def __iter__(self) -> Iterator[FeatureSet]:
        return (self.load(number).features for number in range(self.shards))
