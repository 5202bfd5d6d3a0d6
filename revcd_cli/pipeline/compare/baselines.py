"""Fit baselines and bounds to a dataset: validation chooses a setting from a grid, then trainval fits it.

Folds and the search for a seen penalty are those of RevCD (`train.validation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...baselines.cada_vae import CADA_VAE_GRID, cada_vae
from ...baselines.class_norm import CLASS_NORM_GRID, class_norm
from ...baselines.exem import EXEM_GRID, exem
from ...baselines.linear import ESZSL_GRID, RIDGE_GRID, SAE_GRID, eszsl, ridge, sae
from ...baselines.oracle import ORACLE_GRID, PrototypeOracle
from ...baselines.preprocessing import GridSetting, Scorer
from ...baselines.probe import CONSE_GRID, PROBE_GRID, conse, linear_probe
from ...config import Config
from ...core.trainer import TrainingRows
from ...data.datasets.dataset import FeaturedDataset
from ...data.datasets.splits import Split
from ...scoring.calibration import score_unit
from ..evaluate.evaluate import split_frame
from ..evaluate.split_scores import SplitScores
from ..known_classes.training_rows import class_kinds, training_rows
from ..train.validation import draw_folds, score_unit_rows, validate_scores, validation_candidates
from .fitted import Fitted
from .simulated_rows import SUFFIX, with_simulated_classes

_ROWS_AT_ONCE = 1024

Fit = Callable[[TrainingRows, Sequence[GridSetting], int], Iterator[Scorer]]
# (dataset, split, candidates, settings, seed) -> scores of the split's test photos, in score units, for each setting
ScoreSettings = Callable[[FeaturedDataset, Split, np.ndarray, Sequence[GridSetting], int], Iterator[SplitScores]]


@dataclass(frozen=True)
class Baseline:
    """A method and its grid of settings. Without validation photos, the first setting is used."""

    score_settings: ScoreSettings
    grid: tuple[GridSetting, ...]
    seeded: bool = False  # whether the fit depends on the seed, apart from the folds


def fit_baseline(dataset: FeaturedDataset, config: Config, baseline: Baseline, seed: int) -> Fitted:
    """Choose a setting and a seen penalty on the folds of `seed`. Test photos are read by `Fitted.scores`."""
    folds = draw_folds(dataset, config.train, seed)
    candidates = validation_candidates(dataset, config.train)
    tried = [baseline.score_settings(dataset, fold, candidates, baseline.grid, seed) for fold in folds]
    setting, gamma, figures = baseline.grid[0], 0.0, {}
    if folds:
        verdicts = [validate_scores(scores, config.train) for scores in zip(*map(list, tried), strict=True)]
        best = max(range(len(verdicts)), key=lambda k: verdicts[k].area)  # ties: the first
        setting, gamma, figures = baseline.grid[best], verdicts[best].gamma, verdicts[best].figures

    def scores(candidates: np.ndarray) -> SplitScores:
        (outcome,) = baseline.score_settings(dataset, dataset.split, candidates, [setting], seed)
        return outcome

    return Fitted(settings=dict(setting), gamma=gamma, validation=figures, scores=scores)


def pooled_rows(dataset: FeaturedDataset, split: Split, seed: int) -> TrainingRows:
    """Return the `training_rows` of RevCD with one vector per photo: baselines do not use spatial tokens."""
    rows = training_rows(dataset, split, seed)
    return replace(rows, features=_mean_token(rows.features, dataset.backbone.tokens))


def photo_rows(dataset: FeaturedDataset, split: Split) -> TrainingRows:
    """Return the training photos of a split; labels index its seen classes, in the order of the class table."""
    seen, labels = np.unique(dataset.labels[split.trainval], return_inverse=True)
    prototypes = torch.from_numpy(dataset.classes.values[seen])
    return TrainingRows(_photos(dataset, split.trainval), torch.from_numpy(labels), prototypes)


def _by_description(fit: Fit, simulated: bool = False) -> ScoreSettings:
    """Return the scoring function of a method that scores any class by its description.

    simulated: it also trains on simulated classes.
    """

    def score_settings(
        dataset: FeaturedDataset, split: Split, candidates: np.ndarray, settings: Sequence[GridSetting], seed: int
    ) -> Iterator[SplitScores]:
        frame, table = split_frame(dataset, split, candidates), torch.from_numpy(dataset.classes.values)
        rows = pooled_rows(dataset, split, seed)
        named = (split.test_seen, split.test_unseen, score_unit_rows(split))
        parts = [_in_chunks(dataset, part) for part in named]  # the same tensors for every setting: see `Remembered`
        among = (table[candidates], table[candidates], rows.prototypes)
        training = with_simulated_classes(rows, seed, class_kinds(dataset, split)) if simulated else rows
        for scorer in fit(training, settings, seed):
            yield _in_units(frame, *(_score(scorer, *pair) for pair in zip(parts, among, strict=True)))

    return score_settings


def _probe(
    dataset: FeaturedDataset, split: Split, candidates: np.ndarray, settings: Sequence[GridSetting], seed: int
) -> Iterator[SplitScores]:
    """Score photos of seen classes among the seen classes; a linear probe has no other candidates."""
    rows, seen = photo_rows(dataset, split), np.unique(dataset.labels[split.trainval])
    frame = split_frame(dataset, replace(split, test_unseen=split.test_unseen[:0]), seen)
    parts = [_in_chunks(dataset, part) for part in (split.test_seen, score_unit_rows(split))]
    for scorer in linear_probe(rows, settings, seed):
        of_photos = [_score(scorer, part, rows.prototypes) for part in parts]
        yield _in_units(frame, of_photos[0], frame.scores_unseen, of_photos[1])


def _oracle(
    dataset: FeaturedDataset, split: Split, candidates: np.ndarray, settings: Sequence[GridSetting], seed: int
) -> Iterator[SplitScores]:
    """Score photos by the mean features of each class with photos; other candidates are left out."""
    seen, unseen = (np.unique(dataset.labels[part]) for part in (split.trainval, split.test_unseen))
    frame = split_frame(dataset, split, np.concatenate([seen, unseen]))
    positions = torch.from_numpy(np.searchsorted(unseen, dataset.labels[split.test_unseen]))
    rows = photo_rows(dataset, split)
    for setting in settings:
        oracle = PrototypeOracle(rows, setting, _photos(dataset, split.test_unseen), positions, len(unseen))
        training_scores = oracle.scores(_photos(dataset, score_unit_rows(split)))[:, : len(seen)]
        yield _in_units(frame, oracle.scores(_photos(dataset, split.test_seen)), oracle.own_scores(), training_scores)


def _in_units(frame: SplitScores, scores_seen: Tensor, scores_unseen: Tensor, training_scores: Tensor) -> SplitScores:
    """Divide scores by their unit. training_scores: (N, C) of training photos among the training classes."""
    scores = replace(frame, scores_seen=scores_seen.float(), scores_unseen=scores_unseen.float())
    return scores.in_units(score_unit(training_scores))


def _in_chunks(dataset: FeaturedDataset, rows: np.ndarray) -> tuple[Tensor, ...]:
    """Return the features of these photos in parts, which bounds the memory of scoring; one empty part of none."""
    return _photos(dataset, rows).split(_ROWS_AT_ONCE)


@torch.no_grad()
def _score(scorer: Scorer, photos: Sequence[Tensor], prototypes: Tensor) -> Tensor:
    return torch.cat([scorer(part, prototypes) for part in photos])


def _photos(dataset: FeaturedDataset, rows: np.ndarray) -> Tensor:
    """Return one vector per photo (N, D)."""
    return _mean_token(torch.from_numpy(dataset.features[rows]), dataset.backbone.tokens)


def _mean_token(features: Tensor, tokens: int) -> Tensor:
    """Return the mean of spatial tokens (N, D / tokens), or features without tokens as they are."""
    return features.unflatten(1, (tokens, -1)).mean(1) if tokens else features


_BY_DESCRIPTION: dict[str, tuple[Fit, tuple[GridSetting, ...]]] = {
    "ridge": (ridge, RIDGE_GRID),
    "eszsl": (eszsl, ESZSL_GRID),
    "sae": (sae, SAE_GRID),
    "conse": (conse, CONSE_GRID),
    "exem": (exem, EXEM_GRID),
    "class-norm": (class_norm, CLASS_NORM_GRID),
    "cada-vae": (cada_vae, CADA_VAE_GRID),
}
_SEEDED = "class-norm", "cada-vae"
BOUNDS = {
    "linear-probe": Baseline(_probe, PROBE_GRID),
    "prototype-oracle": Baseline(_oracle, ORACLE_GRID),
}
_SIMULATED = {
    name + SUFFIX: Baseline(_by_description(fit, simulated=True), grid, seeded=True)
    for name, (fit, grid) in _BY_DESCRIPTION.items()
}
BASELINES = {
    **{name: Baseline(_by_description(fit), grid, name in _SEEDED) for name, (fit, grid) in _BY_DESCRIPTION.items()},
    **BOUNDS,
    **_SIMULATED,
}
