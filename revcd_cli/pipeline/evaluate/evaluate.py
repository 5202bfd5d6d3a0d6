"""Accuracy of a model on a data set: S, U, H and T1 (method.md 9)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ...checkpoint.model_file import Checkpoint
from ...config import InferenceConfig
from ...data.classes.attributes import align, class_key
from ...data.datasets.dataset import Dataset, FeaturedDataset, require_features
from ...data.datasets.splits import Split
from ...errors import InputFileError, LeakError
from ...scoring.rows import ScoringModel, score_rows
from ...system.device import choose_device
from .split_scores import GZSLReport, SplitScores


def split_frame(dataset: Dataset, split: Split, candidates: np.ndarray) -> SplitScores:
    """Return everything of a split's scores but the scores, which are empty.

    candidates: rows of the class table that may be answered. Seen are those with trainval photos in `split`.
    """
    position = np.full(len(dataset.classes.names), -1)
    position[candidates] = np.arange(len(candidates))
    labels_seen, labels_unseen = (
        torch.from_numpy(position[dataset.labels[rows]]) for rows in (split.test_seen, split.test_unseen)
    )
    seen = torch.from_numpy(np.isin(candidates, dataset.labels[split.trainval]))
    names = tuple(dataset.classes.names[c] for c in candidates)
    nothing = torch.empty(0, len(candidates))
    return SplitScores(nothing, nothing, labels_seen, labels_unseen, names, seen)


def score_split(
    model: ScoringModel,
    dataset: FeaturedDataset,
    split: Split,
    config: InferenceConfig,
    *,
    seed: int,
    candidates: np.ndarray | None = None,
) -> SplitScores:
    """Score the test photos of one split of a data set that has features.

    candidates: as for `split_frame`; by default those of `tested_classes`.
    """
    candidates = tested_classes(dataset) if candidates is None else candidates
    prototypes = torch.from_numpy(dataset.classes.values[candidates])
    scores_seen, scores_unseen = (
        score_rows(model, dataset.features[rows], prototypes, config, seed=seed)
        for rows in (split.test_seen, split.test_unseen)
    )
    frame = split_frame(dataset, split, candidates)
    return replace(frame, scores_seen=scores_seen, scores_unseen=scores_unseen)


def tested_classes(dataset: Dataset) -> np.ndarray:
    """Return the classes that are candidates in the field's protocol: those with photos in the split, in order."""
    return np.unique(np.concatenate([dataset.labels[rows] for _, rows in dataset.split.parts()]))


def evaluate(
    checkpoint: Checkpoint,
    dataset: FeaturedDataset,
    *,
    rule: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    whole_table: bool = False,
) -> GZSLReport:
    """Evaluate a checkpoint on the test photos of a data set: `evaluation_scores`, read with the model's penalty."""
    scores, gamma = evaluation_scores(checkpoint, dataset, rule=rule, seed=seed, device=device, whole_table=whole_table)
    return scores.report(gamma)


def evaluation_scores(
    checkpoint: Checkpoint,
    dataset: FeaturedDataset,
    *,
    rule: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    whole_table: bool = False,
) -> tuple[SplitScores, float]:
    """Return the scores of a data set's test photos by a checkpoint, and its seen penalty.

    Candidates are the classes with photos in the split or, with `whole_table`, every class of the table. rule, seed:
    in place of the checkpoint's own. Refuses, with `LeakError`, a data set whose test photos or unseen classes the
    model may have been trained on.
    """
    dataset = as_trained(checkpoint, dataset)
    inference = checkpoint.model.config.inference.with_rule(rule)
    seed = checkpoint.seed if seed is None else seed
    model = checkpoint.model.to(choose_device(device).value)
    candidates = np.arange(len(dataset.classes.names)) if whole_table else None
    scores = score_split(model, dataset, dataset.split, inference, seed=seed, candidates=candidates)
    calibration = checkpoint.calibration_for(inference.rule)
    return scores, calibration.gamma


def as_trained(checkpoint: Checkpoint, dataset: FeaturedDataset) -> FeaturedDataset:
    """Return the data set with its attributes in the model's order, if the model can be tested on it.

    Raises `LeakError` as `refuse_leaks` does, and `InputFileError` for features of another kind.
    """
    refuse_leaks(checkpoint, dataset)
    dataset = require_features(dataset)
    difference = checkpoint.backbone.difference(dataset.backbone)
    if difference:
        raise InputFileError(
            dataset.source or dataset.name,
            f"its features are not of the kind that the model was trained on: {difference}.",
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
