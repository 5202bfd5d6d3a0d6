"""Visual prototypes: the Gaussian process in closed form, against slow references."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from revcd_cli.config import Config, PrototypeConfig
from revcd_cli.core.precondition import roots
from revcd_cli.scoring.model import build_model
from revcd_cli.scoring.prototypes.visual_prototypes import VisualPrototypes

FEATURES, ATTRIBUTES, CLASSES, PHOTOS = 6, 4, 5, 40
LABELS = torch.arange(PHOTOS) * 7 % 11 % CLASSES  # classes of different sizes


def descriptions(rows: int = CLASSES, seed: int = 1) -> Tensor:
    return 50 + 20 * torch.randn(rows, ATTRIBUTES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def features(rows: int = PHOTOS, size: int = FEATURES, seed: int = 2) -> Tensor:
    return torch.rand(rows, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) ** 2


def fitted(
    x: Tensor | None = None, labels: Tensor = LABELS, s: Tensor | None = None, n_tokens: int = 1, **settings: Any
) -> VisualPrototypes:
    x, s = features() if x is None else x, descriptions() if s is None else s
    settings = {"relevance": 1.0, **settings}
    one = VisualPrototypes(PrototypeConfig(**settings), x.shape[1], ATTRIBUTES, len(s), n_tokens).double()
    one.fit(x, labels, s)
    return one


def balanced_covariances(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the covariance within classes and that of the class means, with equal weight of all classes."""
    classes = [x[labels == c] for c in range(int(labels.max()) + 1)]
    means = torch.stack([rows.mean(0) for rows in classes])
    within = torch.stack([((rows - rows.mean(0)).T @ (rows - rows.mean(0))) / len(rows) for rows in classes]).mean(0)
    centred = means - means.mean(0)
    return within, centred.T @ centred / len(classes)


def shrunk(covariance: Tensor, alpha: float) -> Tensor:
    size = covariance.trace() / len(covariance)
    return (1 - alpha) * covariance + alpha * size * torch.eye(len(covariance), dtype=covariance.dtype)


def test_components_diagonalise_both_covariances_and_whiten_the_one_within_classes():
    one = fitted(within_shrinkage=0.4, between_shrinkage=0.2)
    within, between = balanced_covariances(roots(features()), LABELS)

    turn = one.to_components

    torch.testing.assert_close(turn.T @ shrunk(within, 0.4) @ turn, torch.eye(FEATURES).double())
    torch.testing.assert_close(turn.T @ shrunk(between, 0.2) @ turn, one.between.diag())


def test_scores_are_log_ratios_of_gaussians_with_and_without_a_description():
    one, x, s = fitted(), features(9, seed=3), descriptions(7, seed=4)

    scores = one(x, s)

    means, variances = one.posterior(s)
    photos = (roots(x) - one.shift) @ one.to_components
    slow = torch.stack(
        [
            torch.distributions.Normal(mean, (1 + variance).sqrt()).log_prob(photos).sum(1)
            for mean, variance in zip(means, variances, strict=True)
        ],
        dim=1,
    )
    plain = torch.distributions.Normal(0.0, (1 + one.between).sqrt()).log_prob(photos).sum(1, keepdim=True)
    torch.testing.assert_close(scores, slow - plain)


def test_means_and_variances_equal_those_of_a_gaussian_conditioned_on_the_seen_classes():
    noise, length, s, new = 0.3, 1.7, descriptions(), descriptions(1, seed=9)
    one = fitted(noise=noise, length=length)

    mean, variance = one.posterior(new)

    directions = torch.nn.functional.normalize((torch.cat([s, new]) - s.mean(0)) * one.relevance, dim=1)
    squares = (directions[:, None] - directions[None]).square().sum(-1)
    usual = squares[:CLASSES, :CLASSES][~torch.eye(CLASSES, dtype=torch.bool)].median()
    joint = torch.exp(-squares / (length * usual))
    known = joint[:CLASSES, :CLASSES] + noise * torch.eye(CLASSES).double()
    x = roots(features())
    of_classes = torch.stack([x[c == LABELS].mean(0) for c in range(CLASSES)])
    outputs = (of_classes - of_classes.mean(0)) @ one.to_components
    slope = torch.linalg.solve(known, joint[:CLASSES, CLASSES:]).T
    torch.testing.assert_close(mean, slope @ outputs)
    unknown = (1 - slope @ joint[:CLASSES, CLASSES:]).squeeze()
    torch.testing.assert_close(variance[0], (unknown + noise) / (1 + noise) * one.between)


