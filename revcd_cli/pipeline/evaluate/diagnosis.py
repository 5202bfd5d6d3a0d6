"""Diagnose an evaluation: confusion matrix, calibration of probabilities, reliability of attributes, worst classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...checkpoint.calibration import Calibration
from ...checkpoint.model_file import Checkpoint
from ...data.datasets.dataset import FeaturedDataset
from ...metrics.accuracy import confusion_matrix
from ...metrics.reliability import Reliability, reliability
from ...scoring.generated_attributes import attribute_reliability
from ...scoring.rows import draw_rows
from ...system.device import choose_device
from .evaluate import as_trained
from .photo_answers import PhotoAnswer, photo_answers
from .split_scores import SplitPredictions, SplitScores
from .worst_classes import WorstClass, worst_classes

PHOTOS_OF_A_CLASS = 16  # for its mean generated attributes; generating takes longer than scoring all photos
FEWEST_CLASSES = 4  # for a correlation
SUBSETS = ("all", "seen", "unseen")  # of the test photos, by their true class


@dataclass(frozen=True, kw_only=True)
class AttributeReliability:
    """The correlation over classes of an attribute as generated from photos and as described; None if undefined."""

    name: str
    unseen: float | None  # over unseen classes, from their test photos
    seen: float | None  # over seen classes, from their test photos
    validation: float | None  # over the held-out classes of validation, when the model was trained


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The results of an evaluation other than its metrics. Classes are the C candidates, seen ones first."""

    names: tuple[str, ...]
    seen: tuple[bool, ...]
    confusion: np.ndarray  # (C, C) photos of the class of the row, predicted as that of the column
    temperature: float
    calibration: dict[str, Reliability]  # by `SUBSETS`
    attributes: tuple[AttributeReliability, ...] = ()
    drawn_photos: dict[str, int]  # "seen", "unseen": photos from which attributes were generated
    worst: tuple[WorstClass, ...] = ()
    has_photos: bool = False  # whether the dataset has a folder of photos
    answers: tuple[PhotoAnswer, ...] = ()  # of all test photos
    unreadable: tuple[str, ...] = ()  # a phrase for each photo that should be shown but cannot be read

    def calibration_errors(self) -> dict[str, float | None]:
        """Return the expected calibration error of each of `SUBSETS`."""
        return {part: bins.expected_error() for part, bins in self.calibration.items()}

    def confused(self) -> list[tuple[int, int, int]]:
        """Return (true class, predicted class, photos) of each confused pair, the most frequent first."""
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        of_class = self.confusion.sum(1)
        pairs = [(*pair, int(wrong[pair])) for pair in zip(*(k.tolist() for k in wrong.nonzero()), strict=True)]
        return sorted(pairs, key=lambda pair: (-pair[2], -pair[2] / of_class[pair[0]], pair))


def diagnose(
    checkpoint: Checkpoint,
    dataset: FeaturedDataset,
    scores: SplitScores,
    *,
    rule: str | None = None,
    device: str = "auto",
) -> Diagnosis:
    """Diagnose the scores that `evaluation_scores` returned for this model, dataset and rule."""
    calibration = _calibration(checkpoint, rule, scores)
    dataset = as_trained(checkpoint, dataset)
    predictions, order = _seen_first(scores.predictions(calibration.gamma, calibration.temperature), scores.seen)
    names, seen = tuple(scores.names[c] for c in order), scores.seen[order]
    worst, unreadable = worst_classes(predictions, names, seen, dataset)
    attributes, drawn = attributes_of_photos(checkpoint, dataset, device=device)
    return Diagnosis(
        names=names,
        seen=tuple(seen.tolist()),
        confusion=confusion_matrix(predictions.predicted, predictions.labels, len(names)).numpy(),
        temperature=calibration.temperature,
        calibration=calibration_bins(predictions, seen),
        attributes=attributes,
        drawn_photos=drawn,
        worst=worst,
        has_photos=dataset.images_root is not None,
        unreadable=unreadable,
        answers=photo_answers(scores, calibration, dataset),
    )


