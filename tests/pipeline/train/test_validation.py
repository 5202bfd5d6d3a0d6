"""Validation: penalty, figures and rejection threshold from the scores of the folds, against slow computations."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from revcd_cli.checkpoint.calibration import Calibration
from revcd_cli.config import Config, TrainConfig
from revcd_cli.metrics.neighbours import nearest_seen
from revcd_cli.metrics.summary import KEPT
from revcd_cli.pipeline.evaluate.split_scores import SplitScores
from revcd_cli.pipeline.train.validation import (
    ValidationResult,
    mean_figures,
    merit,
    own_figures,
    settings_for,
    validate_scores,
)

SETTINGS = TrainConfig()
NAMES = tuple("abcdef")


def fold(seed: int, *, bonus: float = 1.0, rows: tuple[int, int] = (40, 30)) -> SplitScores:
    """Return the scores of a fold that holds out two of six classes, which differ from fold to fold."""
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
    nearest = nearest_seen(torch.rand(6, 3, generator=generator), seen)
    return SplitScores(scores_seen, scores_unseen, labels_seen, labels_unseen, NAMES, seen, nearest)


FOLDS = [fold(seed) for seed in range(3)]


def test_the_figures_are_the_means_of_the_folds_at_one_penalty_for_all():
    result = validate_scores(FOLDS, SETTINGS)
    gamma = result.calibration.gamma
    reports = [each.report(gamma).headline() | {KEPT: each.neighbour_photos_kept(gamma)} for each in FOLDS]
    assert result.folds == tuple(reports)
    for name, value in result.figures.items():
        assert value == pytest.approx(sum(report[name] for report in reports) / 3)
    assert result.merit == result.figures["H"]


def test_no_other_penalty_gives_a_higher_mean_h():
    best = validate_scores(FOLDS, SETTINGS).figures["H"]
    for gamma in torch.linspace(-4, 6, 201).tolist():
        assert mean_figures([each.report(gamma).headline() for each in FOLDS])["H"] <= best + 1e-9


@pytest.mark.parametrize("penalty", ["harmonic", "sparing"])
def test_a_bias_of_the_seen_scores_is_removed_and_changes_no_figure(penalty: str):
    settings = dataclasses.replace(SETTINGS, penalty=penalty)
    plain, raised = (validate_scores([fold(seed, bonus=bonus) for seed in range(3)], settings) for bonus in (1.0, 3.0))
    assert raised.calibration.gamma == pytest.approx(plain.calibration.gamma + 2, abs=1e-5)
    assert raised.figures == pytest.approx(plain.figures)
    for name in ("temperature", "threshold", "false_reject", "false_accept"):
        assert getattr(raised.calibration, name) == pytest.approx(getattr(plain.calibration, name), abs=1e-4)


def test_without_a_penalty_the_scores_are_not_changed():
    result = validate_scores(FOLDS, dataclasses.replace(SETTINGS, penalty="none"))
    assert result.calibration.gamma == 0
    assert result.folds == tuple(each.report().headline() | {KEPT: each.neighbour_photos_kept()} for each in FOLDS)


@pytest.mark.parametrize("give_away", [0.0, 0.05, 0.3])
def test_the_sparing_penalty_keeps_the_required_seen_accuracy(give_away: float):
    result = validate_scores(FOLDS, dataclasses.replace(SETTINGS, penalty="sparing", give_away=give_away))
    alone = mean_figures([{"S": each.report().acc_seen_alone} for each in FOLDS])["S"]
    assert result.figures["S"] >= (1 - give_away) * alone - 1e-9


def slow_chance(lowered: list[float], seen: list[bool], calibration: Calibration) -> float:
    """Return the chance that the best class of one photo is right, in plain Python."""
    order = sorted(range(len(lowered)), key=lambda c: -lowered[c])
    best, second = (lowered[c] / calibration.temperature for c in order[:2])
    chance = math.exp(best) / sum(math.exp(score / calibration.temperature) for score in lowered)
    quantities = best, best - second, math.log(chance / (1 - chance)), float(not seen[order[0]]), 1.0
    return 1 / (1 + math.exp(-sum(w * q for w, q in zip(calibration.rejection, quantities, strict=True))))


def rejected_shares(result: ValidationResult) -> tuple[float, float]:
    """Return the shares of rejected right answers and of named photos of no candidate, counted photo by photo."""
    calibration = result.calibration
    right, unknown = [], []
    for each in FOLDS:
        rows = [*each.scores_seen.tolist(), *each.scores_unseen.tolist()]
        labels = [*each.labels_seen.tolist(), *each.labels_unseen.tolist()]
        seen = each.seen.tolist()
        for row, label in zip(rows, labels, strict=True):
            lowered = [score - calibration.gamma * is_seen for score, is_seen in zip(row, seen, strict=True)]
            if max(range(6), key=lowered.__getitem__) == label:
                right.append(slow_chance(lowered, seen, calibration) < calibration.threshold - 1e-6)
            others = [c for c in range(6) if c != label]
            fit = slow_chance([lowered[c] for c in others], [seen[c] for c in others], calibration)
            unknown.append(fit >= calibration.threshold - 1e-6)
    return sum(right) / len(right), sum(unknown) / len(unknown)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_rates_of_the_threshold_are_those_of_a_count(share: float):
    result = validate_scores(FOLDS, dataclasses.replace(SETTINGS, false_reject=share))
    rates = result.calibration.false_reject, result.calibration.false_accept
    assert rates == pytest.approx(rejected_shares(result), abs=1 / 200)
    assert rates[0] == pytest.approx(share, abs=0.01)


def test_more_false_rejects_mean_fewer_false_accepts():
    results = [
        validate_scores(FOLDS, dataclasses.replace(SETTINGS, false_reject=share)) for share in (0.01, 0.05, 0.2, 0.6)
    ]
    accepted = [result.calibration.false_accept for result in results]
    assert accepted == sorted(accepted, reverse=True) and accepted[0] > accepted[-1]
    assert len({result.calibration.gamma for result in results}) == 1


def test_the_order_of_the_folds_does_not_matter():
    one, other = validate_scores(FOLDS, SETTINGS), validate_scores(FOLDS[::-1], SETTINGS)
    assert one.calibration.gamma == other.calibration.gamma
    assert one.calibration.temperature == pytest.approx(other.calibration.temperature)
    assert one.figures == pytest.approx(other.figures)


def test_own_figures_are_those_at_the_best_penalty_of_the_fold():
    for each in FOLDS:
        assert own_figures(each, SETTINGS) == validate_scores([each], SETTINGS).figures
    mean = mean_figures([own_figures(each, SETTINGS) for each in FOLDS])
    assert mean["H"] >= validate_scores(FOLDS, SETTINGS).figures["H"] - 1e-12


def test_folds_without_photos_of_seen_classes_are_judged_by_t1():
    bare = [
        dataclasses.replace(each, scores_seen=each.scores_seen[:0], labels_seen=each.labels_seen[:0]) for each in FOLDS
    ]
    result = validate_scores(bare, SETTINGS)
    assert result.figures["H"] is None and result.figures["S"] is None
    assert result.merit == result.figures["T1"]
    assert result.calibration.gamma == 0 and math.isfinite(result.calibration.threshold)


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
def test_validation_maximises_h_or_else_s_or_t1(figures: dict, value: float):
    assert merit(figures) == value


def auto_of(config: Config) -> tuple[object, ...]:
    """Return the settings that `settings_for` replaces."""
    return config.train.penalty, config.train.candidates, config.prototypes.taken_limit


def test_a_user_s_model_spares_its_seen_classes_and_a_benchmark_has_the_best_h(make_toy):
    own, config = dataclasses.replace(make_toy(), published=False), Config()
    assert (config.train.penalty, config.train.candidates) == ("auto", "auto")
    assert auto_of(settings_for(own, config)) == ("sparing", "table", 0.1)
    published = settings_for(dataclasses.replace(own, published=True), config)
    assert auto_of(published) == ("harmonic", "seen", 1)
    many = dataclasses.replace(own.classes, names=tuple(f"class {k}" for k in range(1001)))
    assert auto_of(settings_for(dataclasses.replace(own, classes=many), config)) == ("sparing", "seen", 0.1)
    given = Config.from_dict({"prototypes": {"taken_limit": 0.4}})
    assert auto_of(settings_for(own, given)) == ("sparing", "table", 0.4)


@pytest.mark.parametrize("penalty", ["harmonic", "sparing", "none"])
def test_a_penalty_that_is_given_keeps_the_candidates_with_photos(penalty: str, make_toy):
    config = Config.from_dict({"train": {"penalty": penalty}})
    limit = 0.1 if penalty == "sparing" else 1
    assert auto_of(settings_for(make_toy(), config)) == (penalty, "seen", limit)
    table = Config.from_dict({"train": {"penalty": penalty, "candidates": "table"}})
    assert auto_of(settings_for(make_toy(), table)) == (penalty, "table", limit)


def test_without_a_dataset_the_penalty_is_that_of_the_best_h():
    harmonic = validate_scores(FOLDS, dataclasses.replace(SETTINGS, penalty="harmonic"))
    assert validate_scores(FOLDS, dataclasses.replace(SETTINGS, penalty="auto")).calibration == harmonic.calibration
