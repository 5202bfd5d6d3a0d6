"""What the photos of a shard become: features here, predictions in `prediction_job`.

`shard_table` is the seam between a model and a run over shards: the sources of a shard go in, its table comes out.
A job travels to the workers of a run.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from ...backbones.backbone import Backbone, load_backbone
from ...config import BackboneRecord
from ...data.features.feature_set import FeatureSet
from ...data.photos.image_source import ImageSource
from ...errors import RevcdError
from ..extract.photo_table import photo_table
from ..extract.stream import measured_batch_size, stream_features
from .report import Tally

OnPhoto = Callable[[bool], None]
Sources = Iterable[ImageSource] | FeatureSet

LOADED: dict[str, Any] = {}  # the model that this process loaded last, by the key of its job


class Job(Protocol):
    """What the photos of a shard become."""

    kind: ClassVar[str]

    @property
    def workers(self) -> int | None:
        """Threads that decode photos."""

    def with_workers(self, workers: int) -> Job:
        """Return the job with this number of threads that decode photos; it does not change the rows."""

    def pinned(self, earlier: Mapping[str, Any]) -> Job:
        """Return the job with every automatic choice made, as the settings of an earlier run say, or now."""

    def settings(self) -> dict[str, Any]:
        """Return the settings that determine the rows, as JSON values."""

    def describe(self) -> str:
        """Return the model and the device of a pinned job in words."""

    def shard_table(self, sources: Sources, on_photo: OnPhoto | None = None) -> tuple[pa.Table, Tally]:
        """Return the rows of the photos, in order, and their counts. The same sources give the same bytes."""


@dataclass(frozen=True)
class FeatureJob:
    """Image features of a backbone, see `extract`. record: set when the job is pinned."""

    backbone: str = "auto"
    weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    tokens: bool = False
    batch_size: int | None = None
    workers: int | None = None
    record: BackboneRecord | None = None
    kind: ClassVar[str] = "features"

    def with_workers(self, workers: int) -> FeatureJob:
        """See `Job`."""
        return replace(self, workers=workers)

    def pinned(self, earlier: Mapping[str, Any]) -> FeatureJob:
        """See `Job`."""
        recorded = earlier.get("backbone") or {}
        device = chosen(self.device, earlier.get("device"))
        precision = chosen(self.precision, recorded.get("precision"))
        model = load_backbone(
            self.backbone, weights=self.weights, device=device, precision=precision, tokens=self.tokens
        )
        job = replace(
            self,
            backbone=model.record.tag,
            device=model.device.value.type if self.device == "auto" else self.device,
            precision=model.record.precision,
            batch_size=self.batch_size or earlier.get("batch_size") or measured_batch_size(model),
            record=model.record,
        )
        keep(job._key, model)
        return job

    def describe(self) -> str:
        """See `Job`."""
        tag = self.record.tag if self.record else self.backbone
        return f"backbone {tag}, {self.precision}, device {self.device}, batch size {self.batch_size}"

    def settings(self) -> dict[str, Any]:
        """See `Job`."""
        record = self.record.to_dict() if self.record else None
        return {"backbone": record, "batch_size": self.batch_size, "device": self.device.partition(":")[0]}

    def shard_table(self, sources: Sources, on_photo: OnPhoto | None = None) -> tuple[pa.Table, Tally]:
        """See `Job`."""
        if isinstance(sources, FeatureSet):
            raise TypeError("features are computed from photos")
        model: Backbone = LOADED.get(self._key) or keep(self._key, self._load())
        tally, photos = Tally(), []
        with contextlib.closing(
            stream_features(model, sources, batch_size=self.batch_size, workers=self.workers)
        ) as stream:
            for photo in stream:
                tally.add(photo.path, photo.status, photo.reason, photo.detail)
                photos.append(photo)
                if on_photo:
                    on_photo(photo.status == "failed")
        return photo_table(photos, model.record, ("detail",)), tally

    def _load(self) -> Backbone:
        model = load_backbone(
            self.backbone, weights=self.weights, device=self.device, precision=self.precision, tokens=self.tokens
        )
        check_record(model.record, self.record)
        return model

    @property
    def _key(self) -> str:
        return json.dumps([self.settings(), str(self.weights), self.device], sort_keys=True)


def keep(key: str, model: Any) -> Any:
    """Keep a model for the next shards of this process, instead of the one before; return it."""
    LOADED.clear()
    LOADED[key] = model
    return model


def chosen(given: str, earlier: str | None) -> str:
    """Return an option; for "auto" what an earlier run chose, if there was one."""
    return earlier or given if given == "auto" else given


def check_record(found: BackboneRecord, expected: BackboneRecord | None) -> None:
    """Raise `RevcdError` if a worker has another backbone than the run began with."""
    if expected is not None and found != expected:
        difference = found.difference(expected) or f"precision is {found.precision} here, {expected.precision} there"
        raise RevcdError(f"The backbone of this worker is not that of the run: {difference}.")
