"""The classes with the lowest accuracy, and thumbnails of their misclassified photos."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...data.datasets.dataset import Dataset
from ...data.photos.image_source import file_source
from ...data.photos.images import ImageFailure, decode_rgb
from .split_scores import SplitPredictions

WORST_CLASSES, PHOTOS = 6, 6  # of each kind, and of each class
_SIDE, _QUALITY = 160, 80  # pixels and JPEG quality of a thumbnail: about 6 kB


@dataclass(frozen=True, kw_only=True)
class MisclassifiedPhoto:
    """A misclassified photo."""

    path: str
    answer: str
    answer_seen: bool
    confidence: float
    thumbnail: bytes  # JPEG


@dataclass(frozen=True, kw_only=True)
class WorstClass:
    """A class and some of its misclassified photos, in order of decreasing confidence."""

    name: str
    seen: bool
    photos: int
    wrong: int
    shown: tuple[MisclassifiedPhoto, ...]


def worst_classes(
    predictions: SplitPredictions, names: Sequence[str], seen: Tensor, dataset: Dataset
) -> tuple[tuple[WorstClass, ...], tuple[str, ...]]:
    """Return the unseen and seen classes with the highest error rates, and a phrase for each unreadable photo.

    predictions: for the test photos of the dataset, those of seen classes first; names, seen: (C,), of the candidates.
    Both results are empty if the dataset has no photos.
    """
    if dataset.images_root is None:
        return (), ()
    rows = np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])
    photos = torch.bincount(predictions.labels, minlength=len(names))
    wrong = torch.bincount(predictions.labels[~predictions.correct], minlength=len(names))
    worst: list[WorstClass] = []
    unreadable: list[str] = []
    for kind in (~seen, seen):
        share = torch.where(kind, wrong / photos.clamp(min=1), -1.0)
        for c in share.argsort(descending=True, stable=True)[:WORST_CLASSES].tolist():
            if share[c] > 0:
                shown = _photos_of(c, predictions, names, seen, dataset, rows, unreadable)
                worst.append(
                    WorstClass(
                        name=names[c], seen=bool(seen[c]), photos=int(photos[c]), wrong=int(wrong[c]), shown=shown
                    )
                )
    return tuple(worst), tuple(unreadable)


def _photos_of(
    c: int,
    predictions: SplitPredictions,
    names: Sequence[str],
    seen: Tensor,
    dataset: Dataset,
    rows: np.ndarray,
    unreadable: list[str],
) -> tuple[MisclassifiedPhoto, ...]:
    mistakes = torch.nonzero((predictions.labels == c) & ~predictions.correct).squeeze(1)
    shown_first = mistakes[predictions.confidence[mistakes].argsort(descending=True, stable=True)][:PHOTOS]
    shown = []
    for k in shown_first.tolist():
        path, answer = dataset.paths[rows[k]], int(predictions.predicted[k])
        thumbnail = read_thumbnail(str(dataset.images_root / path), path)
        if isinstance(thumbnail, ImageFailure):
            unreadable.append(f"{path}: {thumbnail.detail}")
            continue
        shown.append(
            MisclassifiedPhoto(
                path=path,
                answer=names[answer],
                answer_seen=bool(seen[answer]),
                confidence=float(predictions.confidence[k]),
                thumbnail=thumbnail,
            )
        )
    return tuple(shown)


def read_thumbnail(file: str, shown: str) -> bytes | ImageFailure:
    """Return a photo as a small JPEG, or the reason why it cannot be read."""
    data = file_source(file, shown).read()
    image = data if isinstance(data, ImageFailure) else decode_rgb(data, least_side=_SIDE)
    if isinstance(image, ImageFailure):
        return image
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()
