"""Choose the settings of the visual prototypes on the validation folds, before the networks are trained.

The prototypes have a closed form, so every combination of `PROTOTYPE_GRID` is tried. The baselines' grids are searched
on the same folds, by the same figure.
Symbols: P components, C classes of a fold's training.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...config import PROTOTYPE_GRID, Config, PrototypeConfig
from ...data.classes.attributes import class_positions
from ...data.datasets.dataset import FeaturedDataset
from ...data.datasets.splits import Split
from ...scoring.calibration import score_unit
from ...scoring.prototypes.visual_prototypes import VisualPrototypes
from ...system.threads import one_thread
from ..evaluate.evaluate import split_frame
from ..evaluate.split_scores import SplitScores
from ..known_classes.training_rows import class_kinds, label_evidence, training_classes, training_rows
from .validation import score_unit_rows, validate_scores, validation_candidates


def choose_prototypes(
    dataset: FeaturedDataset, config: Config, folds: Sequence[Split], seed: int, device: torch.device
) -> Config:
    """Return the settings with numbers in place of "auto" in `prototypes`: those with the best AUSUC over the folds.

    Prototypes alone are measured; ties: the first of the grid. H is noisier, because it depends on the penalty, too
    (docs/lab/2026-11-27-drawn-processes.md). Without folds the usual numbers are taken.
    """
    settings = config.prototypes
    if not settings.searched or not folds:
        return replace(config, prototypes=settings.fixed())
    with one_thread(), torch.no_grad():  # no inference mode, because `fit_relevance` computes gradients
        fitted = [FittedFold(dataset, config, split, seed, device) for split in folds]

        def area(one: PrototypeConfig) -> float:
            return validate_scores([fold.scores(one) for fold in fitted], config.train).area

        return replace(config, prototypes=max(_grid(settings), key=area))


def _grid(settings: PrototypeConfig) -> list[PrototypeConfig]:
    """Return the combinations to try, those that differ only in own_share, the last of the grid, next to each other."""
    names = settings.searched
    values = itertools.product(*(PROTOTYPE_GRID[name] for name in names))
    start = settings.fixed()
    return [replace(start, **dict(zip(names, each, strict=True))) for each in values]  # type: ignore[arg-type]


class FittedFold:
    """The prototypes of a fold's training classes, and its photos in their components, which are always the same."""

    def __init__(self, dataset: FeaturedDataset, config: Config, split: Split, seed: int, device: torch.device) -> None:
        rows = training_rows(dataset, split, seed)
        candidates, classes = validation_candidates(dataset, config.train), training_classes(dataset, split)
        names = dataset.classes.names
        trained = [names[c] for c in classes]
        self.frame, self.kinds = split_frame(dataset, split, candidates), class_kinds(dataset, split)
        self.own = torch.from_numpy(class_positions([names[c] for c in candidates], trained)).to(device)
        self.known = rows.prototypes.to(device)
        self.candidates = torch.from_numpy(dataset.classes.values[candidates]).to(device)
        features, tokens = dataset.features, max(dataset.backbone.tokens, 1)
        self.process = VisualPrototypes(
            config.prototypes, features.shape[1], self.known.shape[1], len(self.known), tokens
        ).to(device)
        self.process.fit(rows.features.to(device), rows.labels.to(device), self.known, kinds=self.kinds)

        def components(of: np.ndarray) -> Tensor:
            return self.process.photo_components(torch.from_numpy(features[of]).to(device))

        self.seen, self.unseen = components(split.test_seen), components(split.test_unseen)
        unit_rows = score_unit_rows(split)
        self.unit = components(unit_rows) if len(unit_rows) else self.process.photo_components(rows.features.to(device))
        self.fitted: tuple[float | str, ...] = ()
        self.by_description: list[Tensor] = []  # scores of seen and unseen test photos
        self.by_photos: list[Tensor] = []  # the same with classes of the training by their own photos alone
        labels, share = label_evidence(dataset, split), config.inference.label_share
        named = [trained[k] if k >= 0 else names[c] for k, c in zip(self.own.tolist(), candidates, strict=True)]
        self.evidence: list[Tensor | float] = [0.0, 0.0]  # of the classifier, for known candidates
        if labels is not None:
            parts = (features[split.test_seen], features[split.test_unseen])
            self.evidence = [share * labels.of_candidates(part, named) for part in parts]

    def scores(self, settings: PrototypeConfig) -> SplitScores:
        """Return the scores of the fold's test photos with these settings, in units of their spread."""
        process = settings.whitening, settings.length, settings.noise
        if self.fitted != process:
            self.process.refit(settings, self.known, self.kinds)
            unit = score_unit(self.process.score_components(self.unit, self.known))
            self.by_description, self.by_photos = (self._parts(settings, share, unit) for share in (0.0, 1.0))
            self.fitted = process
        seen, unseen = (  # scores are linear in own_share
            torch.lerp(one, other, float(settings.own_share)) + evidence
            for one, other, evidence in zip(self.by_description, self.by_photos, self.evidence, strict=True)
        )
        return replace(self.frame, scores_seen=seen, scores_unseen=unseen)

    def _parts(self, settings: PrototypeConfig, own_share: float, unit: float) -> list[Tensor]:
        """Return the scores of seen and of unseen test photos with another own_share, in units of their spread."""
        self.process.config = replace(settings, own_share=own_share)
        kinds = self.process.kinds(self.own)
        return [
            (self.process.score_components(photos, self.candidates, kinds) / unit).cpu()
            for photos in (self.seen, self.unseen)
        ]
