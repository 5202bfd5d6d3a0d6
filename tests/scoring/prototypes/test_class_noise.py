"""Laws of measured noise: it follows how far the means of a kind of class are from the process, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from revcd_cli.config import PrototypeConfig
from revcd_cli.scoring.prototypes.class_kernel import class_kernel, directions, kernel_length
from revcd_cli.scoring.prototypes.class_noise import (
    FACTORS,
    OFFICIAL,
    PHOTOS,
    WRITTEN,
    fit_class_noise,
    left_out_log_likelihood,
)
from revcd_cli.scoring.prototypes.visual_prototypes import VisualPrototypes

CLASSES, COMPONENTS, NOISE = 150, 80, 0.1
BETWEEN = torch.linspace(0.5, 4, COMPONENTS).double()
THIRDS = torch.tensor([PHOTOS, OFFICIAL, WRITTEN]).repeat_interleave(CLASSES // 3)


def process(noise: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The kernel (C, C) of random descriptions, and mean photos (C, P) drawn from the process with this noise (C,)."""
    generator = Generator().manual_seed(seed)
    points = directions(torch.randn(CLASSES, 4, generator=generator).double(), torch.ones(4).double())
    kernel = class_kernel(points, points, kernel_length(points, 2.0))
    root = torch.linalg.cholesky(kernel + noise.diag())
    drawn = torch.randn(CLASSES, COMPONENTS, generator=generator).double()
    return kernel, root @ drawn * (BETWEEN / (1 + NOISE)).sqrt()


def true_noise(official: float, written: float) -> Tensor:
    return torch.tensor([NOISE, official, written]).double()[THIRDS]


@pytest.mark.parametrize(("official", "written"), [(0.1, 0.1), (0.1, 1.2), (0.5, 1.2), (1.2, 1.2)])
def test_the_noise_with_which_classes_were_drawn_is_found(official: float, written: float):
    kernel, means = process(true_noise(official, written))
    found = fit_class_noise(kernel, means, BETWEEN, THIRDS, NOISE)
    assert torch.all(found[THIRDS == PHOTOS] == NOISE)
    for kind, expected in ((OFFICIAL, official), (WRITTEN, written)):
        values = found[kind == THIRDS]
        assert values.unique().numel() == 1
        assert expected / 2.1 <= float(values[0]) <= expected * 2.1  # neighbours among the factors


def test_the_likelihood_is_that_of_leaving_out_each_class_in_turn():
    noise = true_noise(0.3, 0.5)
    kernel, means = process(noise)
    total = 0.0
    tested = THIRDS == PHOTOS
    for out in torch.nonzero(tested).flatten().tolist():
        stay = [k for k in range(CLASSES) if k != out]
        inverse = torch.linalg.inv(kernel[stay][:, stay] + noise[stay].diag())
        mean = kernel[out, stay] @ inverse @ means[stay]
        share = (1 - kernel[out, stay] @ inverse @ kernel[stay, out] + NOISE) / (1 + NOISE)
        normal = torch.distributions.Normal(mean, (1 + share * BETWEEN).sqrt())
        total += float(normal.log_prob(means[out]).sum()) + 0.5 * COMPONENTS * math.log(2 * math.pi)
    found = left_out_log_likelihood(kernel, means, BETWEEN, tested, noise, NOISE)
    assert found == pytest.approx(total / int(tested.sum()), rel=1e-9)


def test_without_known_classes_all_have_the_noise_of_the_settings():
    kernel, means = process(true_noise(0.5, 1.0))
    assert torch.all(fit_class_noise(kernel, means, BETWEEN, torch.zeros(CLASSES), NOISE) == NOISE)


def test_prototypes_take_the_noise_of_each_kind_and_represent_no_known_class_by_pseudo_features():
    generator = Generator().manual_seed(0)
    s, x = torch.rand(9, 4, generator=generator), torch.rand(90, 12, generator=generator)
    labels, kinds = torch.arange(90) % 9, torch.tensor([PHOTOS] * 6 + [OFFICIAL, WRITTEN, WRITTEN])
    prototypes = VisualPrototypes(PrototypeConfig(components=6, noise=NOISE), 12, 4, 9)
    prototypes.fit(x, labels, s, kinds=kinds)
    assert prototypes.counts.tolist() == [10] * 6 + [0] * 3
    noise = (prototypes.noise / NOISE).tolist()
    assert noise[:6] == pytest.approx([1] * 6)
    assert all(min(abs(each - factor) for factor in FACTORS) < 1e-5 for each in noise[6:])
    assert noise[6] <= noise[7] == noise[8]
