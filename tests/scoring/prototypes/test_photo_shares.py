"""The share of a seen class's photos that a new class would take: the closed form, against drawn photos."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from revcd_cli.config import PrototypeConfig
from revcd_cli.scoring.candidate_kinds import CandidateKinds
from revcd_cli.scoring.prototypes.photo_shares import PhotoModel
from revcd_cli.scoring.prototypes.visual_prototypes import VisualPrototypes, updated

FEATURES, ATTRIBUTES, CLASSES, DRAWS = 6, 4, 5, 200_000


def fitted(
    own_share: float = 0.1, taken_limit: float = 1.0, whitening: float = 0.0
) -> tuple[VisualPrototypes, np.ndarray]:
    """Prototypes of random photos, and the descriptions of their classes."""
    generator = torch.Generator().manual_seed(0)
    s = torch.randn(CLASSES, ATTRIBUTES, generator=generator, dtype=torch.float64)
    x = torch.rand(60, FEATURES, generator=generator, dtype=torch.float64)
    prototypes = VisualPrototypes(
        PrototypeConfig(own_share=own_share, taken_limit=taken_limit, whitening=whitening),
        FEATURES,
        ATTRIBUTES,
        CLASSES,
    ).double()
    prototypes.fit(x, torch.arange(60) * 7 % 11 % CLASSES, s, noise=torch.full((CLASSES,), 0.2).double())
    return prototypes, s.numpy()


def arrays(prototypes: VisualPrototypes, unit: float = 1.0) -> PhotoModel:
    state = {name: value.numpy() for name, value in prototypes.named_buffers()}
    return PhotoModel.of(state, prototypes.config, unit)


def new_rows(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, ATTRIBUTES))


@pytest.mark.parametrize("whitening", [0.0, 0.4])
def test_means_and_variances_are_those_of_the_prototypes(whitening: float):
    prototypes, _ = fitted(whitening=whitening)
    for ours, theirs in (
        (arrays(prototypes).posterior(new_rows()), prototypes.posterior(torch.from_numpy(new_rows()))),
        (arrays(prototypes).own_photos(), updated(*prototypes.left_out(), prototypes.means, prototypes.counts)),
    ):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("own_share", [0.0, 0.1, 1.0])
def test_mean_and_deviation_of_the_margin_are_those_of_drawn_photos(own_share: float):
    prototypes, s = fitted(own_share)
    own = np.array([3, 1, 4])
    pairs = np.array([[0, 2], [1, 0], [2, 1]])
    model = arrays(prototypes)
    centre, deviation = model.margins(model.posterior(new_rows()), s[own], own, pairs)
    rows, kinds = torch.from_numpy(np.concatenate([s[own], new_rows()])), torch.tensor([*own, -1, -1, -1])
    generator = torch.Generator().manual_seed(2)
    means, variances = prototypes.own_photos()
    for seen in range(len(own)):
        photos = torch.randn(DRAWS, FEATURES, generator=generator, dtype=torch.float64)
        photos = means[own[seen]] + photos * (1 + variances[own[seen]]).sqrt()
        prototypes.photo_components = lambda x: x  # the photos are drawn in components
        scores = prototypes(photos, rows, CandidateKinds(kinds))
        for new, place in zip(*np.nonzero(pairs == seen), strict=True):
            margin = scores[:, len(own) + new] - scores[:, seen]
            assert float(margin.mean()) == pytest.approx(centre[new, place], abs=0.02 * deviation[new, place])
            assert float(margin.std()) == pytest.approx(deviation[new, place], rel=0.02)


def test_the_share_rises_with_the_penalty_from_none_to_all_and_is_half_where_the_mean_scores_tie():
    prototypes, s = fitted()
    model, own = arrays(prototypes, unit=2.0), np.arange(CLASSES)
    pairs = model.taken(new_rows(), s, own, 0.0)[0]
    centre, _ = model.margins(model.posterior(new_rows()), s, own, pairs)
    shares = [model.taken(new_rows(), s, own, penalty)[1] for penalty in (-1e3, -1.0, 0.0, 1.0, 1e3)]
    assert (np.diff(shares, axis=0) > 0).all()
    assert shares[0].max() < 1e-6 and shares[-1].min() > 1 - 1e-6
    tie = -centre[0, 0] / 2.0  # in units of the scores
    assert model.taken(new_rows(), s, own, tie)[1][0, 0] == pytest.approx(0.5)


def test_a_class_with_the_row_of_a_seen_class_is_compared_with_this_class_first():
    prototypes, s = fitted()
    order, shares = arrays(prototypes).taken(s[[2, 0]], s, np.arange(CLASSES), 0.0)
    assert order[:, 0].tolist() == [2, 0] and order.shape == shares.shape == (2, 3)
    assert arrays(prototypes).taken(s[[2]], s[:2], np.arange(2), 0.0)[0].shape == (1, 2)  # only two seen candidates


def test_with_its_limit_as_the_penalty_a_seen_class_loses_the_share_of_the_limit_to_the_new_class_that_takes_most():
    limited, s = fitted(taken_limit=0.2)
    model, own = arrays(limited, unit=2.0), np.arange(CLASSES)
    limits = model.penalty_limits(model.posterior(new_rows()), s, own)
    free = arrays(fitted()[0], unit=2.0)
    most = np.zeros((CLASSES, 2))  # without a penalty, and with the limit as the penalty
    for seen in range(CLASSES):
        for column, penalty in enumerate((0.0, limits[seen])):
            pairs, shares = free.taken(new_rows(), s, own, min(penalty, 1e6))
            most[seen, column] = shares[pairs == seen].max(initial=0.0)
    resembled = np.isfinite(limits)
    assert resembled.any()
    np.testing.assert_allclose(most[resembled, 1], np.maximum(most[resembled, 0], 0.2))
    assert (limits[most[:, 0] > 0.2] == 0).all()


def test_a_new_class_is_said_to_take_no_more_than_the_limit_unless_it_does_so_without_a_penalty():
    limited, s = fitted(taken_limit=0.2)
    own = np.arange(CLASSES)
    _, shares = arrays(limited).taken(new_rows(), s, own, 1e3)
    _, without = arrays(limited).taken(new_rows(), s, own, 0.0)
    np.testing.assert_allclose(shares, np.maximum(without, 0.2))
