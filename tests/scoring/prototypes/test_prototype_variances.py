"""Variances of visual prototypes: coverage, noise by class, and classes represented by their own photos."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revcd_cli.config import PrototypeConfig
from revcd_cli.core.precondition import roots
from revcd_cli.scoring.candidate_kinds import CandidateKinds
from revcd_cli.scoring.prototypes.class_kernel import class_kernel, directions, kernel_length
from revcd_cli.scoring.prototypes.visual_prototypes import VisualPrototypes, updated
from tests.scoring.prototypes.test_visual_prototypes import CLASSES, LABELS, descriptions, features, fitted


def drawn_from_the_model(noise: float, classes: int, seed: int) -> tuple[VisualPrototypes, Tensor, Tensor]:
    """Return unfitted prototypes, descriptions (C, A) and mean photos (C, P) that are drawn from the process."""
    config = PrototypeConfig(noise=noise, components=30, length=1.0)
    one = VisualPrototypes(config, 30, 4, classes // 2).double()
    generator = torch.Generator().manual_seed(seed)
    s = torch.randn(classes, 4, dtype=torch.float64, generator=generator)
    one.between.copy_(torch.linspace(0.5, 8, 30))
    support = directions(s - s[: classes // 2].mean(0), torch.ones(4).double())
    kernel = class_kernel(support, support, kernel_length(support[: classes // 2], config.length))
    root = torch.linalg.cholesky(kernel + noise * torch.eye(classes).double())
    draws = torch.randn(classes, 30, dtype=torch.float64, generator=generator)
    return one, s, root @ draws * (one.between / (1 + noise)).sqrt()


@pytest.mark.parametrize("noise", [0.02, 0.3, 2.0])
def test_standardised_residuals_of_left_out_classes_have_variance_1_in_every_component(noise: float):
    squares = []
    for seed in range(20):
        one, s, means = drawn_from_the_model(noise, 120, seed)
        one._fit_kernel(s[:60], means[:60], torch.full((60,), noise).double())
        predicted, variances = one.posterior(s[60:])
        squares.append(((means[60:] - predicted).square() / variances).mean(0))
    covered = torch.stack(squares).mean(0)  # 1,200 classes for each component
    torch.testing.assert_close(covered, torch.ones_like(covered), atol=0.2, rtol=0)
    assert abs(float(covered.mean()) - 1) < 0.05


def test_each_class_of_the_training_has_its_own_noise():
    noise, s, new = torch.tensor([0.05, 0.2, 1.0, 4.0, 0.5]).double(), descriptions(), descriptions(3, seed=9)
    one = fitted(noise=0.2, relevance=0.0)
    one.fit(features(), LABELS, s, noise)

    means, variances = one.posterior(new)

    rows = directions(torch.cat([s, new]) - s.mean(0), torch.ones(4).double())
    joint = class_kernel(rows, rows, one.length)
    slope = torch.linalg.solve(joint[:CLASSES, :CLASSES] + noise.diag(), joint[:CLASSES, CLASSES:]).T
    torch.testing.assert_close(means, slope @ one.means)
    unknown = 1 - (slope * joint[CLASSES:, :CLASSES]).sum(1) + 0.2
    torch.testing.assert_close(variances, unknown[:, None] / 1.2 * one.between)
    torch.testing.assert_close(one.noise, noise)


def test_a_class_with_much_noise_has_no_influence_on_other_classes():
    noise, s = torch.tensor([0.2, 0.2, 1e9, 0.2, 0.2]).double(), descriptions()
    one = fitted(noise=0.2, relevance=0.0)
    one.fit(features(), LABELS, s, noise)
    kept = torch.tensor([0, 1, 3, 4])
    kernel = class_kernel(one.support, one.support, one.length)

    means, _ = one.posterior(s)

    inverse = torch.linalg.inv(kernel[kept][:, kept] + 0.2 * torch.eye(4).double())
    torch.testing.assert_close(means, kernel[:, kept] @ inverse @ one.means[kept], rtol=1e-5, atol=1e-6)


def test_the_left_out_gaussian_of_a_class_is_the_process_without_its_photos():
    one = fitted(noise=0.3)
    kernel = class_kernel(one.support, one.support, one.length)

    means, variances = one.left_out()

    for c in range(CLASSES):
        others = torch.tensor([k for k in range(CLASSES) if k != c])
        inverse = torch.linalg.inv(kernel[others][:, others] + 0.3 * torch.eye(CLASSES - 1).double())
        torch.testing.assert_close(means[c], kernel[c, others] @ inverse @ one.means[others])
        unknown = 1 - kernel[c, others] @ inverse @ kernel[c, others] + 0.3
        torch.testing.assert_close(variances[c], unknown / 1.3 * one.between)


def test_photos_update_a_mean_photo_as_bayes_rule_does_one_after_the_other():
    generator = torch.Generator().manual_seed(3)
    means, variances = torch.randn(3, 6, generator=generator), torch.rand(3, 6, generator=generator) + 0.1
    photos = torch.randn(3, 5, 6, generator=generator)

    closed = updated(means, variances, photos.mean(1), torch.full((3,), 5.0))

    for k in range(5):  # prior times the likelihood of one photo, whose variance is 1
        precision = 1 / variances + 1
        means, variances = (means / variances + photos[:, k]) / precision, 1 / precision
    torch.testing.assert_close(closed[0], means)
    torch.testing.assert_close(closed[1], variances)


def test_no_photo_changes_nothing_and_many_photos_decide_alone():
    means, variances, photos = torch.zeros(2, 4), torch.ones(2, 4), torch.full((2, 4), 7.0)

    after = updated(means, variances, photos, torch.tensor([0.0, 1e6]))

    torch.testing.assert_close(after[0], torch.stack([means[0], photos[0]]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after[1], torch.stack([variances[0], torch.full((4,), 1e-6)]), rtol=1e-5, atol=1e-9)


def test_the_mean_photo_of_a_seen_class_by_its_own_photos_is_the_update_of_its_left_out_gaussian():
    one = fitted(noise=0.3)

    means, variances = one.own_photos()

    prior_means, prior_variances = one.left_out()
    photos = (roots(features()) - one.shift) @ one.to_components
    for c in range(CLASSES):
        of_class = photos[c == LABELS]
        precision = 1 / prior_variances[c] + len(of_class)
        torch.testing.assert_close(variances[c], 1 / precision)
        torch.testing.assert_close(means[c], (prior_means[c] / prior_variances[c] + of_class.sum(0)) / precision)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_seen_class_is_scored_by_its_own_photos_and_its_description_and_others_by_their_description(share: float):
    x, s, new = features(), descriptions(), descriptions(3, seed=9)
    one = fitted(noise=0.3, own_share=share)
    rows, own = torch.cat([s[3:4], new[:1], s[:1], new[1:]]), torch.tensor([3, -1, 0, -1, -1])

    scores = one(x, rows, CandidateKinds(own))

    described = one(x, rows)
    torch.testing.assert_close(scores[:, own < 0], described[:, own < 0])
    photos = (roots(x) - one.shift) @ one.to_components
    means, variances = one.own_photos()
    plain = torch.distributions.Normal(0.0, (1 + one.between).sqrt()).log_prob(photos).sum(1)
    for row, c in ((0, 3), (2, 0)):
        by_photos = torch.distributions.Normal(means[c], (1 + variances[c]).sqrt()).log_prob(photos).sum(1) - plain
        torch.testing.assert_close(scores[:, row], (1 - share) * described[:, row] + share * by_photos)


def test_a_class_whose_features_are_not_photos_is_scored_by_its_description():
    one, s, x = fitted(own_share=1.0), descriptions(), features()
    one.fit(x, LABELS, s, counts=torch.tensor([5.0, 0, 7, 0, 8]))

    scores = one(x, s, CandidateKinds.trained(CLASSES))

    torch.testing.assert_close(scores[:, [1, 3]], one(x, s)[:, [1, 3]])
    assert not torch.isclose(scores[:, [0, 2, 4]], one(x, s)[:, [0, 2, 4]]).any()


def test_candidates_without_a_description_have_the_gaussian_of_any_class_and_broad_ones_that_of_any_photo():
    one, s = fitted(noise=0.3), descriptions(3, seed=9)
    photos, counts = torch.randn(3, 6).double(), torch.tensor([0.0, 2, 2])
    described, broad = torch.tensor([True, False, False]), torch.tensor([False, False, True])
    kinds = CandidateKinds(torch.full((3,), -1), photos, counts, described, broad)

    means, variances = one.candidates(s, kinds)

    for got, expected in zip((means, variances), one.posterior(s), strict=True):
        torch.testing.assert_close(got[0], expected[0])
    of_any = updated(torch.zeros(2, 6), one.between.expand(2, -1), photos[1:], counts[1:])
    torch.testing.assert_close(means[1:], of_any[0])
    torch.testing.assert_close(variances[1], of_any[1][0])
    torch.testing.assert_close(variances[2], of_any[1][1] + one.between)


def test_photos_given_for_a_seen_class_are_further_photos_of_it():
    x, s, more = features(), descriptions(), features(6, seed=8)
    one = fitted(noise=0.3, own_share=1.0)
    kinds = CandidateKinds(torch.arange(CLASSES), torch.zeros(CLASSES, 6).double(), torch.zeros(CLASSES))
    kinds.photos[2], kinds.counts[2] = one.photo_components(more).mean(0), 6

    scores = one(x, s, kinds)

    before = one(x, s, CandidateKinds.trained(CLASSES))
    others = [0, 1, 3, 4]
    torch.testing.assert_close(scores[:, others], before[:, others])
    own = one.photo_components(torch.cat([x[LABELS == 2], more]))
    mean, variance = updated(
        *(part[2:3] for part in one.left_out()), own.mean(0)[None], torch.tensor([len(own)]).double()
    )
    plain = torch.distributions.Normal(0.0, (1 + one.between).sqrt()).log_prob(one.photo_components(x)).sum(1)
    slow = torch.distributions.Normal(mean[0], (1 + variance[0]).sqrt()).log_prob(one.photo_components(x)).sum(1)
    torch.testing.assert_close(scores[:, 2], slow - plain)
