"""From the scores of a photo to its prediction: classified, rejected or failed."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from ...data.parts.part import Part
from ...data.photos.details import PhotoDetails
from ...data.photos.images import ImageFailure
from ..extract.stream import ExtractedPhoto
from .explanations import GeneratedAttributes
from .given_photos import OTHERS
from .predictions import EMPTY, FAILED, NO_BOX, NO_CLASS_FITS, REJECTED, Candidate, Prediction

_THUMBNAIL_QUALITY = 70  # JPEG quality; a page of 5,000 photos of 320 pixels stays below 100 MB
_NOT_FINITE = ImageFailure("non_finite_feature", "the model's scores for it are not finite")


class Scored(NamedTuple):
    """The result for one photo that has a feature."""

    candidates: tuple[Candidate, ...]  # best first
    fit: float  # rejection score
    drawn: GeneratedAttributes | None


class _About(TypedDict):
    thumbnail: bytes | None
    part: Part | None
    details: PhotoDetails | None
    signature: str


@dataclass(frozen=True)
class Bounds:
    """What a photo must reach to keep its best class."""

    threshold: float | None = None  # of the fit; None: nothing is rejected by it
    min_probability: float = 0.0
    fit_is_a_chance: bool = False  # the fit is the chance that the best class is right, not a score

    def keep(self, fit: float, probability: float) -> bool:
        """Return whether the best class is kept."""
        return not self.rejects(fit) and probability >= self.min_probability

    def rejects(self, fit: float) -> bool:
        """Return whether the fit is below the threshold."""
        return self.threshold is not None and fit < self.threshold


def prediction_of(photo: ExtractedPhoto, scored: Scored | None, bounds: Bounds, *, has_others: bool) -> Prediction:
    """Return the prediction of a photo. scored: None if it has no feature; has_others: see `given_photos.OTHERS`."""
    about = _About(thumbnail=_jpeg(photo), part=photo.part, details=photo.details, signature=photo.signature)
    if scored is None:
        if photo.reason == NO_BOX:
            return Prediction(photo.path, EMPTY, photo.reason, photo.detail, **about)
        return Prediction(photo.path, photo.status, photo.reason, photo.detail, **about)
    best = scored.candidates[0]
    if not all(math.isfinite(candidate.score) for candidate in scored.candidates):
        return Prediction(photo.path, FAILED, _NOT_FINITE.reason, _NOT_FINITE.detail, **about)
    if best.name == OTHERS and has_others:
        detail = f"it resembles the photos of {OTHERS} most"
    elif bounds.rejects(scored.fit):
        what = "a chance to be right of" if bounds.fit_is_a_chance else "the score"
        detail = f"the best class, {best.name}, has {what} {scored.fit:.3g}, below the threshold {bounds.threshold:.3g}"
    elif best.probability < bounds.min_probability:
        share = f"{best.probability:.3g}"
        detail = f"the best class, {best.name}, has the probability {share}, below {bounds.min_probability:g}"
    else:
        return Prediction(photo.path, candidates=scored.candidates, drawn=scored.drawn, **about)
    return Prediction(photo.path, REJECTED, NO_CLASS_FITS, detail, **about)


def _jpeg(photo: ExtractedPhoto) -> bytes | None:
    if photo.image is None:
        return None
    buffer = io.BytesIO()
    photo.image.save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY, optimize=True)
    return buffer.getvalue()
