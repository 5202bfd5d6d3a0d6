"""The prototype oracle: an upper bound that uses mean photos of unseen classes in place of their descriptions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.precondition import class_means
from ..core.trainer import TrainingRows
from .preprocessing import GridSetting, cosines, scale_features

ORACLE_GRID: tuple[GridSetting, ...] = ({"features": "standard"}, {"features": "l2"})


class PrototypeOracle:
    """Scores photos by their cosine to the mean photo of each class: of the C seen ones, then of the U unseen ones.

    It uses test labels, so it is an upper bound and not a method.
    """

    def __init__(self, rows: TrainingRows, setting: GridSetting, x: Tensor, labels: Tensor, n_unseen: int) -> None:
        """x: (B, D) features of the unseen classes' photos; labels: (B,) from 0 to n_unseen - 1."""
        self.scale, trained = scale_features(rows.features, setting["features"])
        self.x, self.labels = self.scale(x), labels
        self.n_seen = len(rows.prototypes)
        self.means = torch.cat(
            [class_means(trained, rows.labels, self.n_seen), class_means(self.x, labels, n_unseen)]
        )  # (C + U, D)

    def scores(self, x: Tensor) -> Tensor:
        """Score photos of seen classes that no mean contains, by their features (B, D). Returns (B, C + U)."""
        return cosines(self.scale(x), self.means)

    def own_scores(self) -> Tensor:
        """Score the unseen classes' photos, each one left out of its own class's mean.

        The score is 0 for a class without another photo. Returns (B, C + U).
        """
        column = self.n_seen + self.labels
        count = torch.bincount(self.labels).double()[self.labels].unsqueeze(1)  # (B, 1)
        others = count * self.means[column] - self.x  # the sum of the class's other photos
        own = (F.normalize(others, dim=1) * F.normalize(self.x, dim=1)).sum(1)
        scores = cosines(self.x, self.means)
        scores[torch.arange(len(self.x)), column] = torch.where(count[:, 0] > 1, own, 0.0)
        return scores
