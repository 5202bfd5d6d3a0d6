"""What lies behind the figures of an evaluation: which classes are mixed up, how far probabilities can be believed,
which attributes photos show, and which photos were named wrongly.
"""

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
from ...scoring.drawn_attributes import attribute_reliability
from ...scoring.rows import draw_rows
from ...system.device import choose_device
from .evaluate import as_trained
from .split_scores import Answers, SplitScores
from .worst_classes import ClassMistakes, worst_classes

PHOTOS_OF_A_CLASS = 16  # from which its drawn attributes are averaged; drawing costs more than all scores do
FEWEST_CLASSES = 4  # over which a correlation is given at all
PARTS = ("all", "seen", "unseen")  # of the test photos, by the kind of their true class


@dataclass(frozen=True, kw_only=True)
class AttributeReliability:
    """How well an attribute that is drawn from photos follows the class table: correlations over classes, or None."""

    name: str
    unseen: float | None  # over unseen classes, from their test photos
    seen: float | None  # over seen classes, from their test photos
    validation: float | None  # over classes that played unseen when the model was trained


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What an evaluation shows beside its figures. Classes are the C candidates, seen ones first."""

    names: tuple[str, ...]
    seen: tuple[bool, ...]
    confusion: np.ndarray  # (C, C) photos of the row's class that were answered with the column's
    temperature: float
    calibration: dict[str, Reliability]  # by `PARTS`
    attributes: tuple[AttributeReliability, ...] = ()
    drawn_photos: dict[str, int]  # "seen", "unseen": how many photos attributes were drawn from
    worst: tuple[ClassMistakes, ...] = ()
    has_photos: bool = False  # whether the data set says where its photos are
    unreadable: tuple[str, ...] = ()  # a phrase for each photo that should be shown and cannot be read

    def calibration_errors(self) -> dict[str, float | None]:
        """Return the expected calibration error of each of `PARTS`."""
        return {part: bins.expected_error() for part, bins in self.calibration.items()}

    def confused(self) -> list[tuple[int, int, int]]:
        """Return (true class, answer, photos) of every pair that was mixed up, the most frequent first."""
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
    """Look behind the scores that `evaluation_scores` returned for this model, data set and rule."""
    calibration = _calibration(checkpoint, rule)
    dataset = as_trained(checkpoint, dataset)
    answers, order = _seen_first(scores.answers(calibration.gamma, calibration.temperature), scores.seen)
    names, seen = tuple(scores.names[c] for c in order), scores.seen[order]
    worst, unreadable = worst_classes(answers, names, seen, dataset)
    attributes, drawn = attributes_of_photos(checkpoint, dataset, device=device)
    return Diagnosis(
        names=names,
        seen=tuple(seen.tolist()),
        confusion=confusion_matrix(answers.answered, answers.labels, len(names)).numpy(),
        temperature=calibration.temperature,
        calibration=calibration_bins(answers, seen),
        attributes=attributes,
        drawn_photos=drawn,
        worst=worst,
        has_photos=dataset.images_root is not None,
        unreadable=unreadable,
    )


def _seen_first(answers: Answers, seen: Tensor) -> tuple[Answers, list[int]]:
    """Return the answers with candidates reordered, and the order: who wins a tie must not depend on it."""
    order = torch.argsort((~seen).int(), stable=True)
    place = torch.argsort(order)
    return Answers(place[answers.labels], place[answers.answered], answers.confidence), order.tolist()


def measure_confidence(checkpoint: Checkpoint, scores: SplitScores, rule: str | None = None) -> dict[str, Reliability]:
    """Return confidence against accuracy for each of `PARTS` of the test photos."""
    calibration = _calibration(checkpoint, rule)
    return calibration_bins(scores.answers(calibration.gamma, calibration.temperature), scores.seen)


def _calibration(checkpoint: Checkpoint, rule: str | None) -> Calibration:
    return checkpoint.calibration_for(checkpoint.model.config.inference.with_rule(rule).rule)


def calibration_bins(answers: Answers, seen: Tensor) -> dict[str, Reliability]:
    """Return confidence against accuracy for each of `PARTS`. seen: (C,) bool."""
    of_seen = seen[answers.labels]
    chosen = (torch.ones_like(of_seen), of_seen, ~of_seen)
    return {
        part: reliability(answers.confidence[some], answers.right[some])
        for part, some in zip(PARTS, chosen, strict=True)
    }


def attributes_of_photos(
    checkpoint: Checkpoint, dataset: FeaturedDataset, *, device: str = "auto"
) -> tuple[tuple[AttributeReliability, ...], dict[str, int]]:
    """Return how well test photos show each attribute, and how many photos of seen and of unseen classes were read.

    At most `PHOTOS_OF_A_CLASS` photos of each class are. None stands for a correlation over fewer than
    `FEWEST_CLASSES` classes, or of what does not vary. The data set is one that `as_trained` returned.
    """
    model = checkpoint.model.to(choose_device(device).value)
    prototypes = torch.from_numpy(dataset.classes.values)
    found, drawn = {}, {}
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
    """Return at most `most` of these rows of each class, evenly spaced among the class's own."""
    kept = [np.empty(0, dtype=np.int64)]
    for label in np.unique(labels[rows]):
        own = rows[labels[rows] == label]
        kept.append(own[np.linspace(0, len(own) - 1, min(len(own), most)).round().astype(int)])
    return np.concatenate(kept)


def _or_none(values: Tensor) -> Sequence[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