def _seen_first(predictions: SplitPredictions, seen: Tensor) -> tuple[SplitPredictions, list[int]]:
    """Return the predictions with the candidates reordered, seen ones first, and the order.

    Predictions are reordered rather than scores, so that ties are resolved as in the evaluation.
    """
    order = torch.argsort((~seen).int(), stable=True)
    place = torch.argsort(order)
    reordered = SplitPredictions(place[predictions.labels], place[predictions.predicted], predictions.confidence)
    return reordered, order.tolist()


def measure_confidence(checkpoint: Checkpoint, scores: SplitScores, rule: str | None = None) -> dict[str, Reliability]:
    """Return the reliability of the model's probabilities for each of `SUBSETS` of the test photos."""
    calibration = _calibration(checkpoint, rule, scores)
    return calibration_bins(scores.predictions(calibration.gamma, calibration.temperature), scores.seen)


def _calibration(checkpoint: Checkpoint, rule: str | None, scores: SplitScores) -> Calibration:
    """Return the calibration of the rule for the number of unseen candidates of these scores."""
    found = checkpoint.calibration_for(checkpoint.model.config.inference.with_rule(rule).rule)
    return found.for_candidates(int((~scores.seen).sum()))


def calibration_bins(predictions: SplitPredictions, seen: Tensor) -> dict[str, Reliability]:
    """Return accuracy by bins of confidence for each of `SUBSETS`. seen: (C,) bool."""
    of_seen = seen[predictions.labels]
    chosen = (torch.ones_like(of_seen), of_seen, ~of_seen)
    return {
        part: reliability(predictions.confidence[some], predictions.correct[some])
        for part, some in zip(SUBSETS, chosen, strict=True)
    }


def attributes_of_photos(
    checkpoint: Checkpoint, dataset: FeaturedDataset, *, device: str = "auto"
) -> tuple[tuple[AttributeReliability, ...], dict[str, int]]:
    """Return the reliability of each attribute, and the number of photos of seen and of unseen classes that were used.

    At most `PHOTOS_OF_A_CLASS` photos of each class are used. The correlation is None over fewer than `FEWEST_CLASSES`
    classes, and for attributes that do not vary. dataset: as returned by `as_trained`.
    """
    model = checkpoint.model.to(choose_device(device).value)
    prototypes = torch.from_numpy(dataset.classes.values)
    found: dict[str, Sequence[float | None]] = {}
    drawn: dict[str, int] = {}
    for part, rows in (("seen", dataset.split.test_seen), ("unseen", dataset.split.test_unseen)):
        some = few_of_each(dataset.labels, rows, PHOTOS_OF_A_CLASS)
        labels = torch.from_numpy(dataset.labels[some])
        found[part], drawn[part] = [None] * len(dataset.classes.attributes), 0
        if len(labels.unique()) >= FEWEST_CLASSES:
            means = draw_rows(model, dataset.features[some], model.config.inference, seed=checkpoint.seed).mean
            found[part] = _or_none(attribute_reliability(means, labels, prototypes))
            drawn[part] = len(some)
    validated = checkpoint.metrics.get("attributes", {})
    return tuple(
        AttributeReliability(name=name, unseen=unseen, seen=seen, validation=validated.get(name))
        for name, unseen, seen in zip(dataset.classes.attributes, found["unseen"], found["seen"], strict=True)
    ), drawn


def few_of_each(labels: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` of these rows for each class, evenly spaced among the rows of the class."""
    kept = [np.empty(0, dtype=np.int64)]
    for label in np.unique(labels[rows]):
        own = rows[labels[rows] == label]
        kept.append(own[np.linspace(0, len(own) - 1, min(len(own), most)).round().astype(int)])
    return np.concatenate(kept)


def _or_none(values: Tensor) -> Sequence[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
