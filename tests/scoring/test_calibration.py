"""Temperature, seen penalty, unit of the scores and rejection threshold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from revcd_cli.metrics.curve import SeenUnseenCurve, seen_unseen_curve
from revcd_cli.scoring.calibration import (
    calibrated,
    fit_temperature,
    harmonic_penalty,
    rejection_threshold,
    score_unit,
    sparing_penalty,
)


def scores_and_labels(temperature: float, rows: int = 5_000) -> tuple[Tensor, Tensor]:
    """Return scores, and labels drawn from softmax(scores / temperature)."""
    generator = torch.Generator().manual_seed(0)
    scores = temperature * 2 * torch.randn(rows, 6, generator=generator)
    labels = (scores / temperature).softmax(-1).multinomial(1, generator=generator)[:, 0]
    return scores, labels


@pytest.mark.parametrize("temperature", [0.003, 0.1, 1.0, 20.0])
def test_fitting_recovers_the_temperature_that_generated_the_labels(temperature: float) -> None:
    assert fit_temperature(*scores_and_labels(temperature)) == pytest.approx(temperature, rel=0.06)


@pytest.mark.parametrize("factor", [0.01, 3.0, 50.0])
def test_scaling_the_scores_scales_the_temperature(factor: float) -> None:
    scores, labels = scores_and_labels(0.7, rows=300)

    assert fit_temperature(factor * scores, labels) == pytest.approx(factor * fit_temperature(scores, labels), rel=1e-3)


def test_adding_a_constant_to_a_row_does_not_change_the_temperature() -> None:
    scores, labels = scores_and_labels(0.7, rows=300)

    assert fit_temperature(scores + torch.randn(300, 1), labels) == pytest.approx(
        fit_temperature(scores, labels), rel=1e-3
    )


def test_at_the_fitted_temperature_the_mean_expected_score_equals_the_mean_true_score() -> None:
    scores, labels = scores_and_labels(0.7, rows=300)

    temperature = fit_temperature(scores, labels)

    # The derivative of the log-likelihood by 1/temperature: mean true score minus mean expected score.
    expected = ((scores / temperature).softmax(-1) * scores).sum(-1).mean()
    truth = scores[torch.arange(300), labels].mean()
    assert float(expected) == pytest.approx(float(truth), abs=1e-4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_scores_that_are_always_right_or_always_wrong_give_a_finite_temperature(sign: float) -> None:
    labels = torch.arange(8) % 4
    scores = sign * torch.nn.functional.one_hot(labels).float()

    temperature = fit_temperature(scores, labels)

    assert math.isfinite(temperature)
    assert temperature > 0


def test_without_labels_the_temperature_is_one() -> None:
    assert fit_temperature(torch.zeros(0, 5), torch.zeros(0).long()) == 1.0


SEEN = torch.tensor([True, False, True, True, False])
Photos = tuple[Tensor, Tensor, Tensor, Tensor]


def fold(seed: int, counts: tuple[int, int] = (30, 20)) -> Photos:
    """Return scores (N, 5) and labels of photos of seen and unseen classes; seen classes have higher scores."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for kind, count in zip((SEEN, ~SEEN), counts, strict=True):
        classes = kind.nonzero()[:, 0]
        labels = classes[torch.randint(len(classes), (count,), generator=generator)]
        scores = torch.randn(count, 5, dtype=torch.float64, generator=generator)
        found += [scores + 1.5 * torch.nn.functional.one_hot(labels, 5) + SEEN, labels]
    return tuple(found)


def curve(photos: Photos) -> SeenUnseenCurve:
    return seen_unseen_curve(*photos, SEEN)


def accuracy(scores: Tensor, labels: Tensor, gamma: float) -> float:
    """Return the mean over classes of the share of correct predictions, by counting."""
    answers = calibrated(scores, SEEN, gamma).argmax(1)
    return sum(float((answers[labels == c] == c).double().mean()) for c in labels.unique()) / len(labels.unique())


def mean_h(folds: list[Photos], gamma: float) -> float:
    total = 0.0
    for scores_seen, labels_seen, scores_unseen, labels_unseen in folds:
        s, u = accuracy(scores_seen, labels_seen, gamma), accuracy(scores_unseen, labels_unseen, gamma)
        total += 2 * s * u / (s + u) if s + u else 0.0
    return total / len(folds)


def every_penalty(folds: list[Photos]) -> list[float]:
    """Return a penalty between any two breakpoints: all differences of a seen and an unseen score of one photo."""
    margins = set()
    for scores_seen, _, scores_unseen, _ in folds:
        for row in [*scores_seen.tolist(), *scores_unseen.tolist()]:
            margins |= {row[c] - row[k] for c in range(5) for k in range(5) if SEEN[c] and not SEEN[k]}
    ordered = sorted(margins)
    return [ordered[0] - 1, *((a + b) / 2 for a, b in itertools.pairwise(ordered)), ordered[-1] + 1]


