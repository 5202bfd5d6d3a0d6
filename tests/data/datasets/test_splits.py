"""Splits: no test photo or unseen class is in training, and draws depend only on the seed and the photo."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revcd_cli.data.datasets.splits import Split, check_split, split_sha256, stratified_split, validation_folds
from revcd_cli.errors import InputFileError, LeakError, RevcdError

NAMES = ("lion", "zebra", "okapi")
LABELS = np.array([0, 0, 1, 1, 2, 2])


def split(trainval: list[int], test_seen: list[int], test_unseen: list[int]) -> Split:
    return Split(*(np.array(rows, dtype=np.int64) for rows in (trainval, test_seen, test_unseen)))


GOOD = split([0, 2], [1, 3], [4, 5])


def test_a_split_without_leaks_passes():
    assert check_split(GOOD, LABELS, NAMES, "split") is None


@pytest.mark.parametrize(
    ("faulty", "error", "says"),
    [
        (split([0, 2, 3], [1, 3], [4]), LeakError, "1 photos are both in trainval and in test_seen"),
        (split([0, 2], [1, 4], [4, 5]), LeakError, "both in test_seen and in test_unseen"),
        (split([0, 2, 4], [1, 3], [5]), LeakError, 'class "okapi" has photos in trainval, so it is not unseen'),
        (split([0], [1, 3], [4]), LeakError, 'class "zebra" has photos in test_seen but none in trainval'),
        (split([], [], [4]), InputFileError, "nothing to train on"),
        (split([0, 2, 2], [1], [4]), InputFileError, "trainval names 1 rows twice"),
        (split([0, 6], [1], [4]), InputFileError, "outside the 6 photos"),
        (split([-1, 2], [3], [4]), InputFileError, "outside the 6 photos"),
    ],
)
def test_each_kind_of_invalid_split_has_its_own_message(faulty, error, says):
    with pytest.raises(error, match=says) as fault:
        check_split(faulty, LABELS, NAMES, "images.csv")
    assert type(fault.value) is error


def test_a_leak_is_reported_with_its_line():
    with pytest.raises(LeakError, match=r"^images.csv:14: "):
        check_split(split([0, 2, 4], [1], [5]), LABELS, NAMES, "images.csv", lines=np.arange(6) + 9)


def test_classes_outside_the_table_are_refused():
    with pytest.raises(InputFileError, match="outside the 2"):
        check_split(GOOD, LABELS, NAMES[:2], "images.csv")


def test_the_hash_depends_on_the_split_and_not_on_row_order_and_spelling():
    keys = [f"photos/{row}.jpg" for row in range(6)]
    names = [NAMES[label] for label in LABELS]
    reference = split_sha256(keys, names, GOOD)
    order = np.array([3, 1, 5, 0, 4, 2])  # new row -> old row
    moved = Split(*(np.flatnonzero(np.isin(order, rows)) for _, rows in GOOD.parts()))
    assert split_sha256([keys[row] for row in order], [names[row].upper() for row in order], moved) == reference
    assert split_sha256(keys, names, split([0, 3], [1, 2], [4, 5])) != reference
    assert split_sha256(keys, names[::-1], GOOD) != reference


labels_lists = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(labels_lists, st.integers(0, 5), st.floats(0.01, 0.9))
def test_each_class_has_at_least_one_test_row_and_one_training_row(labels, seed, fraction):
    labels = np.array(labels)
    train, test = stratified_split(labels, seed, fraction)
    assert sorted([*train, *test]) == list(range(len(labels)))
    for label in np.unique(labels):
        total, tested = (labels == label).sum(), (labels[test] == label).sum()
        assert tested == 0 if total == 1 else 1 <= tested < total
        assert abs(tested - fraction * total) <= 1


def test_a_draw_depends_on_the_seed_and_the_photos_names_but_not_on_their_order():
    labels = np.repeat(np.arange(5), 12)
    keys = [f"{label}/{row}.jpg" for row, label in enumerate(labels)]
    chosen = {keys[row] for row in stratified_split(labels, 0, keys=keys)[1]}
    order = np.random.default_rng(0).permutation(len(labels))
    moved_keys = [keys[row] for row in order]
    assert {moved_keys[row] for row in stratified_split(labels[order], 0, keys=moved_keys)[1]} == chosen
    assert {keys[row] for row in stratified_split(labels, 1, keys=keys)[1]} != chosen


def test_additional_photos_of_a_class_do_not_change_the_draw_of_other_classes():
    labels = np.repeat(np.arange(3), 10)
    keys = [f"{row}.jpg" for row in range(30)]
    before = stratified_split(labels, 0, keys=keys)[1]
    more = stratified_split(np.append(labels, [2] * 5), 0, keys=[*keys, *"abcde"])[1]
    assert [row for row in more if row < 20] == [row for row in before if row < 20]


def folds_of(labels, real: Split, seed: int = 0, *, folds: int = 5, classes: float = 0.2, rows: float = 0.2, keys=None):
    return validation_folds(labels, real, seed, folds=folds, class_fraction=classes, row_fraction=rows, keys=keys)


@settings(max_examples=60, deadline=None)
@given(labels_lists, st.integers(0, 5), st.integers(1, 6), st.floats(0, 0.9), st.floats(0.01, 0.9))
def test_validation_folds_are_within_trainval_share_no_unseen_class_and_have_no_leak(labels, seed, most, classes, rows):
    labels = np.array([*labels, 5, 5, 5])  # class 5 is the real unseen one
    train, test = stratified_split(labels[:-3], seed)
    real = Split(train, test, np.arange(len(labels) - 3, len(labels)))
    folds = folds_of(labels, real, seed, folds=most, classes=classes, rows=rows)
    seen = np.unique(labels[train])
    assert bool(folds) == (classes > 0 and len(seen) >= 3)
    assert len(folds) <= most
    for fold in folds:
        check_split(fold, labels, [str(label) for label in range(6)], "fold")
        assert sorted(np.concatenate([rows for _, rows in fold.parts()])) == list(real.trainval)
        assert fold.val_unseen_classes == tuple(np.unique(labels[fold.test_unseen]))
        assert len(fold.val_unseen_classes) == min(max(1, round(classes * len(seen))), len(seen) - 1)
    unseen = [label for fold in folds for label in fold.val_unseen_classes]
    assert len(unseen) == len(set(unseen))
    # There are as many folds as the classes allow.
    assert not folds or len(folds) == most or len(seen) - len(unseen) < len(folds[0].val_unseen_classes) or not unseen


def test_additional_folds_do_not_change_the_first_ones():
    labels = np.repeat(np.arange(10), 6)
    real = Split(np.arange(60), np.empty(0, np.int64), np.empty(0, np.int64))
    many = folds_of(labels, real, folds=5)
    assert sorted(label for fold in many for label in fold.val_unseen_classes) == list(range(10))
    for few in range(1, 5):
        for one, other in zip(folds_of(labels, real, folds=few), many, strict=False):
            assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(one.parts(), other.parts(), strict=True))


def test_the_folds_do_not_depend_on_test_rows():
    labels = np.repeat(np.arange(8), 6)
    keys = [f"{row}.jpg" for row in range(48)]
    train, test = stratified_split(labels, 0, keys=keys)
    few = folds_of(labels, Split(train, test[:2], test[:0]), keys=keys)
    many = folds_of(labels, Split(train, test, test[:0]), keys=keys)
    assert len(few) == len(many) == 4
    for one, other in zip(few, many, strict=True):
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(one.parts(), other.parts(), strict=True))


def named(real: Split, *classes: int) -> Split:
    return dataclasses.replace(real, val_unseen_classes=classes)


REAL, REAL_LABELS = split(list(range(15)), [], [15, 16, 17, 18, 19]), np.repeat(np.arange(4), 5)


def test_given_validation_classes_are_held_out_in_the_first_fold():
    folds = folds_of(REAL_LABELS, named(REAL, 1, 3))
    assert folds[0].val_unseen_classes == (1,)  # class 3 is not in trainval
    np.testing.assert_array_equal(folds[0].test_unseen, np.arange(5, 10))
    assert [len(rows) for _, rows in folds[0].parts()] == [8, 2, 5]
    assert sorted(fold.val_unseen_classes for fold in folds) == [(0,), (1,), (2,)]


@pytest.mark.parametrize("classes", [(), (3,)], ids=["none", "none that is seen"])
def test_if_no_given_validation_class_is_seen_others_are_drawn(classes):
    drawn, given = folds_of(REAL_LABELS, REAL), folds_of(REAL_LABELS, named(REAL, *classes))
    assert [fold.val_unseen_classes for fold in given] == [fold.val_unseen_classes for fold in drawn]


def test_a_fold_without_training_classes_is_refused():
    with pytest.raises(RevcdError, match="none is left for training"):
        folds_of(LABELS, named(GOOD, 0, 1))


def test_two_seen_classes_are_enough_if_one_is_given_for_validation():
    (fold,) = folds_of(LABELS, named(GOOD, 1), folds=1)
    assert [rows.tolist() for _, rows in fold.parts()] == [[0], [], [2]]
