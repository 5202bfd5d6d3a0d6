"""Laws of known classes: exact where the Gaussian model of discriminant analysis holds, deterministic by the seed."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from revcd_cli.scoring.prototypes.known_classes import (
    PSEUDO_FEATURES,
    SHRINKAGE,
    WithinCovariance,
    fit_classifier_means,
)

CLASSES, DIMENSIONS, PHOTOS = 7, 5, 40


def gaussian_classes(seed: int = 0, shift: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Photos (N, D) of classes with the same residuals, their labels, and the classes' means (C, D)."""
    generator = Generator().manual_seed(seed)
    means = torch.randn(CLASSES, DIMENSIONS, generator=generator, dtype=torch.float64) + shift
    residuals = torch.randn(PHOTOS, DIMENSIONS, generator=generator, dtype=torch.float64)
    residuals = (residuals - residuals.mean(0)) @ torch.randn(
        DIMENSIONS, DIMENSIONS, generator=generator, dtype=torch.float64
    )
    x = (means.unsqueeze(1) + residuals).flatten(0, 1)
    return x, torch.arange(CLASSES).repeat_interleave(PHOTOS), means


def covariance(x: Tensor, labels: Tensor, means: Tensor) -> Tensor:
    residuals = x - means[labels]
    pooled = residuals.T @ residuals / len(residuals)
    return (1 - SHRINKAGE) * pooled + SHRINKAGE * pooled.diagonal().mean() * torch.eye(DIMENSIONS).double()


def optimal_weights(x: Tensor, labels: Tensor, means: Tensor, factor: float = 3.0) -> Tensor:
    """The weights of linear discriminant analysis, plus a vector that all classes share, times a factor."""
    return factor * (torch.linalg.solve(covariance(x, labels, means), means.T).T + torch.arange(DIMENSIONS).double())


def test_the_product_is_that_of_the_covariance_matrix():
    x, labels, means = gaussian_classes()
    w = torch.randn(3, DIMENSIONS, generator=Generator().manual_seed(1)).double()
    found = WithinCovariance(x - means[labels]).times(w)
    torch.testing.assert_close(found, w @ covariance(x, labels, means))


@pytest.mark.parametrize("factor", [0.01, 1.0, 50.0])
def test_means_are_exact_if_the_classifier_is_that_of_discriminant_analysis(factor: float):
    x, labels, means = gaussian_classes()
    weights = optimal_weights(x, labels, means, factor)
    seen, own = labels < 4, torch.tensor([0, 1, 3])  # class 2 has photos but no label; 4 to 6 have no photos
    fitted = fit_classifier_means(x[seen], labels[seen], weights[own], own)
    # The covariance is that of all classes, as they have the same residuals.
    torch.testing.assert_close(fitted.means(weights[4:]), means[4:])
    assert fitted.scale == pytest.approx(1 / factor)


def test_a_vector_that_all_weights_share_changes_nothing():
    x, labels, _ = gaussian_classes()
    weights, own = torch.randn(CLASSES, DIMENSIONS, generator=Generator().manual_seed(2)), torch.arange(4)
    seen = labels < 4
    one = fit_classifier_means(x[seen], labels[seen], weights[:4], own).means(weights[4:])
    other = fit_classifier_means(x[seen], labels[seen], weights[:4] + 7, own).means(weights[4:] + 7)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_scale_is_the_median_of_ratios_so_one_wrong_label_does_not_move_it():
    x, labels, means = gaussian_classes()
    weights = optimal_weights(x, labels, means)
    weights -= weights[:5].mean(0)
    means = means - means[:5].mean(0)
    own = torch.arange(5)
    ratio = fit_classifier_means(x, labels, weights[:5], own).scale
    assert ratio == pytest.approx(1 / 3, rel=1e-6)
    weights[0] *= 1.5
    weights[:5] -= weights[:5].mean(0)
    assert fit_classifier_means(x, labels, weights[:5], own).scale == pytest.approx(1 / 3, rel=0.2)


def test_pseudo_features_are_the_mean_plus_residuals_of_photos():
    x, labels, means = gaussian_classes()
    weights, own = optimal_weights(x, labels, means), torch.arange(4)
    fitted = fit_classifier_means(x, labels, weights[:4], own)
    drawn = fitted.features(weights[4:], Generator().manual_seed(0))
    assert drawn.shape == (3 * PSEUDO_FEATURES, DIMENSIONS) and drawn.dtype == torch.float32
    rest = drawn - fitted.means(weights[4:]).repeat_interleave(PSEUDO_FEATURES, 0)
    distances = torch.cdist(rest, x - means[labels])
    assert distances.amin(1).max() < 1e-5


@pytest.mark.parametrize("shift", [0.0, 50.0])
def test_pseudo_features_are_negative_only_if_those_of_photos_are(shift: float):
    x, labels, means = gaussian_classes(shift=shift)
    weights = optimal_weights(x, labels, means)
    weights[4:] *= 100  # far away from the others
    drawn = fit_classifier_means(x, labels, weights[:4], torch.arange(4)).features(weights[4:], Generator())
    assert bool((drawn < 0).any()) is (shift == 0)


def test_pseudo_features_are_determined_by_the_seed():
    x, labels, means = gaussian_classes()
    weights = optimal_weights(x, labels, means)
    fitted = fit_classifier_means(x, labels, weights[:4], torch.arange(4))
    first, again, other = (fitted.features(weights[4:], Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_one_class_with_photos_and_a_label_has_no_scale():
    x, labels, means = gaussian_classes()
    with pytest.raises(ValueError, match="two classes"):
        fit_classifier_means(x, labels, means[:1], torch.tensor([0]))
