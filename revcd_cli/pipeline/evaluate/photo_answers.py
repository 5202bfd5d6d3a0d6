"""The answer for each test photo of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from ...checkpoint.calibration import Calibration
from ...data.datasets.dataset import Dataset
from ...data.datasets.splits import PARTS
from .split_scores import SplitScores

TOP = 5  # answers of a photo


@dataclass(frozen=True, kw_only=True)
class PhotoAnswer:
    """The best classes of one test photo, with all classes as candidates."""

    path: str  # as in the dataset; "" if it names no photos
    part: str  # "test_seen" or "test_unseen"
    truth: str
    answers: tuple[str, ...]  # at most `TOP` classes, the best first
    score: float  # of the first answer, minus the seen penalty
    probability: float  # of the first answer, relative to the candidates


def photo_answers(scores: SplitScores, calibration: Calibration, dataset: Dataset) -> tuple[PhotoAnswer, ...]:
    """Return the answer for each test photo, those of seen classes first, in the order of the dataset.

    With equal scores the earlier class is first, as for the accuracies.
    """
    values, labels = scores.calibrated(calibration.gamma)
    order = values.argsort(dim=1, descending=True, stable=True)[:, :TOP]
    shares = (values / calibration.temperature).softmax(-1).gather(1, order[:, :1]).squeeze(1).tolist()
    best = values.gather(1, order[:, :1]).squeeze(1).tolist()
    photos = [
        (part, dataset.paths[row]) for part, rows in dataset.split.parts() if part != PARTS[0] for row in rows.tolist()
    ]
    return tuple(
        PhotoAnswer(
            path=path,
            part=part,
            truth=scores.names[label],
            answers=tuple(scores.names[c] for c in ranked),
            score=score,
            probability=share,
        )
        for (part, path), label, ranked, score, share in zip(
            photos, labels.tolist(), order.tolist(), best, shares, strict=True
        )
    )