@pytest.mark.parametrize("seeds", [(0,), (1,), (2, 3), (4, 5, 6)])
def test_no_other_penalty_has_a_larger_mean_h(seeds: tuple[int, ...]) -> None:
    folds = [fold(seed) for seed in seeds]

    gamma = harmonic_penalty([curve(each) for each in folds])

    best = max(mean_h(folds, penalty) for penalty in every_penalty(folds))
    assert mean_h(folds, gamma) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_of_equally_good_penalties_the_one_nearest_to_zero_is_chosen(seed: int) -> None:
    folds = [fold(seed, counts=(5, 4))]

    gamma = harmonic_penalty([curve(folds[0])])

    best = mean_h(folds, gamma)
    nearer = [penalty for penalty in every_penalty(folds) if abs(penalty) < abs(gamma) - 1e-9]
    margins = torch.cat([curve(folds[0]).lost[0], curve(folds[0]).won[0]])
    # Equally good penalties nearer to zero are between the same two margins.
    for penalty in nearer:
        low, high = sorted((penalty, gamma))
        same_step = not ((margins > low) & (margins < high)).any()
        assert same_step or mean_h(folds, penalty) < best - 1e-12


def test_the_penalty_is_about_zero_if_no_unseen_photo_can_be_correct() -> None:
    scores_seen, labels_seen, scores_unseen, labels_unseen = fold(0)
    always_wrong = scores_unseen - 100 * torch.nn.functional.one_hot(labels_unseen, 5)

    gamma = harmonic_penalty([seen_unseen_curve(scores_seen, labels_seen, always_wrong, labels_unseen, SEEN)])

    margin = curve((scores_seen, labels_seen, scores_unseen[:0], labels_unseen[:0])).lost[0]
    assert abs(gamma) <= float(margin.diff().max())  # within the step around 0


@pytest.mark.parametrize("penalty", [harmonic_penalty, lambda curves: sparing_penalty(curves, 0.1)])
def test_the_penalty_cancels_a_constant_added_to_all_seen_scores(penalty: Callable[..., float]) -> None:
    folds = [fold(0), fold(1)]
    raised = [(calibrated(a, SEEN, -5.0), la, calibrated(b, SEEN, -5.0), lb) for a, la, b, lb in folds]

    gamma = penalty([curve(each) for each in folds])

    assert penalty([curve(each) for each in raised]) == pytest.approx(gamma + 5)


@pytest.mark.parametrize("give_away", [0.0, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("seeds", [(0,), (1, 2)])
def test_the_sparing_penalty_is_the_largest_within_the_allowed_loss_of_seen_accuracy(
    give_away: float, seeds: tuple[int, ...]
) -> None:
    folds = [fold(seed, counts=(300, 20)) for seed in seeds]

    gamma = sparing_penalty([curve(each) for each in folds], give_away)

    def seen_accuracy(penalty: float) -> float:
        return sum(accuracy(*each[:2], penalty) for each in folds) / len(folds)

    allowed = (1 - give_away) * seen_accuracy(-1e6)  # a penalty at which no unseen class is predicted
    assert seen_accuracy(gamma) >= allowed - 1e-9
    for penalty in every_penalty([(each[0], each[1], each[2][:0], each[3][:0]) for each in folds]):
        if penalty > gamma and seen_accuracy(penalty) < seen_accuracy(gamma) - 1e-9:
            assert seen_accuracy(penalty) < allowed
            break


def test_the_sparing_penalty_increases_with_the_allowed_loss() -> None:
    penalties = [sparing_penalty([curve(fold(0))], share) for share in (0.0, 0.02, 0.1, 0.5, 1.0)]

    assert penalties == sorted(penalties)
    assert penalties[0] < penalties[-1]


def test_photos_misclassified_among_seen_classes_do_not_affect_the_sparing_penalty() -> None:
    scores_seen, labels_seen, scores_unseen, labels_unseen = fold(0)
    wrong = torch.zeros(50, 5, dtype=torch.float64)
    wrong[:, 2] = 100.0  # predicted as class 2 by the largest margin of all
    more = (torch.cat([scores_seen, wrong]), torch.cat([labels_seen, torch.zeros(50).long()]))

    with_wrong = sparing_penalty([curve((*more, scores_unseen, labels_unseen))], 1.0)

    assert with_wrong == sparing_penalty([curve((scores_seen, labels_seen, scores_unseen, labels_unseen))], 1.0)


def test_the_unit_is_the_standard_deviation_of_scores_over_classes() -> None:
    scores = 3 * torch.randn(4_000, 50) + 100 * torch.randn(4_000, 1)  # each photo has another mean score

    assert score_unit(scores) == pytest.approx(3, rel=0.02)
    assert score_unit(7 * scores) == pytest.approx(7 * score_unit(scores))
    assert score_unit(scores[:, torch.randperm(50)][torch.randperm(4_000)]) == pytest.approx(score_unit(scores))


@pytest.mark.parametrize("shape", [(0, 5), (3, 1), (3, 4), (0, 0)])
def test_constant_scores_have_the_unit_one(shape: tuple[int, int]) -> None:
    assert score_unit(torch.full(shape, 2.5)) == 1.0


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.5, 1.0])
def test_the_threshold_rejects_the_allowed_share_of_right_answers(share: float) -> None:
    best = torch.randn(10_001)

    threshold = rejection_threshold(best, share)

    assert float((best < threshold).double().mean()) == pytest.approx(share, abs=2e-4)
    assert rejection_threshold(3 * best + 1, share) == pytest.approx(3 * threshold + 1, rel=1e-5)


def test_without_photos_nothing_is_rejected() -> None:
    assert rejection_threshold(torch.zeros(0), 0.1) < 0
