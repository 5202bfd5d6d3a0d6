"""Photos whose features were extracted before: what `revcd predict --features` classifies."""

from __future__ import annotations

import hashlib
from collections.abc import Generator

from ...config import BackboneRecord
from ...data.features.feature_set import OK, FeatureSet
from ...errors import UsageError
from ..extract.stream import ExtractedPhoto

ROWS_AT_ONCE = 1024
_FAILED = "it failed when its features were extracted"


def feature_photos(features: FeatureSet, record: BackboneRecord) -> Generator[ExtractedPhoto, None, None]:
    """Return the photos of a feature file, in order. record: the backbone of the model.

    The noise of a photo depends on the sha256 of its bytes; where the file does not have it (.mat), on that of its
    feature. Raises `UsageError` if the features are from another backbone.
    """
    difference = record.difference(features.backbone)
    if difference is not None:
        raise UsageError(
            f"The features are from another backbone than the model's: {difference}.",
            hint="Extract features with the model's backbone (see revcd models show), or train on these features.",
        )
    return _photos(features)


def _photos(features: FeatureSet) -> Generator[ExtractedPhoto, None, None]:
    rows = zip(features.paths, features.features, features.status, features.reason, features.sha256, strict=True)
    for path, feature, status, reason, sha256 in rows:
        if status == OK:
            yield ExtractedPhoto(path, sha256 or hashlib.sha256(feature.tobytes()).hexdigest(), feature)
        else:
            yield ExtractedPhoto(path, sha256, None, status, reason, _FAILED)
