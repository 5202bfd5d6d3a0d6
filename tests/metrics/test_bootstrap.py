"""Bootstrap intervals cover the truth, pair methods by class, and equal slow references."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from revcd_cli.metrics.bootstrap import ClassFigures, Interval, bootstrap, class_weights, expanded_interval
from revcd_cli.metrics.curve import class_areas, seen_unseen_curve
from tests.metrics.test_curve import SEEN, SETTINGS, photos


def figures(seen: Tensor, unseen: Tensor) -> ClassFigures:
    """Return the figures of classes with these accuracies; T1 and the areas follow from them."""
    return ClassFigures(seen, unseen, unseen.sqrt(), seen.unsqueeze(1) * unseen)


def accuracies(n_classes: int, generator: torch.Generator) -> Tensor:
    """Draw accuracies of classes, uniform between 0.2 and 1."""
    return 1 - 0.8 * torch.rand(n_classes, dtype=torch.double, generator=generator)


@pytest.mark.parametrize(("seed", "whole"), SETTINGS)
def test_the_area_under_the_curve_is_the_mean_of_the_areas_of_all_pairs_of_classes(seed: int, whole: bool) -> None:
    found = photos(seed, whole=whole)

    areas = class_areas(*found, SEEN)

    assert areas.shape == (3, 2)
    assert float(areas.mean()) == pytest.approx(seen_unseen_curve(*found, SEEN).ausuc(), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_area_of_a_pair_of_classes_is_that_of_the_curve_of_their_photos_alone(seed: int) -> None:
    scores_seen, labels_seen, scores_unseen, labels_unseen = photos(seed)

    areas = class_areas(scores_seen, labels_seen, scores_unseen, labels_unseen, SEEN)

    for row, c in enumerate(labels_seen.unique()):
        for column, u in enumerate(labels_unseen.unique()):
            own, other = labels_seen == c, labels_unseen == u
            pair = seen_unseen_curve(
                scores_seen[own], labels_seen[own], scores_unseen[other], labels_unseen[other], SEEN
            )
            assert float(areas[row, column]) == pytest.approx(pair.ausuc(), abs=1e-12)


def test_each_draw_has_the_metrics_of_its_classes_counted_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    run = figures(accuracies(6, generator), accuracies(4, generator))
    seen, unseen = torch.randint(6, (5, 6), generator=generator), torch.randint(4, (5, 4), generator=generator)
    weights = [
        torch.stack([(drawn == c).double().mean(1) for c in range(drawn.shape[1])], dim=1) for drawn in (seen, unseen)
    ]

    found = run.weighted(*weights)

    for r in range(5):
        s = sum(float(run.seen[c]) for c in seen[r]) / 6
        u = sum(float(run.unseen[c]) for c in unseen[r]) / 4
        area = sum(float(run.areas[c, k]) for c in seen[r] for k in unseen[r]) / 24
        expected = {"S": s, "U": u, "H": 2 * s * u / (s + u), "T1": float(run.alone[unseen[r]].mean()), "AUSUC": area}
        assert {name: float(values[r]) for name, values in found.items()} == pytest.approx(expected)


def test_weights_are_counts_of_draws_with_replacement() -> None:
    weights = class_weights(7, 4_000, torch.Generator().manual_seed(0))

    assert torch.equal((7 * weights).round() / 7, weights)
    torch.testing.assert_close(weights.sum(1), torch.ones(4_000).double())
    torch.testing.assert_close(weights.mean(0), torch.full((7,), 1 / 7).double(), atol=0.01, rtol=0)
    # The counts are multinomial with variance n (1/n) (1 - 1/n).
    torch.testing.assert_close((7 * weights).var(0), torch.full((7,), 6 / 7).double(), atol=0.08, rtol=0)


@pytest.mark.parametrize("n_classes", [10, 20, 50])
def test_the_interval_of_a_mean_has_the_width_of_student_s_interval(n_classes: int) -> None:
    values = torch.tensor(stats.norm.ppf((torch.arange(n_classes) + 0.5) / n_classes))  # symmetric, like a normal
    drawn = class_weights(n_classes, 40_000, torch.Generator().manual_seed(1)) @ values

    interval = expanded_interval(drawn, n_classes)

    half = stats.t.ppf(0.975, n_classes - 1) * float(values.std()) / math.sqrt(n_classes)
    assert interval.high == pytest.approx(half, rel=0.06) and interval.low == pytest.approx(-half, rel=0.06)


@pytest.mark.parametrize(("n_seen", "n_unseen"), [(40, 10), (150, 50)])
def test_intervals_cover_the_true_metric_of_the_population_of_classes_about_95_times_in_100(
    n_seen: int, n_unseen: int
) -> None:
    generator = torch.Generator().manual_seed(n_seen)
    truth = {"S": 0.6, "U": 0.6, "H": 0.6, "AUSUC": 0.36}
    covered, repetitions = dict.fromkeys(truth, 0), 300
    for _ in range(repetitions):
        run = figures(accuracies(n_seen, generator), accuracies(n_unseen, generator))
        outcome = bootstrap([run], draws=1_000)
        for name, value in truth.items():
            covered[name] += outcome.interval(name).contains(value)

    # The standard deviation of a share of 0.95 in 300 is 0.013.
    assert all(0.91 <= count / repetitions <= 0.99 for count in covered.values()), covered


def test_the_interval_of_a_difference_covers_it_and_is_narrower_if_methods_agree_on_which_classes_are_hard() -> None:
    generator = torch.Generator().manual_seed(3)
    covered, narrower, repetitions = 0, 0, 300
    for _ in range(repetitions):
        hard = accuracies(10, generator)
        first, second, stranger = (
            bootstrap([figures(accuracies(20, generator), each)], draws=500)
            for each in (hard, hard - 0.1 + 0.02 * torch.randn(10, generator=generator), accuracies(10, generator))
        )
        paired, unpaired = first.difference(second, "U"), first.difference(stranger, "U")
        covered += paired.contains(0.1)
        narrower += paired.high - paired.low < unpaired.high - unpaired.low

    assert 0.91 <= covered / repetitions <= 0.99
    assert narrower == repetitions


def test_a_constant_difference_on_all_classes_has_an_interval_of_one_point() -> None:
    generator = torch.Generator().manual_seed(4)
    seen, unseen = accuracies(8, generator), accuracies(5, generator)
    one, other = (bootstrap([figures(seen, unseen + shift)]) for shift in (0.0, 0.05))

    assert other.difference(one, "U").low == pytest.approx(0.05) == pytest.approx(other.difference(one, "U").high)
    assert one.difference(one, "AUSUC") == Interval(0.0, 0.0)
    assert one.difference(one, "AUSUC").contains(0.0)


def test_a_difference_the_other_way_round_has_the_interval_of_opposite_sign() -> None:
    generator = torch.Generator().manual_seed(5)
    one, other = (bootstrap([figures(accuracies(8, generator), accuracies(5, generator))]) for _ in range(2))

    there, back = one.difference(other, "H"), other.difference(one, "H")

    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_the_draws_of_a_method_are_means_over_its_trainings() -> None:
    generator = torch.Generator().manual_seed(6)
    runs = [figures(accuracies(8, generator), accuracies(5, generator)) for _ in range(3)]

    together, each = bootstrap(runs, draws=50), [bootstrap([run], draws=50) for run in runs]

    for name, values in together.draws.items():
        torch.testing.assert_close(values, sum(one.draws[name] for one in each) / 3)


def test_the_intervals_depend_on_the_seed_and_not_on_the_random_state() -> None:
    generator = torch.Generator().manual_seed(7)
    run = figures(accuracies(8, generator), accuracies(5, generator))
    torch.manual_seed(0)
    first = bootstrap([run]).interval("H")
    torch.manual_seed(1)

    assert bootstrap([run]).interval("H") == first != bootstrap([run], seed=1).interval("H")


def test_metrics_without_their_classes_have_no_interval() -> None:
    nothing = torch.zeros(0).double()
    only_seen = bootstrap([ClassFigures(torch.rand(6).double(), nothing, nothing, torch.zeros(6, 0).double())])
    whole = bootstrap([figures(torch.rand(6).double(), torch.rand(1).double())])

    assert only_seen.interval("S") is not None
    assert [only_seen.interval(name) for name in ("U", "H", "T1", "AUSUC")] == [None] * 4
    assert only_seen.difference(whole, "U") is None
    assert whole.interval("U") is None  # a single class has no spread
    assert only_seen.difference(whole, "S") is not None


def test_methods_that_were_tested_on_other_classes_are_not_compared() -> None:
    one, other = (bootstrap([figures(torch.rand(n).double(), torch.rand(4).double())]) for n in (6, 7))
    with pytest.raises(ValueError, match="same test classes"):
        one.difference(other, "S")
