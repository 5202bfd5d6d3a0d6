"""Cross-validation: its folds, and from their scores the seen penalty, the temperature and the rejection threshold.

RevCD and all baselines use the same folds and the same search here, so that their comparison is fair.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch

from ...checkpoint.calibration import Calibration
from ...config import AUTO, Config, TrainConfig
from ...data.datasets.dataset import Dataset
from ...data.datasets.splits import Split, validation_folds
from ...metrics.summary import KEPT
from ...scoring.calibration import (
    fit_temperature,
    harmonic_penalty,
    sparing_penalty,
)
from ..evaluate.split_scores import SplitScores
from .candidate_numbers import fit_slope, unseen_candidates
from .rejection import fit_rejection

_MOST_CANDIDATES = 1000  # for validation among all classes of the table by "auto", so that it does not take long
_TAKEN_LIMIT = 0.1  # of the sparing penalty (docs/results.md, "A new class: photos, its neighbour, and the penalty")
_UNIT_ROWS = 512  # training photos whose scores determine the unit of the scores


def draw_folds(dataset: Dataset, settings: TrainConfig, seed: int) -> list[Split]:
    """Return the cross-validation folds, the same for all methods with the same seed; none if validation is off."""
    return validation_folds(
        dataset.labels,
        dataset.split,
        seed,
        folds=settings.validation_folds,
        class_fraction=settings.validation_classes,
        row_fraction=settings.validation_rows,
        keys=dataset.keys,
    )


def settings_for(dataset: Dataset, config: Config) -> Config:
    """Return the settings of a training with the penalty, its limit, and the candidates that "auto" stands for.

    On a benchmark they are those of the best H. A user's model names all classes of the table and must keep its seen
    classes, so the penalty is sparing and limited, and all classes are candidates of validation, unless there are more
    than `_MOST_CANDIDATES` (docs/results.md, "The penalty on small data sets").
    """
    train = config.train
    is_own = train.penalty == "auto" and not dataset.published
    penalty = "sparing" if is_own else "harmonic" if train.penalty == "auto" else train.penalty
    all_classes = is_own and len(dataset.classes.names) <= _MOST_CANDIDATES
    candidates = train.candidates if train.candidates != "auto" else "table" if all_classes else "seen"
    limit = config.prototypes.taken_limit
    limit = limit if limit != AUTO else _TAKEN_LIMIT if penalty == "sparing" else 1.0
    return replace(
        config,
        train=replace(train, penalty=penalty, candidates=candidates),
        prototypes=replace(config.prototypes, taken_limit=limit),
    )


def validation_candidates(dataset: Dataset, settings: TrainConfig) -> np.ndarray:
    """Return the classes among which the photos of the folds are classified, rows of the class table.

    "auto" stands for those with photos in trainval; see `settings_for`.
    """
    return np.arange(len(dataset.classes.names)) if settings.candidates == "table" else np.array(dataset.seen)


def score_unit_rows(split: Split) -> np.ndarray:
    """Return the training photos of a split whose scores determine the unit, see `scoring.calibration.score_unit`."""
    rows = split.trainval
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _UNIT_ROWS)).astype(int)]


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidationResult:
    """The result of cross-validation for one epoch and one scoring rule."""

    figures: dict[str, float | None]  # S, U, H, T1, AUSUC and `KEPT`: means over the folds, at the common penalty
    folds: tuple[dict[str, float | None], ...]  # the same for each fold
    gamma: float  # seen penalty, common to all folds
    scores: tuple[SplitScores, ...]
    settings: TrainConfig

    @property
    def merit(self) -> float:
        """The figure by which epochs, rules and shares are chosen, see `merit`."""
        return merit(self.figures)

    @property
    def area(self) -> float:
        """AUSUC, by which the settings of a grid are chosen: no penalty changes it. `merit` if it is undefined."""
        area = self.figures.get("AUSUC")
        return self.merit if area is None else area

    @functools.cached_property
    def calibration(self) -> Calibration:
        """The penalty, with a temperature and a rejection fitted on the photos of all folds together.

        Computed on first use, because only the chosen results need it.
        """
        parts = zip(*(fold.calibrated(self.gamma) for fold in self.scores), strict=True)
        scores, labels = (torch.cat(part) for part in parts)
        temperature = fit_temperature(scores, labels)
        return Calibration(
            gamma=self.gamma,
            gamma_slope=fit_slope(self.scores, self.gamma) if _is_harmonic(self.settings) else 0.0,
            gamma_classes=unseen_candidates(self.scores),
            temperature=temperature,
            **fit_rejection(self.scores, self.gamma, temperature, self.settings.false_reject),
        )


def merit(figures: dict[str, Any]) -> float:
    """Return the figure that validation maximises: H; S or T1 if H is undefined; -1 without figures."""
    if not figures:
        return -1.0
    return next((figures[name] for name in ("H", "S", "T1") if figures[name] is not None), 0.0)


def validate_scores(folds: Sequence[SplitScores], settings: TrainConfig) -> ValidationResult:
    """Choose one seen penalty for all folds: the one with the best mean H, or as `train.penalty` says.

    The scores of each fold must be in units of their own spread (`SplitScores.in_units`).
    """
    gamma = _penalty(folds, settings)
    reports = tuple(_figures(fold, gamma) for fold in folds)
    return ValidationResult(
        figures=mean_figures(reports), folds=reports, gamma=gamma, scores=tuple(folds), settings=settings
    )


def own_figures(fold: SplitScores, settings: TrainConfig) -> dict[str, float | None]:
    """Return the figures of one fold at the penalty that is best for this fold; for progress messages only."""
    return _figures(fold, _penalty([fold], settings))


def _figures(fold: SplitScores, gamma: float) -> dict[str, float | None]:
    return fold.report(gamma).headline() | {KEPT: fold.neighbour_photos_kept(gamma)}


def mean_figures(reports: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each figure, None if it is None in any report."""
    return {name: _mean([report[name] for report in reports]) for name in reports[0]}


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if len(defined) == len(values) else None


def _penalty(folds: Sequence[SplitScores], settings: TrainConfig) -> float:
    curves = [curve for curve in (fold.curve() for fold in folds) if curve is not None]
    if settings.penalty == "none" or not curves:
        return 0.0
    return harmonic_penalty(curves) if _is_harmonic(settings) else sparing_penalty(curves, settings.give_away)


def _is_harmonic(settings: TrainConfig) -> bool:
    return settings.penalty in ("auto", "harmonic")
