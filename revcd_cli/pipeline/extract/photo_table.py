"""The rows of extracted photos as a Parquet table: features, status and reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ...config import BackboneRecord
from ...data.features.feature_set import FeatureSet
from ...data.features.parquet import to_table
from .stream import ExtractedPhoto


def photo_table(photos: Sequence[ExtractedPhoto], backbone: BackboneRecord, extra: Sequence[str] = ()) -> pa.Table:
    """Return one row for each photo, see `data.features.parquet`. extra: fields of the photos as columns of text."""
    features = np.full((len(photos), backbone.feature_dim), np.nan, dtype=np.float32)
    for row, photo in enumerate(photos):
        if photo.feature is not None:
            features[row] = photo.feature
    block = FeatureSet(
        paths=tuple(photo.path for photo in photos),
        features=features,
        status=tuple(photo.status for photo in photos),
        reason=tuple(photo.reason for photo in photos),
        sha256=tuple(photo.sha256 for photo in photos),
        backbone=backbone,
    )
    return to_table(block, {name: [getattr(photo, name) for photo in photos] for name in extra})
