"""Calibrations in model files: penalty, temperature and threshold of each rule."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from revcd_cli.checkpoint.calibration import Calibration


def test_a_calibration_subtracts_the_penalty_from_the_scores_of_seen_classes():
    scores, seen = torch.tensor([[2.0, 4.0, -6.0]]), torch.tensor([True, False, True])
    assert Calibration(gamma=0.5).apply(scores, seen).tolist() == [[1.5, 4.0, -6.5]]
    assert torch.equal(Calibration().apply(scores, seen), scores)


def test_the_calibration_for_a_number_of_candidates_gives_the_same_scores_for_this_number():
    scores, seen = torch.randn(3, 5), torch.tensor([True, False, True, False, False])
    calibration = Calibration(gamma=0.5, gamma_slope=-0.3, gamma_classes=8)
    fixed = calibration.for_candidates(3)
    assert fixed.gamma == calibration.penalty(3) != calibration.gamma
    assert torch.equal(fixed.apply(scores, seen), calibration.apply(scores, seen))
    assert fixed.penalty(1) == fixed.penalty(100) == fixed.gamma


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Calibration)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_calibration_refuses_nan_and_infinity(name: str, value: float):
    with pytest.raises(ValueError, match=name):
        Calibration(**{name: value})


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_must_be_positive(temperature: float):
    with pytest.raises(ValueError, match="temperature"):
        Calibration(temperature=temperature)
