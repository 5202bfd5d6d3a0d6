"""Metrics of a split: equal to a count by hand on a small split, and to loops over photos on a larger one."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from revcd_cli.pipeline.evaluate.split_scores import SplitScores

HAND = SplitScores(  # two seen classes, two unseen ones; the predictions without a penalty are 0 0 1 2 | 2 0 3
    scores_seen=torch.tensor([[5.0, 1, 4, 0], [5, 4, 0, 0], [1, 3, 0, 0], [1, 2, 4, 0]]),
    scores_unseen=torch.tensor([[0.0, 0, 2, 1], [5, 0, 3, 2], [0, 1, 0, 2]]),
    labels_seen=torch.tensor([0, 0, 1, 1]),
    labels_unseen=torch.tensor([2, 2, 3]),
    names=("a", "b", "c", "d"),
    seen=torch.tensor([True, True, False, False]),
)


def drawn(seed: int = 0) -> SplitScores:
    """Return a split of 6 candidates, of which one has no photo, and classes of unequal size."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.tensor([True, False, True, True, False, True])
    labels_seen = torch.tensor([0] * 9 + [2] * 4 + [3])  # none of class 5
    labels_unseen = torch.tensor([1] * 3 + [4] * 8)
    scores = torch.randn(25, 6, generator=generator)
    scores += 1.2 * torch.nn.functional.one_hot(torch.cat([labels_seen, labels_unseen]), 6) + 0.5 * seen
    return SplitScores(scores[:14], scores[14:], labels_seen, labels_unseen, tuple("abcdef"), seen)


def headline(scores: SplitScores, gamma: float = 0.0) -> list[float | None]:
    return [scores.report(gamma).headline()[name] for name in ("S", "U", "H", "T1")]


def test_a_split_small_enough_to_count_by_hand():
    report = HAND.report()
    assert headline(HAND) == pytest.approx([0.75, 0.75, 0.75, 1.0])  # S: 2/2, 1/2; U: 1/2, 1/1; T1: 2/2, 1/1
    assert [(entry.name, entry.seen, entry.photos, entry.accuracy) for entry in report.per_class] == [
        ("a", True, 2, 1.0), ("b", True, 2, 0.5), ("c", False, 2, 0.5), ("d", False, 1, 1.0)
    ]  # fmt: skip
    assert report.acc_seen_alone == 1.0
    assert (report.sample_acc_seen, report.sample_acc_unseen) == pytest.approx((3 / 4, 2 / 3))
    assert (report.seen_as_unseen, report.unseen_as_seen) == pytest.approx((1 / 4, 1 / 4))
    # Margins of the seen photos 1 (a), 5 (a), 3 (b), -2 (b); of the unseen ones -2 (c), 2 (c), -1 (d).
    # (S, U) as gamma rises: (1, 0) (3/4, 1/4) (3/4, 3/4) (1/2, 3/4) (1/2, 1) (1/4, 1) (0, 1).
    assert report.ausuc == pytest.approx((0.25 * 0.25 / 2) + 0.25 * 0.75 + 0.25 + 0.25)


@pytest.mark.parametrize(
    ("gamma", "figures"),
    [
        (2.5, [0.5 * (1 / 2 + 1 / 2), 1.0, 2 / 3, 1.0]),
        (1e6, [0.0, 1.0, 0.0, 1.0]),
        (-1e6, [0.75 + 0.25, 0.0, 0.0, 1.0]),
    ],
)
def test_the_seen_penalty_moves_predictions_from_seen_to_unseen_classes_and_does_not_change_t1(gamma, figures):
    assert headline(HAND, gamma) == pytest.approx(figures)
    report, plain = HAND.report(gamma), HAND.report()
    assert (report.ausuc, report.acc_zsl, report.acc_seen_alone) == (plain.ausuc, plain.acc_zsl, plain.acc_seen_alone)


