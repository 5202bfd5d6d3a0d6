"""The regressions in torch equal those of scikit-learn: ridge, weighted ridge, and the process of visual prototypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import Ridge
from torch import Tensor

from revcd_cli.baselines.preprocessing import LeastSquares, class_shares
from revcd_cli.config import PrototypeConfig
from revcd_cli.core.precondition import class_means, roots
from revcd_cli.scoring.candidate_kinds import CandidateKinds
from revcd_cli.scoring.prototypes.class_kernel import directions
from revcd_cli.scoring.prototypes.visual_prototypes import VisualPrototypes

SHAPES = {"more rows than columns": (40, 7), "fewer rows than columns": (9, 30)}


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_regularised_least_squares_are_ridge_regression(shape: tuple[int, int]):
    x, targets = drawn(*shape), drawn(shape[0], 3)
    expected = Ridge(alpha=0.7, fit_intercept=False).fit(x.numpy(), targets.numpy()).coef_.T
    np.testing.assert_allclose(LeastSquares(x).solve(targets, 0.7), expected, rtol=1e-8, atol=1e-10)
    each = LeastSquares(x).solve_each(targets, torch.full((3,), 0.7, dtype=torch.float64))
    np.testing.assert_allclose(each, expected, rtol=1e-8, atol=1e-10)


def test_rows_that_are_scaled_by_the_root_of_their_weight_are_weighted_rows():
    labels = torch.tensor([0, 0, 0, 1, 2, 2, 0, 1])
    x, targets, shares = drawn(8, 4), drawn(8, 2), class_shares(labels, 3)
    model = Ridge(alpha=0.3, fit_intercept=False).fit(x.numpy(), targets.numpy(), sample_weight=shares.numpy())
    scale = shares.sqrt().unsqueeze(1)
    np.testing.assert_allclose(LeastSquares(scale * x).solve(scale * targets, 0.3), model.coef_.T, rtol=1e-8)


def test_visual_prototypes_are_a_gaussian_process_from_directions_of_descriptions_to_mean_photos():
    config = PrototypeConfig(components=4, length=1.5, noise=0.25)
    labels = torch.arange(40) % 8
    x, s, new = drawn(40, 6).abs(), drawn(8, 5), drawn(3, 5)
    process = VisualPrototypes(config, 6, 5, 8).double()
    process.fit(x, labels, s)
    mean_photos = class_means((roots(x) - process.shift) @ process.to_components, labels, 8)  # (C, P)

    kernel = RBF(length_scale=float((process.length / 2).sqrt()))
    reference = GaussianProcessRegressor(kernel, alpha=config.noise, optimizer=None)
    reference.fit(directions(s - s.mean(0), process.relevance).numpy(), mean_photos.numpy())
    expected, spread = reference.predict(directions(new - s.mean(0), process.relevance).numpy(), return_std=True)

    mean, variance = process.posterior(new)
    np.testing.assert_allclose(mean, expected, rtol=1e-7, atol=1e-9)
    # The reference gives the variance of the explained part alone, with prior variance 1.
    explained = (spread**2 + config.noise) / (1 + config.noise)
    np.testing.assert_allclose(variance / process.between, explained, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shrinkage", [0.1, 0.8])
def test_classes_with_very_many_photos_are_classified_by_linear_discriminant_analysis(shrinkage: float):
    config = PrototypeConfig(components=6, within_shrinkage=shrinkage, own_share=1.0)
    labels = torch.arange(60) * 7 % 11 % 5  # classes of different sizes
    x, s, new = drawn(60, 6) + torch.eye(6)[labels], drawn(5, 3), drawn(9, 6)
    prototypes = VisualPrototypes(config, 6, 3, 5).double()
    prototypes.fit(x, labels, s, counts=torch.full((5,), 1e12))

    chances = prototypes(new, s, CandidateKinds.trained(5)).softmax(1)

    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=np.full(5, 0.2))
    reference.fit(roots(x).numpy(), labels.numpy())
    np.testing.assert_allclose(chances, reference.predict_proba(roots(new).numpy()), rtol=1e-6, atol=1e-9)
