"""Write the predictions of `revcd predict` to a folder of shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ...shard_options import ShardOptions, run_to_folder
from .output import origin

if TYPE_CHECKING:
    from ....pipeline.predict.candidates import CandidateClasses
    from ....pipeline.predict.columns import Layout
    from ....pipeline.predict.options import PredictOptions
    from ....pipeline.predict.predictor import Predictor


def check_folder_options(format_name: str | None, features: str | None, is_for_file: bool) -> None:
    """Raise an error for options that do not fit a folder of shards. is_for_file: one of another kind is given."""
    from ....data.features.shards import is_shard_folder

    if is_for_file or format_name not in (None, "parquet"):
        raise typer.BadParameter(
            "a folder of shards holds Parquet files; --format, --excel, --boxes and --every are for a single file."
        )
    if features is not None and not is_shard_folder(features):
        raise typer.BadParameter("for a folder as output, --features must be a folder of shards, too.")


def to_folder(
    predictor: Predictor,
    candidates: CandidateClasses,
    options: PredictOptions,
    layout: Layout,
    output: str,
    sharding: ShardOptions,
    *,
    images: list[str] | None,
    features: str | None,
    null: bool,
    fresh: bool,
    strict: bool,
    **loading: Any,
) -> int:
    """Classify photos, or a folder of features, into a folder of shards; return the exit code.

    loading: how the workers load the model, fields of `PredictionJob`.
    """
    from ....config import BackboneRecord
    from ....data.features.shards import FEATURES, finished_manifest, folder_at
    from ....pipeline.shards.prediction_job import PredictionJob

    record = predictor.checkpoint.backbone
    if features is not None:
        manifest = finished_manifest(folder_at(features), FEATURES)
        record = BackboneRecord(**manifest["settings"]["backbone"])
    name = Path(loading["model"])
    job = PredictionJob(
        candidates=candidates,
        header=origin(predictor, record, candidates, options),
        options=options,
        layout=layout,
        batch_size=options.batch_size,
        workers=options.workers,
        of_features=features is not None,
        record=record if features is not None else None,
        **{**loading, "model": str(name.absolute()) if name.is_file() else loading["model"]},
    )
    inputs = sharding.inputs(images or [features or ""], null=null, features=features is not None)
    return run_to_folder(job, inputs, output, sharding, description="Classifying", fresh=fresh, strict=strict)
