"""The seen penalty for a number of described classes: fitted on subsets, equal to the fold's at its own number."""

from __future__ import annotations

import math

import pytest
import torch

from revcd_cli.checkpoint.calibration import Calibration
from revcd_cli.pipeline.evaluate.split_scores import SplitScores
from revcd_cli.pipeline.train.candidate_numbers import fit_slope, unseen_candidates
from revcd_cli.scoring.calibration import harmonic_penalty


def fold(seed: int, unseen: int = 16, seen: int = 24) -> SplitScores:
    """Return a fold whose unseen classes score lower, with random scores and 12 photos of each class."""
    generator = torch.Generator().manual_seed(seed)
    classes = seen + unseen
    labels = torch.arange(classes).repeat_interleave(12)
    is_seen = torch.arange(classes) < seen
    scores = torch.randn(len(labels), classes, generator=generator) + 1.0 * is_seen
    scores += 3 * torch.nn.functional.one_hot(labels, classes)
    rows = is_seen[labels]
    return SplitScores(
        scores[rows], scores[~rows], labels[rows], labels[~rows], tuple(map(str, range(classes))), is_seen
    )


FOLDS = [fold(seed) for seed in range(3)]
GAMMA = harmonic_penalty([each.curve() for each in FOLDS])


def test_with_fewer_unseen_candidates_the_fitted_penalty_gives_a_higher_h_than_the_fixed_one():
    calibration = Calibration(gamma=GAMMA, gamma_slope=fit_slope(FOLDS, GAMMA), gamma_classes=unseen_candidates(FOLDS))
    assert calibration.gamma_slope < -0.1  # fewer unseen candidates win less often, so the penalty must be larger
    few = [fold(seed, unseen=2) for seed in range(10, 16)]
    fixed, fitted = (sum(each.report(gamma).harmonic_mean for each in few) for gamma in (GAMMA, calibration.penalty(2)))
    assert fitted > fixed


def test_at_the_number_of_validation_the_penalty_is_that_of_validation():
    calibration = Calibration(gamma=1.5, gamma_slope=-0.4, gamma_classes=8)
    assert calibration.penalty(8) == 1.5
    assert calibration.penalty(4) == pytest.approx(1.5 + 0.4 * math.log(2))
    assert calibration.penalty(80) == calibration.penalty(10_000) == pytest.approx(1.5 - 0.4 * math.log(10))
    assert calibration.penalty(0) == 1.5  # no unseen candidate: the penalty does not matter
    assert Calibration(gamma=1.5).penalty(3) == 1.5  # models of earlier versions


def test_applied_penalties_depend_on_the_number_of_unseen_candidates():
    calibration = Calibration(gamma=1.0, gamma_slope=-0.5, gamma_classes=2)
    scores, seen = torch.zeros(3, 5), torch.tensor([True, False, False, False, False])
    applied = calibration.apply(scores, seen)
    assert applied[:, 0].tolist() == pytest.approx([-(1.0 - 0.5 * math.log(2))] * 3)
    assert torch.equal(applied[:, 1:], scores[:, 1:])


def test_folds_with_few_unseen_classes_or_none_have_no_slope():
    assert fit_slope([fold(0, unseen=3)], 1.0) == 0
    assert fit_slope([], 1.0) == 0
    assert fit_slope([FOLDS[0].of_classes(torch.arange(24))], 1.0) == 0
    assert unseen_candidates(FOLDS) == 16
    assert unseen_candidates([]) == 0


def test_a_part_of_the_classes_has_their_photos_and_columns():
    rows = torch.tensor([3, 20, 24, 39])
    part = FOLDS[0].of_classes(rows)
    assert part.names == ("3", "20", "24", "39") and part.seen.tolist() == [True, True, False, False]
    assert part.labels_seen.bincount().tolist() == [12, 12] and part.labels_unseen.bincount().tolist() == [0, 0, 12, 12]
    unseen = torch.isin(FOLDS[0].labels_unseen, rows)
    assert torch.equal(part.scores_unseen, FOLDS[0].scores_unseen[unseen][:, rows])
