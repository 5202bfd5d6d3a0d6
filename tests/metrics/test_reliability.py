"""Reliability diagrams and expected calibration error, against closed forms."""

from __future__ import annotations

import pytest
import torch

from revcd_cli.metrics.reliability import reliability


def test_bins_hold_the_photos_between_their_edges_and_the_last_bin_includes_1() -> None:
    bins = reliability(torch.tensor([0.0, 0.05, 0.25, 0.5, 0.74, 0.76, 1.0]), torch.ones(7).bool(), bins=4)
    assert bins.photos.tolist() == [2, 1, 2, 2]
    assert bins.confidence.tolist() == pytest.approx([0.025, 0.25, 0.62, 0.88])


def test_an_empty_bin_has_no_accuracy_and_does_not_count_in_the_error() -> None:
    bins = reliability(torch.tensor([0.9, 0.9]), torch.tensor([True, False]), bins=2)
    assert bins.photos.tolist() == [0, 2]
    assert bins.accuracy.isnan().tolist() == [True, False]
    assert bins.expected_error() == pytest.approx(0.4)


def test_the_error_is_zero_if_accuracy_equals_confidence() -> None:
    confidence = torch.cat([torch.full((10,), 0.3), torch.full((10,), 0.8)])
    right = torch.tensor([1] * 3 + [0] * 7 + [1] * 8 + [0] * 2).bool()
    assert reliability(confidence, right).expected_error() == pytest.approx(0, abs=1e-7)


def test_the_error_weights_bins_by_their_number_of_photos() -> None:
    confidence = torch.cat([torch.full((30,), 0.95), torch.full((10,), 0.15)])
    right = torch.cat([torch.zeros(30), torch.ones(10)]).bool()
    assert reliability(confidence, right).expected_error() == pytest.approx((30 * 0.95 + 10 * 0.85) / 40)


def test_without_photos_there_is_no_error() -> None:
    assert reliability(torch.empty(0), torch.empty(0).bool()).expected_error() is None