def test_without_noise_a_class_described_as_a_seen_one_has_its_mean_and_zero_variance():
    one, s = fitted(noise=1e-6), descriptions()

    means, variances = one.posterior(s)

    x = roots(features())
    of_classes = torch.stack([x[c == LABELS].mean(0) for c in range(CLASSES)])
    torch.testing.assert_close(means, (of_classes - one.shift) @ one.to_components, rtol=1e-3, atol=1e-3)
    assert float((variances / one.between).max()) < 1e-4


def test_a_class_whose_description_is_far_from_all_seen_ones_has_the_prior_variance():
    one = fitted(length=1e-3)

    means, variances = one.posterior(descriptions(3, seed=8))

    torch.testing.assert_close(means, torch.zeros_like(means), atol=1e-6, rtol=0)
    torch.testing.assert_close(variances, one.between.expand_as(variances))
    scores = one(features(), descriptions(3, seed=8))
    torch.testing.assert_close(scores, torch.zeros_like(scores), atol=1e-5, rtol=0)  # no information about this class


def test_the_number_of_photos_of_a_class_does_not_matter():
    x = features()
    twice = torch.cat([x, x[LABELS == 2]])
    labels = torch.cat([LABELS, LABELS[LABELS == 2]])

    torch.testing.assert_close(fitted(twice, labels)(x, descriptions()), fitted()(x, descriptions()))


def test_the_order_of_classes_and_photos_in_training_does_not_matter():
    order, shuffled = torch.tensor([3, 0, 4, 2, 1]), torch.randperm(PHOTOS, generator=torch.Generator().manual_seed(5))
    other = fitted(features()[shuffled], order.argsort()[LABELS][shuffled], descriptions()[order])
    new = descriptions(3, seed=6)

    ours, theirs = fitted()(features(), new), other(features(), new)

    torch.testing.assert_close(ours, theirs)


def test_scores_of_a_class_do_not_depend_on_the_other_classes():
    one, s = fitted(), descriptions(6, seed=7)

    torch.testing.assert_close(torch.cat([one(features(), s[k : k + 1]) for k in range(6)], 1), one(features(), s))


def test_scores_do_not_depend_on_the_length_of_features():
    torch.testing.assert_close(fitted()(7 * features(), descriptions()), fitted()(features(), descriptions()))


def test_spatial_tokens_are_averaged_before_scoring():
    tokens = torch.stack([features(seed=k) for k in range(3)], 1)  # (N, 3, D)

    spatial = fitted(tokens.flatten(1), n_tokens=3)

    pooled = fitted(tokens.mean(1))
    torch.testing.assert_close(spatial(tokens.flatten(1), descriptions()), pooled(tokens.mean(1), descriptions()))


@pytest.mark.parametrize("photos", [4, PHOTOS], ids=["fewer photos than features", "more"])
@pytest.mark.parametrize("classes", [1, 2])
def test_few_photos_of_few_classes_give_finite_scores(photos: int, classes: int):
    labels = torch.arange(photos) % classes

    one = fitted(features(photos), labels, descriptions(classes))

    assert one(features(), descriptions(6)).isfinite().all()
    assert all(value.isfinite().all() for value in one.state_dict().values())


def test_classes_with_equal_descriptions_give_finite_scores():
    assert fitted(s=descriptions(1).expand(CLASSES, -1))(features(), descriptions()).isfinite().all()


def test_unseen_classes_are_found_if_features_are_linear_in_the_descriptions():
    generator = torch.Generator().manual_seed(0)
    s, lift = torch.rand(30, ATTRIBUTES, generator=generator), torch.rand(ATTRIBUTES, 20, generator=generator)
    looks = s @ lift
    x = (looks.repeat_interleave(20, 0) + 0.01 * torch.randn(600, 20, generator=generator)).clamp(min=0)
    labels, seen = torch.arange(30).repeat_interleave(20), 24
    one = VisualPrototypes(PrototypeConfig(noise=0.01), 20, ATTRIBUTES, seen)
    one.fit(x[labels < seen], labels[labels < seen], s[:seen])

    named = one(x[labels >= seen], s[seen:]).argmax(1) + seen

    assert float((named == labels[labels >= seen]).double().mean()) > 0.75  # chance is 1/6


def test_a_model_without_components_has_no_visual_prototypes():
    config = Config.from_dict(
        {
            "prototypes": {"components": 0},
            "simulation": {"share": 0.0},
            "encoder": {"width": 16},
            "denoiser": {"width": 16},
        }
    )
    model = build_model(config, FEATURES, ATTRIBUTES, CLASSES)

    assert model.prototypes is None
    assert not any(name.startswith("prototypes.") for name in model.state_dict())
