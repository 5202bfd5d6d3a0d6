"""Relevance of attributes in the class kernel, against explicit leave-one-class-out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revcd_cli.scoring.prototypes.class_kernel import (
    class_kernel,
    directions,
    fit_relevance,
    fit_whitening,
    kernel_length,
    left_out_residuals,
)

CLASSES, ATTRIBUTES, COMPONENTS, NOISE, LENGTH = 40, 6, 5, 0.1, 2.0


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def world(visible: int = 2) -> tuple[Tensor, Tensor]:
    """Return descriptions (C, A) and class means (C, P) that depend on the first `visible` attributes only."""
    s = random(CLASSES, ATTRIBUTES)
    return s - s.mean(0), 3 * torch.tanh(s[:, :visible] @ random(visible, COMPONENTS, seed=1))


def fitted(s: Tensor, means: Tensor, spread: float = 1.0) -> Tensor:
    return fit_relevance(
        s,
        means,
        torch.ones(means.shape[1]).double(),
        spread=spread,
        length=LENGTH,
        noise=torch.full((len(s),), NOISE).double(),
    )


def slow_residuals(s: Tensor, means: Tensor, relevance: Tensor, length: Tensor) -> Tensor:
    """Leave out each class and predict its mean from the other classes."""
    points = directions(s, relevance)
    rows = []
    for out in range(len(s)):
        stay = [k for k in range(len(s)) if k != out]
        known = class_kernel(points[stay], points[stay], length) + NOISE * torch.eye(len(stay)).double()
        slope = torch.linalg.solve(known, class_kernel(points[stay], points[[out]], length))
        rows.append(means[out] - slope[:, 0] @ means[stay])
    return torch.stack(rows)


def objective(s: Tensor, means: Tensor, relevance: Tensor, spread: float = 1.0) -> float:
    length = kernel_length(directions(s, relevance), LENGTH)
    fit = slow_residuals(s, means, relevance, length).square().sum() / 4  # a variance of 1 + 1, and the factor 1/2
    return float(fit + (2 * relevance.log()).square().sum() / (2 * spread**2))


def test_residuals_equal_those_of_explicit_leave_one_class_out() -> None:
    s, means = world()
    relevance = random(ATTRIBUTES, seed=3).exp()
    points = directions(s, relevance)
    length = kernel_length(points, LENGTH)
    inverse = torch.linalg.inv(class_kernel(points, points, length) + NOISE * torch.eye(CLASSES).double())

    residuals = left_out_residuals(inverse, means)

    torch.testing.assert_close(residuals, slow_residuals(s, means, relevance, length))


def test_attributes_that_determine_features_get_larger_weights_than_others() -> None:
    relevance = fitted(*world(visible=2))

    assert relevance[:2].min() > 1 > relevance[2:].max()


def test_the_weights_minimise_the_leave_one_out_loss_plus_the_prior() -> None:
    s, means = world()
    relevance = fitted(s, means)
    least = objective(s, means, relevance)

    assert least < objective(s, means, torch.ones(ATTRIBUTES).double())
    for attribute in range(ATTRIBUTES):
        for factor in (0.8, 1.25):
            moved = relevance.clone()
            moved[attribute] *= factor
            assert least < objective(s, means, moved)


@pytest.mark.parametrize("spread", [0.0, 1e-4])
def test_with_zero_prior_spread_all_attributes_have_equal_weights(spread: float) -> None:
    torch.testing.assert_close(fitted(*world(), spread), torch.ones(ATTRIBUTES).double(), rtol=0, atol=1e-3)


def test_the_order_of_attributes_and_of_classes_does_not_matter() -> None:
    s, means = world()
    columns, rows = torch.randperm(ATTRIBUTES), torch.randperm(CLASSES)

    torch.testing.assert_close(fitted(s[rows][:, columns], means[rows]), fitted(s, means)[columns])


@pytest.mark.parametrize("classes", [1, 2])
def test_one_or_two_classes_give_equal_weights(classes: int) -> None:
    assert torch.equal(fitted(*(part[:classes] for part in world())), torch.ones(ATTRIBUTES).double())


def test_equal_descriptions_and_constant_attributes_give_finite_weights() -> None:
    s, means = world()
    s[3], s[:, 4] = s[2], 0

    relevance = fitted(s, means)

    assert relevance.isfinite().all()
    torch.testing.assert_close(relevance[4], torch.ones(()).double())  # a constant attribute keeps the prior weight


@pytest.mark.parametrize("share", [0.1, 0.9, 1.0])
@pytest.mark.parametrize("classes", [4, CLASSES])  # fewer classes than attributes, and more
def test_whitening_is_the_inverse_root_of_the_shrunk_covariance(classes: int, share: float) -> None:
    s = random(classes, ATTRIBUTES) @ random(ATTRIBUTES, ATTRIBUTES, seed=2)
    s = s - s.mean(0)
    covariance = s.T @ s / classes
    rest = max(1 - share, 1e-3) * covariance.trace() / ATTRIBUTES
    values, vectors = torch.linalg.eigh(share * covariance + rest * torch.eye(ATTRIBUTES).double())
    ones, new = torch.ones(ATTRIBUTES).double(), random(5, ATTRIBUTES, seed=3)
    expected = directions(new @ vectors / values.sqrt() @ vectors.T, ones)

    torch.testing.assert_close(directions(new, ones, fit_whitening(s, share)), expected)


def test_whitening_of_equal_descriptions_changes_nothing() -> None:
    ones, new = torch.ones(ATTRIBUTES).double(), random(5, ATTRIBUTES)
    whitening = fit_whitening(torch.zeros(CLASSES, ATTRIBUTES).double(), 0.5)
    torch.testing.assert_close(directions(new, ones, whitening), directions(new, ones))


def test_the_centre_of_all_descriptions_has_equal_similarity_to_all() -> None:
    points = directions(torch.cat([world()[0], torch.zeros(1, ATTRIBUTES).double()]), torch.ones(ATTRIBUTES).double())

    kernel = class_kernel(points[-1:], points[:-1], torch.tensor(2.0))

    torch.testing.assert_close(kernel, torch.full_like(kernel, torch.tensor(-0.5).exp().item()))
