"""Photos whose features were extracted before: what `revcd predict --features` classifies."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator

from ...config import BackboneRecord
from ...data.features.feature_set import OK, FeatureSet
from ...data.photos.image_source import ImageSource
from ...data.photos.images import ImageFailure
from ...errors import UsageError
from ..extract.stream import ExtractedPhoto

ROWS_AT_ONCE = 1024
_FAILED = "it failed when its features were extracted"


def feature_photos(
    features: FeatureSet, record: BackboneRecord, sources: Iterable[ImageSource] | None = None
) -> Generator[ExtractedPhoto, None, None]:
    """Return the photos of a feature file, in order. record: the backbone of the model.

    sources: those of `row_sources`, to classify only some. The noise of a photo depends on the sha256 of its bytes;
    where the file does not have it (.mat), on that of its feature. Raises `UsageError` if the features are from another
    backbone.
    """
    difference = record.difference(features.backbone)
    if difference is not None:
        raise UsageError(
            f"The features are from another backbone than the model's: {difference}.",
            hint=record.how_to_match(),
        )
    return _photos(features, row_sources(features) if sources is None else sources)


def row_sources(features: FeatureSet) -> Iterator[ImageSource]:
    """Yield a source for each row, with its number as the signature. It cannot be read."""
    for row, path in enumerate(features.paths):
        yield ImageSource(path, str(row), lambda: ImageFailure("vanished", _FAILED))


def _photos(features: FeatureSet, sources: Iterable[ImageSource]) -> Generator[ExtractedPhoto, None, None]:
    for source in sources:
        row = int(source.signature)
        path, feature, status = features.paths[row], features.features[row], features.status[row]
        reason, sha256 = features.reason[row], features.sha256[row]
        if status == OK:
            key = sha256 or hashlib.sha256(feature.tobytes()).hexdigest()
            yield ExtractedPhoto(path, key, feature, signature=source.signature)
        else:
            yield ExtractedPhoto(path, sha256, None, status, reason, _FAILED, source.signature)
