"""Evaluate a model on a dataset: S, U, H, T1 and AUSUC (docs/method.md, section 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ...checkpoint.model_file import Checkpoint
from ...config import InferenceConfig
from ...data.classes.attributes import align, class_key, class_keys, class_positions
from ...data.datasets.dataset import Dataset, FeaturedDataset, require_features
from ...data.datasets.splits import Split
from ...errors import InputFileError, LeakError
from ...metrics.neighbours import nearest_seen
from ...scoring.candidate_kinds import CandidateKinds
from ...scoring.label_evidence import LabelEvidence
from ...scoring.model import ZeroShotModel
from ...scoring.rows import ScoringModel, score_rows
from ...system.device import choose_device
from ..known_classes.training_rows import label_evidence, training_classes, usable_known
from .split_scores import GZSLReport, SplitScores


def split_frame(dataset: Dataset, split: Split, candidates: np.ndarray) -> SplitScores:
    """Return the labels and candidates of a split, with empty scores.

    candidates: (C,), rows of the class table that may be predicted. Those with trainval photos in `split` are seen.
    """
    position = np.full(len(dataset.classes.names), -1)
    position[candidates] = np.arange(len(candidates))
    labels_seen, labels_unseen = (
        torch.from_numpy(position[dataset.labels[rows]]) for rows in (split.test_seen, split.test_unseen)
    )
    seen = torch.from_numpy(np.isin(candidates, dataset.labels[split.trainval]))
    names = tuple(dataset.classes.names[c] for c in candidates)
    nothing = torch.empty(0, len(candidates))
    nearest = nearest_seen(torch.from_numpy(dataset.classes.values[candidates]), seen)
    known = None
    if isinstance(dataset, FeaturedDataset) and dataset.known is not None:
        known = torch.from_numpy(np.isin(candidates, usable_known(dataset, split)))
    return SplitScores(nothing, nothing, labels_seen, labels_unseen, names, seen, nearest, known=known)


def score_split(
    model: ScoringModel,
    dataset: FeaturedDataset,
    split: Split,
    config: InferenceConfig,
    *,
    seed: int,
    candidates: np.ndarray | None = None,
    trained: Sequence[str] | None = None,
    labels: LabelEvidence | None = None,
) -> SplitScores:
    """Return the scores of the test photos of a split.

    candidates: as for `split_frame`; by default those of `tested_classes`. trained: names of the classes that the model
    was trained on, in its order, and labels: the evidence of known classes; by default those of the split.
    """
    candidates = tested_classes(dataset) if candidates is None else candidates
    prototypes = torch.from_numpy(dataset.classes.values[candidates])
    names = dataset.classes.names
    if trained is None:
        trained, labels = [names[c] for c in training_classes(dataset, split)], label_evidence(dataset, split)
    own = torch.from_numpy(class_positions([names[c] for c in candidates], trained))
    kinds = model.kinds(own) if isinstance(model, ZeroShotModel) else None
    named = [trained[k] if k >= 0 else names[c] for k, c in zip(own.tolist(), candidates, strict=True)]

    def scores(rows: np.ndarray) -> torch.Tensor:
        features = dataset.features[rows]
        found = score_rows(model, features, prototypes, config, seed=seed, kinds=kinds)
        return found if labels is None else found + config.label_share * labels.of_candidates(features, named)

    scores_seen, scores_unseen = (scores(rows) for rows in (split.test_seen, split.test_unseen))
    limits = None
    if isinstance(model, ZeroShotModel):
        limits = model.penalty_limits(prototypes, kinds or CandidateKinds(own), config.rule)
    frame = split_frame(dataset, split, candidates)
    known = None if labels is None else torch.tensor([name in labels.known for name in named])
    return replace(frame, scores_seen=scores_seen, scores_unseen=scores_unseen, known=known, limits=limits)


def tested_classes(dataset: Dataset) -> np.ndarray:
    """Return the candidates of the standard protocol: the classes with photos in the split, in order."""
    return np.unique(np.concatenate([dataset.labels[rows] for _, rows in dataset.split.parts()]))


def evaluate(
    checkpoint: Checkpoint,
    dataset: FeaturedDataset,
    *,
    rule: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    whole_table: bool = True,
) -> GZSLReport:
    """Evaluate a checkpoint on the test photos of a dataset: `evaluation_scores` with the model's seen penalty."""
    scores, gamma = evaluation_scores(checkpoint, dataset, rule=rule, seed=seed, device=device, whole_table=whole_table)
    return scores.report(gamma).defined()


def evaluation_scores(
    checkpoint: Checkpoint,
    dataset: FeaturedDataset,
    *,
    rule: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    whole_table: bool = True,
) -> tuple[SplitScores, float]:
    """Return the scores of the test photos of a dataset by a checkpoint, and the seen penalty.

    The penalty is the one that `predict` uses for the same number of unseen candidates.

    Candidates are all classes of the table, as for a prediction, or, without `whole_table`, those with photos in the
    split. rule, seed: instead of those of the checkpoint. Raises `LeakError` if the model may have been trained on test
    photos or unseen classes of the dataset.
    """
    dataset = as_trained(checkpoint, dataset)
    inference = checkpoint.model.config.inference_by(rule)
    seed = checkpoint.seed if seed is None else seed
    model = checkpoint.model.to(choose_device(device).value)
    candidates = np.arange(len(dataset.classes.names)) if whole_table else None
    scores = score_split(
        model,
        dataset,
        dataset.split,
        inference,
        seed=seed,
        candidates=candidates,
        trained=checkpoint.trained_names,
        labels=checkpoint.labels,
    )
    return scores, checkpoint.calibration_for(inference.rule).penalty(int((~scores.seen).sum()))


def as_trained(checkpoint: Checkpoint, dataset: FeaturedDataset) -> FeaturedDataset:
    """Return the dataset with its attributes in the order of the model.

    Raises `LeakError` as `refuse_leaks` does, `UsageError` for a dataset without features, and `InputFileError` for
    features of another backbone.
    """
    refuse_leaks(checkpoint, dataset)
    dataset = require_features(dataset)
    difference = checkpoint.backbone.difference(dataset.backbone)
    if difference:
        raise InputFileError(
            dataset.source or dataset.name,
            f"its features are from another backbone than the model's: {difference}.",
            hint=checkpoint.backbone.how_to_match(),
        )
    return replace(dataset, classes=align(dataset.classes, checkpoint.classes.attributes))


def refuse_leaks(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """Raise `LeakError` unless the model was trained on the trainval part of this dataset."""
    trained = {class_key(name) for name in checkpoint.seen}
    shown = [
        dataset.classes.names[c] for c in dataset.unseen if not trained.isdisjoint(class_keys(dataset.classes.names[c]))
    ]
    if shown:
        raise LeakError(
            dataset.source or dataset.name,
            f"the model was trained on photos of {len(shown)} classes that are unseen here ({', '.join(shown[:5])}), "
            "so U and T1 would be invalid.",
            hint="Train a model on this dataset: revcd train --dataset ...",
        )
    if checkpoint.dataset.get("split_sha256") != dataset.split_sha256:
        raise LeakError(
            dataset.source or dataset.name,
            f"this split ({dataset.split_sha256[:12]}) is not the one that the model was trained on "
            f"({str(checkpoint.dataset.get('split_sha256'))[:12]}), so test photos may have been used to train it.",
            hint="Evaluate on the dataset it was trained on, or train on this one: revcd train --dataset ...",
        )
