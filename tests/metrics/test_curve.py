"""The seen-unseen curve, compared with counting every photo at every penalty."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from revcd_cli.metrics.curve import SeenUnseenCurve, common_penalties, penalties_between, seen_unseen_curve
from revcd_cli.scoring.calibration import calibrated

SEEN = torch.tensor([True, False, True, True, False])
SETTINGS = [(seed, whole) for seed in range(4) for whole in (False, True)]
Photos = tuple[Tensor, Tensor, Tensor, Tensor]


def photos(seed: int, *, whole: bool = False, counts: tuple[int, int] = (37, 23)) -> Photos:
    """Return scores (N, 5) and labels of photos of seen and of unseen classes; integer scores tie often."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for kind, count in zip((SEEN, ~SEEN), counts, strict=True):
        classes = kind.nonzero()[:, 0]
        labels = classes[torch.randint(len(classes), (count,), generator=generator)]
        scores = torch.randn(count, 5, dtype=torch.float64, generator=generator)
        scores = scores + 1.5 * torch.nn.functional.one_hot(labels, 5) + 0.7 * SEEN
        found += [(2 * scores).round() if whole else scores, labels]
    return tuple(found)


def curve_of(found: Photos) -> SeenUnseenCurve:
    return seen_unseen_curve(*found, SEEN)


def counted(scores: Tensor, labels: Tensor, gamma: float) -> float:
    """Return the mean over classes of the share of correct predictions, counted in plain Python."""
    answers = calibrated(scores, SEEN, gamma).argmax(1).tolist()
    right: dict[int, list[bool]] = {}
    for answer, label in zip(answers, labels.tolist(), strict=True):
        right.setdefault(label, []).append(answer == label)
    shares = [sum(each) / len(each) for each in right.values()]
    return sum(shares) / len(shares)


@pytest.mark.parametrize(("seed", "whole"), SETTINGS)
def test_s_and_u_at_every_penalty_equal_a_count_of_predictions(seed: int, whole: bool) -> None:
    found = photos(seed, whole=whole)
    scores_seen, labels_seen, scores_unseen, labels_unseen = found

    gamma, acc_seen, acc_unseen = curve_of(found).points()

    assert len(gamma) > 5
    for penalty, s, u in zip(gamma.tolist(), acc_seen.tolist(), acc_unseen.tolist(), strict=True):
        assert s == pytest.approx(counted(scores_seen, labels_seen, penalty), abs=1e-12)
        assert u == pytest.approx(counted(scores_unseen, labels_unseen, penalty), abs=1e-12)


@pytest.mark.parametrize(("seed", "whole"), SETTINGS)
def test_the_curve_has_every_pair_of_s_and_u_on_a_fine_grid(seed: int, whole: bool) -> None:
    found = photos(seed, whole=whole, counts=(9, 8))
    curve = curve_of(found)
    _, acc_seen, acc_unseen = curve.points()
    known = {(round(s, 9), round(u, 9)) for s, u in zip(acc_seen.tolist(), acc_unseen.tolist(), strict=True)}

    grid = torch.linspace(-12, 12, 3_001, dtype=torch.float64) + 1e-7  # not at integers, where scores tie
    met = {(round(s, 9), round(u, 9)) for s, u in zip(*map(Tensor.tolist, curve.at(grid)), strict=True)}

    assert met <= known


@pytest.mark.parametrize("seed", range(4))
def test_s_decreases_and_u_increases_along_the_curve(seed: int) -> None:
    found = photos(seed)

    _, acc_seen, acc_unseen = curve_of(found).points()

    assert (acc_seen.diff() <= 0).all() and (acc_unseen.diff() >= 0).all()
    assert float(acc_unseen[0]) == 0
    assert float(acc_seen[-1]) == pytest.approx(0, abs=1e-12)
    assert float(acc_seen[0]) == pytest.approx(counted(found[0], found[1], -1e6))
    assert float(acc_unseen[-1]) == pytest.approx(counted(found[2], found[3], 1e6))


@pytest.mark.parametrize(("seed", "whole"), SETTINGS)
def test_the_area_equals_a_brute_force_sum(seed: int, whole: bool) -> None:
    found = photos(seed, whole=whole)
    margins = []
    for scores in (found[0], found[2]):
        margins += [max(row[c] for c in (0, 2, 3)) - max(row[c] for c in (1, 4)) for row in scores.tolist()]
    # Every margin, of correct and incorrect predictions: more penalties than the curve has breakpoints.
    edges = [min(margins) - 1, *sorted(set(margins)), max(margins) + 1]
    corners = [
        (counted(*found[:2], (low + high) / 2), counted(*found[2:], (low + high) / 2))
        for low, high in itertools.pairwise(edges)
    ]

    area = sum((s0 - s1) * (u0 + u1) / 2 for (s0, u0), (s1, u1) in itertools.pairwise(corners))

    assert curve_of(found).ausuc() == pytest.approx(area, abs=1e-12)


