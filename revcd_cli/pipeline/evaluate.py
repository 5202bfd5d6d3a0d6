"""Accuracy of a model on a data set: S, U, H and T1 (method.md 9)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoint import Checkpoint
from ..config import InferenceConfig
from ..core.metrics import harmonic_mean, mean_over_classes, per_class_accuracy
from ..core.model import RevCD
from ..core.scores import calibrated
from ..data.attributes import align, class_key
from ..data.dataset import Dataset
from ..data.splits import Split
from ..errors import LeakError, UsageError
from ..runtime import choose_device
from .scoring import score_rows


@dataclass(frozen=True)
class ClassAccuracy:
    """How many of a class's test photos were named rightly among all classes."""

    name: str
    seen: bool
    photos: int
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class GZSLReport:
    """Accuracies as shares of 1, each the mean over classes of the class's own accuracy; None where no photo is.

    S, U and H have every class as a candidate, T1 the unseen classes alone.
    """

    acc_seen: float | None  # S, on test photos of seen classes
    acc_unseen: float | None  # U, on photos of unseen classes
    harmonic_mean: float | None  # H = 2SU / (S + U)
    acc_zsl: float | None  # T1
    seen_photos: int
    unseen_photos: int
    seen_classes: int  # candidates
    unseen_classes: int
    per_class: tuple[ClassAccuracy, ...]

    def headline(self) -> dict[str, float | None]:
        """Return S, U, H, T1 by their short names."""
        return {"S": self.acc_seen, "U": self.acc_unseen, "H": self.harmonic_mean, "T1": self.acc_zsl}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SplitScores:
    """Scores of the test photos of one split, from which every figure follows without the model.

    scores_*: (N, C) of the photos of seen and of unseen classes; labels_*: (N,) their true classes; names: (C,)
    candidates; seen: (C,) bool.
    """

    scores_seen: Tensor
    scores_unseen: Tensor
    labels_seen: Tensor
    labels_unseen: Tensor
    names: tuple[str, ...]
    seen: Tensor

    def report(self, gamma: float = 0.0) -> GZSLReport:
        """Return the accuracies with the seen penalty gamma."""
        n_classes = len(self.names)
        parts = [(self.scores_seen, self.labels_seen), (self.scores_unseen, self.labels_unseen)]
        accuracy = [
            per_class_accuracy(calibrated(scores, self.seen, gamma).argmax(1), labels, n_classes)
            for scores, labels in parts
        ]
        unseen_only = self.scores_unseen.masked_fill(self.seen, -torch.inf).argmax(1)
        acc_seen, acc_unseen = map(mean_over_classes, accuracy)
        photos = torch.bincount(torch.cat([self.labels_seen, self.labels_unseen]), minlength=n_classes)
        of_class = torch.where(self.seen, *accuracy)
        return GZSLReport(
            acc_seen=acc_seen,
            acc_unseen=acc_unseen,
            harmonic_mean=harmonic_mean(acc_seen, acc_unseen),
            acc_zsl=mean_over_classes(per_class_accuracy(unseen_only, self.labels_unseen, n_classes)),
            seen_photos=len(self.labels_seen),
            unseen_photos=len(self.labels_unseen),
            seen_classes=int(self.seen.sum()),
            unseen_classes=int((~self.seen).sum()),
            per_class=tuple(
                ClassAccuracy(self.names[c], bool(self.seen[c]), int(photos[c]), float(of_class[c]))
                for c in range(n_classes)
                if photos[c]
            ),
        )


def score_split(
    model: RevCD,
    dataset: Dataset,
    split: Split,
    config: InferenceConfig,
    *,
    seed: int,
    candidates: np.ndarray | None = None,
) -> SplitScores:
    """Score the test photos of one split of a data set that has features.

    candidates: rows of the class table that may be answered, by default all; validation passes the seen classes.
    Seen are those with trainval photos in `split`.
    """
    table = dataset.classes
    candidates = np.arange(len(table.names)) if candidates is None else candidates
    position = np.full(len(table.names), -1)
    position[candidates] = np.arange(len(candidates))
    prototypes = torch.from_numpy(table.values[candidates])

    def scored(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        scores = score_rows(model, dataset.features[rows], prototypes, config, seed=seed)
        return scores, torch.from_numpy(position[dataset.labels[rows]])

    scores_seen, labels_seen = scored(split.test_seen)
    scores_unseen, labels_unseen = scored(split.test_unseen)
    seen = torch.from_numpy(np.isin(candidates, dataset.labels[split.trainval]))
    names = tuple(table.names[c] for c in candidates)
    return SplitScores(scores_seen, scores_unseen, labels_seen, labels_unseen, names, seen)


def evaluate(
    checkpoint: Checkpoint, dataset: Dataset, *, rule: str | None = None, seed: int | None = None, device: str = "auto"
) -> GZSLReport:
    """Evaluate a checkpoint on the test photos of a data set, every class of its table being a candidate.

    rule, seed: in place of the checkpoint's own. Refuses, with `LeakError`, a data set whose test photos or
    unseen classes the model may have been trained on.
    """
    dataset = as_trained(checkpoint, dataset)
    inference = checkpoint.model.config.inference
    inference = replace(inference, rule=rule) if rule else inference
    seed = checkpoint.seed if seed is None else seed
    model = checkpoint.model.to(choose_device(device).value)
    scores = score_split(model, dataset, dataset.split, inference, seed=seed)
    return scores.report(checkpoint.calibration_for(inference.rule).gamma)


def as_trained(checkpoint: Checkpoint, dataset: Dataset) -> Dataset:
    """Return the data set with its attributes in the model's order, if the model can be tested on it.

    Raises `LeakError` as `refuse_leaks` does, and `UsageError` for features of another kind.
    """
    refuse_leaks(checkpoint, dataset)
    if dataset.features is None or dataset.backbone is None:
        raise UsageError("The data set has no features yet; extract them first.")
    difference = checkpoint.backbone.difference(dataset.backbone)
    if difference:
        raise UsageError(
            f"The features of {dataset.name} are not of the kind that the model was trained on: {difference}.",
            hint="Extract them with the model's own backbone (revcd models show tells it), or train on these.",
        )
    return replace(dataset, classes=align(dataset.classes, checkpoint.classes.attributes))


def refuse_leaks(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """Raise `LeakError` unless the model was trained on exactly this data set's trainval part."""
    trained = {class_key(name) for name in checkpoint.seen}
    shown = [dataset.classes.names[c] for c in dataset.unseen if class_key(dataset.classes.names[c]) in trained]
    if shown:
        raise LeakError(
            dataset.source or dataset.name,
            f"the model was trained on photos of {len(shown)} classes that are unseen here ({', '.join(shown[:5])}), "
            "so U and T1 would mean nothing.",
            hint="Train a model on this data set: revcd train --dataset ...",
        )
    if checkpoint.dataset.get("split_sha256") != dataset.split_sha256:
        raise LeakError(
            dataset.source or dataset.name,
            f"this split ({dataset.split_sha256[:12]}) is not the one that the model was trained on "
            f"({str(checkpoint.dataset.get('split_sha256'))[:12]}), so photos tested here may have trained it.",
            hint="Evaluate on the data set it was trained on, or train on this one: revcd train --dataset ...",
        )