@pytest.mark.parametrize("gamma", [0.0, 0.4, -0.7])
@pytest.mark.parametrize("seed", range(3))
def test_every_figure_is_that_of_a_count_photo_by_photo(seed: int, gamma: float):
    scores = drawn(seed)
    report = scores.report(gamma)
    is_seen = scores.seen.tolist()

    def answers(rows: torch.Tensor, candidates: list[int]) -> list[int]:
        return [max(candidates, key=lambda c, row=row: row[c] - gamma * is_seen[c]) for row in rows.tolist()]

    def mean_over_classes(happened: list[bool], labels: list[int]) -> float:
        groups = [[h for h, other in zip(happened, labels, strict=True) if other == c] for c in sorted(set(labels))]
        return sum(sum(group) / len(group) for group in groups) / len(groups)

    everything = list(range(6))
    for of_seen, rows, labels in (
        (True, scores.scores_seen, scores.labels_seen.tolist()),
        (False, scores.scores_unseen, scores.labels_unseen.tolist()),
    ):
        named = answers(rows, everything)
        right = [answer == label for answer, label in zip(named, labels, strict=True)]
        alone = answers(rows, [c for c in everything if is_seen[c] is of_seen])
        right_alone = [answer == label for answer, label in zip(alone, labels, strict=True)]
        strayed = [is_seen[answer] is not of_seen for answer in named]
        kind = "seen" if of_seen else "unseen"
        assert getattr(report, f"acc_{kind}") == pytest.approx(mean_over_classes(right, labels))
        assert getattr(report, f"sample_acc_{kind}") == pytest.approx(sum(right) / len(right))
        assert getattr(report, "acc_seen_alone" if of_seen else "acc_zsl") == pytest.approx(
            mean_over_classes(right_alone, labels)
        )
        strays = report.seen_as_unseen if of_seen else report.unseen_as_seen
        assert strays == pytest.approx(mean_over_classes(strayed, labels))
        assert getattr(report, f"{kind}_photos") == len(labels)
    assert (report.seen_classes, report.unseen_classes) == (4, 2)
    assert [entry.name for entry in report.per_class] == list("abcde")
    assert report.harmonic_mean == pytest.approx(
        2 * report.acc_seen * report.acc_unseen / (report.acc_seen + report.acc_unseen)
    )


def test_a_penalty_in_units_is_that_penalty_times_the_unit():
    scores = drawn()
    one, other = scores.in_units(4.0).report(0.3).to_dict(), scores.report(1.2).to_dict()
    assert one.pop("ausuc") == pytest.approx(other.pop("ausuc"))
    assert one == other


def without(scores: SplitScores, kind: str) -> SplitScores:
    return dataclasses.replace(
        scores, **{f"{part}_{kind}": getattr(scores, f"{part}_{kind}")[:0] for part in ("scores", "labels")}
    )


def test_without_photos_of_one_kind_its_figures_are_none_and_the_others_do_not_change():
    whole = drawn().report()
    bare = without(drawn(), "unseen").report()
    undefined = ("acc_unseen", "harmonic_mean", "acc_zsl", "ausuc", "sample_acc_unseen", "unseen_as_seen")
    assert [getattr(bare, name) for name in undefined] == [None] * 6
    assert (bare.acc_seen, bare.acc_seen_alone) == (whole.acc_seen, whole.acc_seen_alone)
    bare = without(drawn(), "seen").report()
    undefined = ("acc_seen", "harmonic_mean", "ausuc", "acc_seen_alone", "sample_acc_seen", "seen_as_unseen")
    assert [getattr(bare, name) for name in undefined] == [None] * 6
    assert (bare.acc_unseen, bare.acc_zsl) == (whole.acc_unseen, whole.acc_zsl)


def test_candidates_of_one_kind_have_no_curve():
    scores = without(drawn(), "unseen")
    assert scores.curve() is None
    assert dataclasses.replace(scores, seen=torch.ones(6).bool()).curve() is None


@pytest.mark.parametrize("seed", [0, 1])
def test_a_limit_lowers_the_penalty_of_its_class_only_and_photos_go_back_to_the_class(seed: int):
    scores, gamma = drawn(seed), 1.5
    limits = torch.tensor([0.5, torch.inf, 2.0, torch.inf, torch.inf, 0.0])
    limited = dataclasses.replace(scores, limits=limits)
    values, plain = limited.calibrated(gamma)[0], scores.calibrated(gamma)[0]
    torch.testing.assert_close(values - plain, torch.tensor([1.0, 0, 0, 0, 0, 1.5]).expand_as(plain))
    for accuracy in ("acc_zsl", "acc_seen_alone"):
        assert getattr(limited.report(gamma), accuracy) is not None
    assert limited.report(gamma).seen_as_unseen <= scores.report(gamma).seen_as_unseen
    assert limited.report(0.0) == scores.report(0.0)  # no limit is below 0


def test_calibrated_scores_are_in_order_and_minus_the_penalty():
    together, labels = HAND.calibrated(0.5)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3]
    plain = torch.cat([HAND.scores_seen, HAND.scores_unseen])
    assert torch.equal(plain - together, torch.tensor([0.5, 0.5, 0, 0]).expand(7, 4))
