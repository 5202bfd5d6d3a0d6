"""Standardisation over classes in the class-normalisation network."""

from __future__ import annotations

import torch
from torch import Tensor

from revcd_cli.scoring.class_network import ClassNormNetwork, ClassStandardisation

ATTRIBUTES = 4


def descriptions(rows: int) -> Tensor:
    return torch.randn(rows, ATTRIBUTES, dtype=torch.float64)


def test_standardisation_gives_every_unit_mean_zero_and_variance_one_over_the_classes() -> None:
    h = descriptions(40) * 3 + 2

    out = ClassStandardisation(ATTRIBUTES).double()(h)

    torch.testing.assert_close(out.mean(0), torch.zeros(ATTRIBUTES).double())
    torch.testing.assert_close(out.var(0), torch.ones(ATTRIBUTES).double(), rtol=1e-4, atol=0)


def test_at_inference_standardisation_uses_the_running_statistics_of_training() -> None:
    one, batches = ClassStandardisation(ATTRIBUTES, momentum=0.1).double(), [descriptions(6) for _ in range(3)]
    mean, variance = torch.zeros(ATTRIBUTES).double(), torch.ones(ATTRIBUTES).double()
    for h in batches:
        one(h)
        mean, variance = 0.9 * mean + 0.1 * h.mean(0), 0.9 * variance + 0.1 * h.var(0)

    h = descriptions(6)
    torch.testing.assert_close(one.eval()(h), (h - mean) / (variance + 1e-5).sqrt())
    torch.testing.assert_close((one.mean, one.variance), (mean, variance))  # inference moves nothing


def test_a_single_class_gives_finite_values_in_training_and_inference() -> None:
    network = ClassNormNetwork(ATTRIBUTES, 8, 6).double()

    for mode in (True, False):
        assert network.train(mode)(descriptions(1)).isfinite().all()
