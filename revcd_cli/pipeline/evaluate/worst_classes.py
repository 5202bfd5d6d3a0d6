"""The classes that were named worst, and photos of them with what they were taken for."""

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
from .split_scores import Answers

WORST_CLASSES, PHOTOS = 6, 6  # of each kind, and of each class
_SIDE, _QUALITY = 160, 80  # pixels and JPEG quality of a thumbnail: about 6 kB


@dataclass(frozen=True, kw_only=True)
class MistakenPhoto:
    """A photo that was named wrongly."""

    path: str
    answer: str
    answer_seen: bool
    confidence: float
    thumbnail: bytes  # JPEG


@dataclass(frozen=True, kw_only=True)
class ClassMistakes:
    """A class, and some of its photos that were named wrongly, the surest mistakes first."""

    name: str
    seen: bool
    photos: int
    wrong: int
    shown: tuple[MistakenPhoto, ...]


def worst_classes(
    answers: Answers, names: Sequence[str], seen: Tensor, dataset: Dataset
) -> tuple[tuple[ClassMistakes, ...], tuple[str, ...]]:
    """Return the classes of each kind with the largest share of mistakes, and which photos could not be read.

    answers: to the data set's test photos, those of seen classes first; names, seen: (C,) of the candidates. A data set
    without photos has no classes here.
    """
    if dataset.images_root is None:
        return (), ()
    rows = np.concatenate([dataset.split.test_seen, dataset.split.test_unseen])
    photos = torch.bincount(answers.labels, minlength=len(names))
    wrong = torch.bincount(answers.labels[~answers.right], minlength=len(names))
    worst, unreadable = [], []
    for kind in (~seen, seen):
        share = torch.where(kind, wrong / photos.clamp(min=1), -1.0)
        for c in share.argsort(descending=True, stable=True)[:WORST_CLASSES].tolist():
            if share[c] > 0:
                shown = _photos_of(c, answers, names, seen, dataset, rows, unreadable)
                worst.append(
                    ClassMistakes(
                        name=names[c], seen=bool(seen[c]), photos=int(photos[c]), wrong=int(wrong[c]), shown=shown
                    )
                )
    return tuple(worst), tuple(unreadable)


def _photos_of(
    c: int,
    answers: Answers,
    names: Sequence[str],
    seen: Tensor,
    dataset: Dataset,
    rows: np.ndarray,
    unreadable: list[str],
) -> tuple[MistakenPhoto, ...]:
    mistakes = torch.nonzero((answers.labels == c) & ~answers.right).squeeze(1)
    surest = mistakes[answers.confidence[mistakes].argsort(descending=True, stable=True)][:PHOTOS]
    shown = []
    for k in surest.tolist():
        path, answer = dataset.paths[rows[k]], int(answers.answered[k])
        thumbnail = read_thumbnail(str(dataset.images_root / path), path)
        if isinstance(thumbnail, ImageFailure):
            unreadable.append(f"{path}: {thumbnail.detail}")
            continue
        shown.append(
            MistakenPhoto(
                path=path,
                answer=names[answer],
                answer_seen=bool(seen[answer]),
                confidence=float(answers.confidence[k]),
                thumbnail=thumbnail,
            )
        )
    return tuple(shown)


def read_thumbnail(file: str, shown: str) -> bytes | ImageFailure:
    """Return a photo as a small JPEG, or why there is none."""
    data = file_source(file, shown).read()
    image = data if isinstance(data, ImageFailure) else decode_rgb(data, least_side=_SIDE)
    if isinstance(image, ImageFailure):
        return image
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()
