"""What validation decides from the scores of its folds, against searches that count."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from revcd_cli.config import TrainConfig
from revcd_cli.pipeline.evaluate.split_scores import SplitScores
from revcd_cli.pipeline.train.validation import Verdict, judge, mean_figures, merit, own_figures

SETTINGS = TrainConfig()
NAMES = tuple("abcdef")


def fold(seed: int, *, bonus: float = 1.0, rows: tuple[int, int] = (40, 30)) -> SplitScores:
    """Return scores of a fold in which two of six classes, other ones in each fold, play unseen."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.ones(6).bool()
    seen[[seed % 6, (seed + 3) % 6]] = False
    parts = []
    for kind, count in zip((seen, ~seen), rows, strict=True):
        classes = kind.nonzero()[:, 0]
        labels = classes[torch.randint(len(classes), (count,), generator=generator)]
        scores = torch.randn(count, 6, generator=generator) + bonus * seen
        parts.append((scores + 1.5 * torch.nn.functional.one_hot(labels, 6), labels))
    (scores_seen, labels_seen), (scores_unseen, labels_unseen) = parts
    return SplitScores(scores_seen, scores_unseen, labels_seen, labels_unseen, NAMES, seen)


FOLDS = [fold(seed) for seed in range(3)]


def test_the_figures_are_the_means_of_the_folds_at_one_penalty_for_all():
    verdict = judge(FOLDS, SETTINGS)
    reports = [each.report(verdict.calibration.gamma).headline() for each in FOLDS]
    assert verdict.folds == tuple(reports)
    for name, value in verdict.figures.items():
        assert value == pytest.approx(sum(report[name] for report in reports) / 3)
    assert verdict.merit == verdict.figures["H"]


def test_no_other_penalty_gives_a_higher_mean_h():
    best = judge(FOLDS, SETTINGS).figures["H"]
    for gamma in torch.linspace(-4, 6, 201).tolist():
        assert mean_figures([each.report(gamma).headline() for each in FOLDS])["H"] <= best + 1e-9


@pytest.mark.parametrize("penalty", ["harmonic", "sparing"])
def test_a_bonus_of_the_seen_classes_is_found_and_changes_no_figure(penalty: str):
    settings = dataclasses.replace(SETTINGS, penalty=penalty)
    plain, raised = (judge([fold(seed, bonus=bonus) for seed in range(3)], settings) for bonus in (1.0, 3.0))
    assert raised.calibration.gamma == pytest.approx(plain.calibration.gamma + 2, abs=1e-5)
    assert raised.figures == pytest.approx(plain.figures)
    for name in ("temperature", "threshold", "false_reject", "false_accept"):
        assert getattr(raised.calibration, name) == pytest.approx(getattr(plain.calibration, name), abs=1e-4)


def test_without_a_penalty_the_scores_are_taken_as_they_are():
    verdict = judge(FOLDS, dataclasses.replace(SETTINGS, penalty="none"))
    assert verdict.calibration.gamma == 0
    assert verdict.folds == tuple(each.report().headline() for each in FOLDS)


@pytest.mark.parametrize("give_away", [0.0, 0.05, 0.3])
def test_the_sparing_penalty_keeps_the_seen_accuracy_that_it_must(give_away: float):
    verdict = judge(FOLDS, dataclasses.replace(SETTINGS, penalty="sparing", give_away=give_away))
    alone = mean_figures([{"S": each.report().acc_seen_alone} for each in FOLDS])["S"]
    assert verdict.figures["S"] >= (1 - give_away) * alone - 1e-9


def rejected_shares(verdict: Verdict) -> tuple[float, float]:
    """Count, photo by photo, which known ones lie below the threshold, and which strange ones do not."""
    gamma, threshold = verdict.calibration.gamma, verdict.calibration.threshold
    known, strange = [], []
    for each in FOLDS:
        rows = [*each.scores_seen.tolist(), *each.scores_unseen.tolist()]
        labels = [*each.labels_seen.tolist(), *each.labels_unseen.tolist()]
        for row, label in zip(rows, labels, strict=True):
            lowered = [score - gamma * seen for score, seen in zip(row, each.seen.tolist(), strict=True)]
            known.append(max(lowered) < threshold - 1e-6)
            strange.append(max(s for c, s in enumerate(lowered) if c != label) >= threshold - 1e-6)
    return sum(known) / len(known), sum(strange) / len(strange)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_rates_of_the_threshold_are_those_of_counting(share: float):
    verdict = judge(FOLDS, dataclasses.replace(SETTINGS, false_reject=share))
    rates = verdict.calibration.false_reject, verdict.calibration.false_accept
    assert rates == pytest.approx(rejected_shares(verdict), abs=1 / 200)
    assert rates[0] == pytest.approx(share, abs=0.01)


def test_more_false_rejects_mean_fewer_false_accepts():
    verdicts = [judge(FOLDS, dataclasses.replace(SETTINGS, false_reject=share)) for share in (0.01, 0.05, 0.2, 0.6)]
    accepted = [verdict.calibration.false_accept for verdict in verdicts]
    assert accepted == sorted(accepted, reverse=True) and accepted[0] > accepted[-1]
    assert len({verdict.calibration.gamma for verdict in verdicts}) == 1


def test_the_order_of_the_folds_makes_no_difference():
    one, other = judge(FOLDS, SETTINGS), judge(FOLDS[::-1], SETTINGS)
    assert one.calibration.gamma == other.calibration.gamma
    assert one.calibration.temperature == pytest.approx(other.calibration.temperature)
    assert one.figures == pytest.approx(other.figures)


def test_a_fold_is_watched_at_the_penalty_that_is_best_for_it():
    for each in FOLDS:
        assert own_figures(each, SETTINGS) == judge([each], SETTINGS).figures
    mean = mean_figures([own_figures(each, SETTINGS) for each in FOLDS])
    assert mean["H"] >= judge(FOLDS, SETTINGS).figures["H"] - 1e-12


def test_folds_without_photos_of_seen_classes_are_judged_by_what_is_left():
    bare = [
        dataclasses.replace(each, scores_seen=each.scores_seen[:0], labels_seen=each.labels_seen[:0]) for each in FOLDS
    ]
    verdict = judge(bare, SETTINGS)
    assert verdict.figures["H"] is None and verdict.figures["S"] is None
    assert verdict.merit == verdict.figures["T1"]
    assert verdict.calibration.gamma == 0 and math.isfinite(verdict.calibration.threshold)


@pytest.mark.parametrize(
    ("figures", "value"),
    [
        ({}, -1.0),
        ({"H": 0.4, "S": 0.9, "T1": 0.5}, 0.4),
        ({"H": 0.0, "S": 0.9, "T1": 0.5}, 0.0),
        ({"H": None, "S": 0.9, "T1": None}, 0.9),
        ({"H": None, "S": None, "T1": 0.5}, 0.5),
        ({"H": None, "S": None, "T1": None}, 0.0),
    ],
)
def test_validation_maximises_h_or_what_there_is(figures: dict, value: float):
    assert merit(figures) == value
