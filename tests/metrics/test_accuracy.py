"""Per-class accuracies and their means, compared with counting."""

from __future__ import annotations

import math

import pytest
import torch

from revcd_cli.metrics.accuracy import confusion_matrix, harmonic_mean, mean_over_classes, per_class_accuracy


def test_the_per_class_mean_differs_from_the_sample_mean_on_imbalanced_data() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    predicted = torch.zeros(100).long()  # always the largest class

    accuracy = mean_over_classes(per_class_accuracy(predicted, labels, 2))

    assert accuracy == 0.5
    assert float((predicted == labels).double().mean()) == 0.9


def test_per_class_accuracy_equals_counting_row_by_row() -> None:
    generator = torch.Generator().manual_seed(0)
    labels, predicted = (torch.randint(6, (200,), generator=generator) for _ in range(2))

    accuracy = per_class_accuracy(predicted, labels, 6)

    for c in range(6):
        rows = [row for row in range(200) if labels[row] == c]
        correct = [row for row in rows if predicted[row] == c]
        assert float(accuracy[c]) == len(correct) / len(rows)


def test_a_class_without_rows_has_no_accuracy() -> None:
    labels, predicted = torch.tensor([0, 0, 2]), torch.tensor([0, 1, 2])

    accuracy = per_class_accuracy(predicted, labels, 5)

    assert accuracy.isnan().tolist() == [False, True, False, True, True]
    assert mean_over_classes(accuracy) == pytest.approx((0.5 + 1.0) / 2)


def test_a_prediction_of_a_class_that_has_no_rows_counts_against_the_true_class() -> None:
    accuracy = per_class_accuracy(torch.tensor([4, 0]), torch.tensor([0, 0]), 5)

    assert float(accuracy[0]) == 0.5
    assert math.isnan(float(accuracy[4]))


def test_without_rows_there_is_no_accuracy() -> None:
    nothing = torch.zeros(0).long()

    assert mean_over_classes(per_class_accuracy(nothing, nothing, 3)) is None


@pytest.mark.parametrize(
    ("seen", "unseen", "expected"),
    [
        (0.8, 0.2, 0.32),
        (0.5, 0.5, 0.5),
        (0.9, 0.0, 0.0),
        (0.0, 0.9, 0.0),
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        (None, 0.5, None),
        (0.5, None, None),
        (None, None, None),
        (0.0, None, None),
    ],
)
def test_the_harmonic_mean_is_zero_if_one_value_is_zero_and_undefined_if_one_is_undefined(
    seen: float | None, unseen: float | None, expected: float | None
) -> None:
    assert harmonic_mean(seen, unseen) == (expected if expected is None else pytest.approx(expected))


def test_a_confusion_matrix_counts_every_pair_and_has_the_accuracies_on_its_diagonal() -> None:
    generator = torch.Generator().manual_seed(1)
    labels, predicted = torch.randint(4, (100,), generator=generator), torch.randint(6, (100,), generator=generator)

    matrix = confusion_matrix(predicted, labels, 6)

    for true in range(6):
        for answer in range(6):
            assert int(matrix[true, answer]) == sum(
                int(labels[row]) == true and int(predicted[row]) == answer for row in range(100)
            )
    accuracy = per_class_accuracy(predicted, labels, 6)
    torch.testing.assert_close(matrix.diagonal() / matrix.sum(1), accuracy, equal_nan=True, check_dtype=False)
