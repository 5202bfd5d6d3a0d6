"""What validation decides: from the scores of its folds to a seen penalty, a temperature and a threshold for refusal.

RevCD and every baseline are judged here, by the same folds and the same search, so that none has an advantage.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch

from ...checkpoint.calibration import Calibration
from ...config import TrainConfig
from ...data.datasets.dataset import Dataset
from ...data.datasets.splits import Split, validation_folds
from ...scoring.calibration import (
    fit_temperature,
    harmonic_penalty,
    rejection_scores,
    rejection_threshold,
    sparing_penalty,
)
from ..evaluate.split_scores import SplitScores

_UNIT_ROWS = 512  # training photos from which the unit of the scores is taken


def draw_folds(dataset: Dataset, settings: TrainConfig, seed: int) -> list[Split]:
    """Return the folds of validation, the same for every method with the same seed; none if validation is off."""
    return validation_folds(
        dataset.labels,
        dataset.split,
        seed,
        folds=settings.validation_folds,
        class_fraction=settings.validation_classes,
        row_fraction=settings.validation_rows,
        keys=dataset.keys,
    )


def unit_rows(split: Split) -> np.ndarray:
    """Return training photos of a split from whose scores the unit is taken (see `core.calibrate.score_unit`)."""
    rows = split.trainval
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _UNIT_ROWS)).astype(int)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """What validation found of one way to score."""

    figures: dict[str, float | None]  # S, U, H, T1, AUSUC: means over the folds, at the penalty that all folds share
    folds: tuple[dict[str, float | None], ...]  # the same of each fold
    gamma: float  # that penalty
    scores: tuple[SplitScores, ...]
    settings: TrainConfig

    @property
    def merit(self) -> float:
        """Return what validation maximises: H, or S or T1 where there is nothing of the other kind to validate on."""
        return merit(self.figures)

    @functools.cached_property
    def calibration(self) -> Calibration:
        """The penalty, with a temperature and a threshold that are fitted on the photos of all folds together.

        For the threshold each photo counts twice: once with all candidates, once without its own class, as a photo of
        none of them. Fitted when asked for: what validation does not choose needs none.
        """
        parts = zip(*(fold.calibrated(self.gamma) for fold in self.scores), strict=True)
        scores, labels = (torch.cat(part) for part in parts)
        own = torch.nn.functional.one_hot(labels, scores.shape[1]).bool()
        known, strange = rejection_scores(scores), rejection_scores(scores.masked_fill(own, -torch.inf))
        threshold = rejection_threshold(known, self.settings.false_reject)
        return Calibration(
            gamma=self.gamma,
            temperature=fit_temperature(scores, labels),
            threshold=threshold,
            false_reject=_share(known < threshold),
            false_accept=_share(strange >= threshold),
        )


def merit(figures: dict[str, Any]) -> float:
    """Return the figure that validation maximises; -1 if nothing was measured."""
    if not figures:
        return -1.0
    return next((figures[name] for name in ("H", "S", "T1") if figures[name] is not None), 0.0)


def judge(folds: Sequence[SplitScores], settings: TrainConfig) -> Verdict:
    """Choose one penalty for all folds. Their scores are to be in units of their own spread (`in_units`).

    It is the one with the best mean H over the folds (or see `train.penalty`).
    """
    gamma = _penalty(folds, settings)
    reports = tuple(fold.report(gamma).headline() for fold in folds)
    return Verdict(figures=mean_figures(reports), folds=reports, gamma=gamma, scores=tuple(folds), settings=settings)


def own_figures(fold: SplitScores, settings: TrainConfig) -> dict[str, float | None]:
    """Return the figures of one fold at the penalty that is best for it alone: to watch, not to choose by."""
    return fold.report(_penalty([fold], settings)).headline()


def mean_figures(reports: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each figure; None where one of them is None."""
    return {
        name: None if any(report[name] is None for report in reports) else fmean(report[name] for report in reports)
        for name in reports[0]
    }


def _penalty(folds: Sequence[SplitScores], settings: TrainConfig) -> float:
    curves = [curve for curve in (fold.curve() for fold in folds) if curve is not None]
    if settings.penalty == "none" or not curves:
        return 0.0
    return harmonic_penalty(curves) if settings.penalty == "harmonic" else sparing_penalty(curves, settings.give_away)


def _share(happened: torch.Tensor) -> float:
    return float(happened.double().mean()) if len(happened) else 0.0