def test_the_area_is_one_for_perfect_scores_and_zero_if_unseen_photos_are_always_wrong() -> None:
    labels_seen, labels_unseen = SEEN.nonzero()[:, 0], (~SEEN).nonzero()[:, 0]
    right = [torch.nn.functional.one_hot(labels, 5).double() for labels in (labels_seen, labels_unseen)]

    assert seen_unseen_curve(right[0], labels_seen, right[1], labels_unseen, SEEN).ausuc() == pytest.approx(1)
    assert seen_unseen_curve(right[0], labels_seen, -right[1], labels_unseen, SEEN).ausuc() == 0


@pytest.mark.parametrize("offset", [-3.0, 0.5, 40.0])
def test_a_constant_added_to_seen_scores_shifts_the_penalties_and_keeps_the_area(offset: float) -> None:
    found = photos(0)
    raised = (calibrated(found[0], SEEN, -offset), found[1], calibrated(found[2], SEEN, -offset), found[3])

    plain, shifted = curve_of(found), curve_of(raised)

    assert shifted.ausuc() == pytest.approx(plain.ausuc(), abs=1e-12)
    torch.testing.assert_close(shifted.lost[0], plain.lost[0] + offset)
    torch.testing.assert_close(shifted.won[0], plain.won[0] + offset)


def test_a_constant_added_to_all_scores_of_a_photo_changes_nothing() -> None:
    found = photos(1)
    shifted = (found[0] + torch.randn(37, 1), found[1], found[2] + torch.randn(23, 1), found[3])

    assert curve_of(shifted).ausuc() == pytest.approx(curve_of(found).ausuc(), abs=1e-12)


@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_scaling_the_scores_scales_the_penalties_and_keeps_the_area(factor: float) -> None:
    found = photos(2)
    scaled = (factor * found[0], found[1], factor * found[2], found[3])

    torch.testing.assert_close(curve_of(scaled).lost[0], factor * curve_of(found).lost[0])
    assert curve_of(scaled).ausuc() == pytest.approx(curve_of(found).ausuc(), abs=1e-12)


def test_the_curve_does_not_depend_on_the_order_of_photos_and_classes() -> None:
    found = photos(3)
    rows, classes = torch.randperm(37), torch.randperm(5)
    place = classes.argsort()
    moved = seen_unseen_curve(
        found[0][rows][:, classes], place[found[1][rows]], found[2][:, classes], place[found[3]], SEEN[classes]
    )

    assert moved.ausuc() == pytest.approx(curve_of(found).ausuc(), abs=1e-12)
    torch.testing.assert_close(moved.lost[0], curve_of(found).lost[0])


def test_classes_count_equally_regardless_of_their_number_of_photos() -> None:
    scores_seen, labels_seen, *unseen = photos(0)
    again = labels_seen == 0
    more = (
        torch.cat([scores_seen, *[scores_seen[again]] * 4]),
        torch.cat([labels_seen, *[labels_seen[again]] * 4]),
        *unseen,
    )

    assert curve_of(more).ausuc() == pytest.approx(curve_of((scores_seen, labels_seen, *unseen)).ausuc(), abs=1e-12)


def test_s_and_u_are_constant_between_and_beyond_the_breakpoints() -> None:
    curve = curve_of(photos(1))
    margins = torch.cat([curve.lost[0], curve.won[0]]).unique()
    middle = penalties_between(margins)

    assert len(middle) == len(margins) + 1
    assert (middle[:-1] < margins).all() and (margins < middle[1:]).all()
    for near_margins in (margins[1:] - 1e-9, margins[:-1] + 1e-9):
        for exact, near in zip(curve.at(middle[1:-1]), curve.at(near_margins), strict=True):
            torch.testing.assert_close(exact, near)
    for beyond, end in ((-1e9, 0), (1e9, -1)):
        far = curve.at(torch.tensor([beyond], dtype=torch.float64))
        assert [float(value[0]) for value in far] == [float(value[end]) for value in curve.points()[1:]]


def test_penalties_for_several_curves_reach_every_combination_of_their_values() -> None:
    curves = [curve_of(photos(seed, counts=(6, 5))) for seed in range(3)]
    gamma = common_penalties(curves)

    def values(penalties: Tensor) -> set[tuple[float, ...]]:
        columns = [part.tolist() for curve in curves for part in curve.at(penalties)]
        return {tuple(round(value, 9) for value in row) for row in zip(*columns, strict=True)}

    assert values(torch.linspace(-12, 12, 3_001, dtype=torch.float64)) <= values(gamma)


def test_without_a_correct_prediction_there_is_one_point_and_no_area() -> None:
    wrong = torch.zeros(2, 5)
    wrong[:, 2], wrong[:, 4] = 1.0, 1.0
    curve = seen_unseen_curve(wrong, torch.tensor([0, 0]), wrong, torch.tensor([1, 1]), SEEN)

    assert [part.tolist() for part in curve.points()] == [[0], [0], [0]]
    assert curve.ausuc() == 0
