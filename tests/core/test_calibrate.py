"""The temperature of the probabilities and the seen penalty. python -m pytest tests/core"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from revcd_cli.core.calibrate import fit_seen_penalty, fit_temperature
from revcd_cli.core.scores import calibrated


def scores_and_labels(temperature: float, rows: int = 5_000) -> tuple[Tensor, Tensor]:
    """Scores whose true probabilities are softmax(scores / temperature), and labels drawn from them."""
    generator = torch.Generator().manual_seed(0)
    scores = temperature * 2 * torch.randn(rows, 6, generator=generator)
    labels = (scores / temperature).softmax(-1).multinomial(1, generator=generator)[:, 0]
    return scores, labels


@pytest.mark.parametrize("temperature", [0.003, 0.1, 1.0, 20.0])
def test_the_temperature_that_drew_the_labels_is_found_again(temperature: float) -> None:
    assert fit_temperature(*scores_and_labels(temperature)) == pytest.approx(temperature, rel=0.06)


@pytest.mark.parametrize("factor", [0.01, 3.0, 50.0])
def test_scaling_the_scores_scales_the_temperature(factor: float) -> None:
    scores, labels = scores_and_labels(0.7, rows=300)

    assert fit_temperature(factor * scores, labels) == pytest.approx(factor * fit_temperature(scores, labels), rel=1e-3)


def test_shifting_every_score_of_a_row_changes_nothing() -> None:
    scores, labels = scores_and_labels(0.7, rows=300)

    assert fit_temperature(scores + torch.randn(300, 1), labels) == pytest.approx(
        fit_temperature(scores, labels), rel=1e-3
    )


def test_at_the_fitted_temperature_the_expected_score_is_the_score_of_the_truth() -> None:
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


def seen_photos(rows: int = 400, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Scores (N, 5) of photos of the three seen classes, most of them right, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = SEEN.nonzero()[:, 0][torch.randint(3, (rows,), generator=generator)]
    scores = torch.randn(rows, 5, dtype=torch.float64, generator=generator)
    return scores + 2 * torch.nn.functional.one_hot(labels, 5), labels


def rightly_named(scores: Tensor, labels: Tensor, penalty: float) -> int:
    """Count the photos whose true class is best, one by one; a tie counts as right."""
    count = 0
    for values, label in zip(scores.tolist(), labels.tolist(), strict=True):
        lowered = [value - penalty * seen for value, seen in zip(values, SEEN.tolist(), strict=True)]
        count += lowered[label] >= max(lowered) - 1e-9
    return count


@pytest.mark.parametrize("give_away", [0.0, 0.02, 0.1, 0.5])
def test_seen_penalty_costs_at_most_what_may_be_given_away_and_no_photo_less(give_away: float) -> None:
    scores, labels = seen_photos()

    gamma = fit_seen_penalty(scores, labels, SEEN, give_away)

    among_seen = rightly_named(scores, labels, penalty=-1e3)  # with unseen classes out of reach
    allowed = int(give_away * (among_seen - 1))
    assert among_seen - rightly_named(scores, labels, gamma) == allowed
    assert among_seen - rightly_named(scores, labels, gamma + 1e-6) == allowed + 1


def test_seen_penalty_rises_with_what_may_be_given_away() -> None:
    penalties = [fit_seen_penalty(*seen_photos(), SEEN, share) for share in (0.0, 0.02, 0.1, 0.5, 1.0)]

    assert penalties == sorted(penalties)
    assert penalties[0] < 0 < penalties[-1]


def test_seen_penalty_undoes_a_bonus_that_all_seen_classes_have() -> None:
    scores, labels = seen_photos()
    raised = calibrated(scores, SEEN, -5.0)

    assert fit_seen_penalty(raised, labels, SEEN, 0.1) == pytest.approx(fit_seen_penalty(scores, labels, SEEN, 0.1) + 5)


def test_photos_that_are_wrong_among_the_seen_classes_do_not_set_the_penalty() -> None:
    scores, labels = seen_photos()
    wrong = torch.zeros(50, 5, dtype=torch.float64)
    wrong[:, 2] = 100.0  # named class 2 by a margin that nothing else has

    with_wrong = fit_seen_penalty(
        torch.cat([scores, wrong]), torch.cat([labels, torch.zeros(50).long()]), SEEN, give_away=1.0
    )

    assert with_wrong == fit_seen_penalty(scores, labels, SEEN, give_away=1.0)


def test_without_photos_or_without_unseen_classes_there_is_no_penalty() -> None:
    scores, labels = seen_photos()

    assert fit_seen_penalty(scores[:0], labels[:0], SEEN, 0.02) == 0
    assert fit_seen_penalty(scores, labels, torch.ones(5).bool(), 0.02) == 0
