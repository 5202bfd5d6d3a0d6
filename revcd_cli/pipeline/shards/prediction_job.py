"""Predictions as the rows of shards: a model with its candidate classes, sent to the workers of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from ...config import BackboneRecord
from ...data.features.feature_set import FeatureSet
from ...errors import RevcdError
from ...version import __version__
from ..extract.stream import default_batch_size, stream_features
from ..predict.candidates import CandidateClasses
from ..predict.columns import PLAIN, Layout, origin
from ..predict.feature_photos import ROWS_AT_ONCE, feature_photos
from ..predict.options import PredictOptions
from ..predict.prediction_table import prediction_schema, rows_table
from ..predict.predictions import FAILED, SCHEMA
from ..predict.predictor import PHOTOS_AT_ONCE, Predictor
from .jobs import LOADED, OnPhoto, Sources, check_record, chosen, keep
from .report import Tally


@dataclass(frozen=True)
class PredictionJob:
    """Predictions of a model, see `Predictor.stream`. candidates: with photos given for classes.

    header: origin and settings, for the metadata of each part. of_features: the sources are features.
    """

    model: str
    candidates: CandidateClasses
    header: Mapping[str, Any]
    options: PredictOptions = field(default_factory=PredictOptions)
    layout: Layout = PLAIN
    weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    rule: str | None = None
    batch_size: int | None = None
    workers: int | None = None
    of_features: bool = False
    record: BackboneRecord | None = None
    kind: ClassVar[str] = "predictions"

    def with_workers(self, workers: int) -> PredictionJob:
        """See `Job`."""
        return replace(self, workers=workers)

    def pinned(self, earlier: Mapping[str, Any]) -> PredictionJob:
        """See `Job`."""
        recorded = (earlier.get("header") or {}).get("backbone") or {}
        job = replace(
            self,
            device=chosen(self.device, earlier.get("device")),
            precision=chosen(self.precision, recorded.get("precision")),
        )
        predictor = job._load()
        device = next(predictor.checkpoint.model.parameters()).device.type
        record, batch_size = self.record, self.batch_size
        if not self.of_features:
            record = predictor.backbone.record
            batch_size = batch_size or earlier.get("batch_size") or default_batch_size(predictor.backbone)
        job = replace(
            job,
            device=device if self.device == "auto" else self.device,
            precision=record.precision if record and not self.of_features else job.precision,
            batch_size=batch_size,
            record=record,
            header={**self.header, "backbone": record.to_dict() if record else None},
        )
        keep(job._key, predictor)
        return job

    def describe(self) -> str:
        """See `Job`."""
        what = "features" if self.of_features else f"photos, {self.precision}, batch size {self.batch_size}"
        return f"model {self.model}, {len(self.candidates.names)} classes, {what}, device {self.device}"

    def settings(self) -> dict[str, Any]:
        """See `Job`."""
        return {
            "header": dict(self.header),
            "columns": list(self.layout.columns),
            "candidates_sha256": candidates_sha256(self.candidates),
            "batch_size": self.batch_size,
            "device": self.device.partition(":")[0],
        }

    def shard_table(self, sources: Sources, on_photo: OnPhoto | None = None) -> tuple[pa.Table, Tally]:
        """See `Job`."""
        predictor: Predictor = LOADED.get(self._key) or keep(self._key, self._load())
        if isinstance(sources, FeatureSet):
            photos, at_once = feature_photos(sources, predictor.checkpoint.backbone), ROWS_AT_ONCE
        else:
            at_once = self.batch_size or PHOTOS_AT_ONCE
            photos = stream_features(
                predictor.backbone,
                sources,
                batch_size=self.batch_size,
                workers=self.workers,
                keep_details=self.options.details,
            )
        found: list[tuple[Any, ...]] = []
        made_by = origin(dict(self.header))
        tally = Tally()
        for prediction in predictor.classify(photos, self.candidates, self.options, at_once=at_once):
            tally.add(prediction.path, prediction.status, prediction.reason, prediction.detail)
            found += [(*row, *made_by) for row in self.layout.rows(prediction)]
            if on_photo:
                on_photo(prediction.status == FAILED)
        schema = prediction_schema({"schema": SCHEMA, "revcd": __version__, **self.header}, self.layout)
        return rows_table(found, schema), tally

    def _load(self) -> Predictor:
        predictor = Predictor.from_checkpoint(
            self.model,
            weights=self.weights,
            device=self.device,
            precision=self.precision,
            rule=self.rule,
            with_backbone=not self.of_features,
        )
        expected = self.header["model"]["sha256"]
        if predictor.checkpoint.sha256 != expected:
            raise RevcdError(f"The model {self.model} is another one here than where the run began.")
        if not self.of_features:
            check_record(predictor.backbone.record, self.record)
        return predictor.knowing(self.candidates.photos)

    @property
    def _key(self) -> str:
        return json.dumps([self.settings(), self.model, str(self.weights), self.device, self.rule], sort_keys=True)


def candidates_sha256(candidates: CandidateClasses) -> str:
    """Return the sha256 of all that predictions depend on: names, descriptions, kinds and given photos."""
    digest = hashlib.sha256(json.dumps([candidates.names, candidates.kinds, candidates.undescribed]).encode())
    digest.update(candidates.prototypes.numpy().tobytes() + candidates.own.numpy().tobytes())
    if candidates.photos is not None:
        photos = candidates.photos
        digest.update(json.dumps([photos.names, photos.counts]).encode() + photos.means.cpu().numpy().tobytes())
    return digest.hexdigest()
