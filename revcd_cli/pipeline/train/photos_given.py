"""Validation of photos that are given for new classes: held-out classes get a few, and the weight of the prototypes in
the scores of such classes is chosen by the mean H on the other photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from ...config import InferenceConfig
from ...core.precondition import class_means
from ...data.classes.attributes import class_positions
from ...data.datasets.dataset import FeaturedDataset
from ...data.datasets.splits import Split
from ...scoring.candidate_kinds import CandidateKinds
from ...scoring.model import ZeroShotModel
from ...scoring.rows import score_rows
from ..evaluate.split_scores import SplitScores
from ..known_classes.training_rows import training_classes

COUNTS = (1, 5)  # photos of each held-out class; its first ones in the dataset
SHARES = (0.33, 0.5, 0.67, 0.8, 0.9, 1.0)  # candidate weights of the prototypes


def score_after_photos(
    model: ZeroShotModel, dataset: FeaturedDataset, split: Split, config: InferenceConfig, candidates: np.ndarray
) -> dict[str, Tensor]:
    """Return scores by the prototypes after `COUNTS` photos of each held-out class, by "given.COUNT.PART".

    Parts: "seen", (N, C), and "unseen", (M, C), all test photos; "kept": (M,), False for the photos that were given.
    A count that leaves no photo of some class is left out. config: of the rule "prototype" without the class network.
    """
    found: dict[str, Tensor] = {}
    position = np.full(len(dataset.classes.names), -1)
    position[candidates] = np.arange(len(candidates))
    labels = torch.from_numpy(position[dataset.labels[split.test_unseen]])
    names = dataset.classes.names
    trained = [names[c] for c in training_classes(dataset, split)]
    own = torch.from_numpy(class_positions([names[c] for c in candidates], trained))
    s = torch.from_numpy(dataset.classes.values[candidates])
    for count in COUNTS:
        numbers = labels.bincount(minlength=len(candidates))
        if not len(labels) or numbers[numbers > 0].min() <= count:
            continue
        place = _place_in_class(labels)
        given = place < count
        device = next(model.parameters()).device
        photos = torch.from_numpy(dataset.features[split.test_unseen[given.numpy()]]).to(device)
        means = class_means(model.photo_components(photos).cpu(), labels[given], len(candidates)).float()
        kinds = CandidateKinds(own, photos=means, counts=count * (numbers > 0).float())
        for part, rows in (("seen", split.test_seen), ("unseen", split.test_unseen)):
            found[f"given.{count}.{part}"] = score_rows(model, dataset.features[rows], s, config, seed=0, kinds=kinds)
        found[f"given.{count}.kept"] = ~given
    return found


def choose_photo_share(
    folds: Sequence[SplitScores], outputs: Sequence[Mapping[str, Tensor]], gamma: float, least: float
) -> float | None:
    """Return the weight of `SHARES` with the best mean H over folds and counts, ties: the largest.

    folds: their scores without given photos, by a rule with evidence; outputs: of `score_after_photos`, and the
    evidence, "evidence.PART"; gamma: the seen penalty; least: the weight of the prototypes for other classes. None
    without outputs.
    """
    given = [
        (fold, found, count)
        for fold, found in zip(folds, outputs, strict=True)
        for count in COUNTS
        if f"given.{count}.kept" in found
    ]

    def merit(share: float) -> float:
        return fmean(_after_photos(*each, share).report(gamma).harmonic_mean or 0.0 for each in given)

    shares = sorted({least, *(share for share in SHARES if share > least)}, reverse=True)
    return max(shares, key=merit) if given else None


def _after_photos(fold: SplitScores, found: Mapping[str, Tensor], count: int, share: float) -> SplitScores:
    """Return the scores of a fold after photos of its held-out classes, without these photos."""
    kept = found[f"given.{count}.kept"]
    has_photos = torch.zeros_like(fold.seen)
    has_photos[fold.labels_unseen] = True
    seen, unseen = (
        torch.where(has_photos, torch.lerp(found[f"evidence.{part}"], found[f"given.{count}.{part}"], share), scores)
        for part, scores in (("seen", fold.scores_seen), ("unseen", fold.scores_unseen))
    )
    return replace(fold, scores_seen=seen, scores_unseen=unseen[kept], labels_unseen=fold.labels_unseen[kept])


def _place_in_class(labels: Tensor) -> Tensor:
    """Return the number of earlier photos of the same class for each photo: (N,). labels: (N,)."""
    order = labels.argsort(stable=True)
    place = torch.empty_like(labels)
    place[order] = torch.arange(len(labels)) - torch.searchsorted(labels[order], labels[order])
    return place
