"""Simulated classes: their descriptions, their photos, and their share of a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from revcd_cli.config import PROTOTYPE_GRID, Config, PrototypeConfig, SimulationConfig
from revcd_cli.core.model import RevCD
from revcd_cli.core.trainer import Trainer, TrainingRows
from revcd_cli.errors import ConfigError
from revcd_cli.scoring.prototypes.class_noise import OFFICIAL, PHOTOS, WRITTEN
from revcd_cli.scoring.prototypes.simulated_classes import SimulatedClasses
from revcd_cli.scoring.prototypes.visual_prototypes import VisualPrototypes

CLASSES, ATTRIBUTES, CHANNELS, COMPONENTS = 6, 8, 12, 5


def training_rows(n_tokens: int = 1) -> TrainingRows:
    generator = torch.Generator().manual_seed(3)
    s = torch.rand(CLASSES, ATTRIBUTES, dtype=torch.float64, generator=generator)
    labels = torch.arange(60) % CLASSES
    lift = torch.rand(ATTRIBUTES, CHANNELS * n_tokens, dtype=torch.float64, generator=generator)
    noise = torch.rand(60, CHANNELS * n_tokens, dtype=torch.float64, generator=generator)
    return TrainingRows(s[labels] @ lift + noise, labels, s)


def simulated(rows: TrainingRows, n_tokens: int = 1, kinds: Tensor | None = None, **settings: Any) -> SimulatedClasses:
    prototypes = VisualPrototypes(
        PrototypeConfig(components=COMPONENTS), CHANNELS * n_tokens, ATTRIBUTES, CLASSES, n_tokens
    ).double()
    prototypes.fit(rows.features, rows.labels, rows.prototypes, kinds=kinds)
    return SimulatedClasses(SimulationConfig(**settings), prototypes, rows, kinds)


def components(of: SimulatedClasses, features: Tensor, lengths: Tensor) -> Tensor:
    """Return the components of features whose roots had the given length before they were scaled to length 1."""
    pooled = features.unflatten(-1, (of.prototypes.n_tokens, -1)).mean(-2)
    unscaled = pooled.sign() * (pooled.abs() / lengths.unsqueeze(1)).sqrt()
    return (unscaled - of.prototypes.shift) @ of.prototypes.to_components


def lengths(of: SimulatedClasses, others: Tensor) -> Tensor:
    return of.rows.features[others].unflatten(-1, (of.prototypes.n_tokens, -1)).mean(-2).abs().sum(1)


@pytest.mark.parametrize("n_tokens", [1, 3])
def test_a_photo_with_the_components_of_a_training_photo_is_that_photo(n_tokens: int) -> None:
    rows = training_rows(n_tokens)
    one, others = simulated(rows, n_tokens), torch.arange(20)

    features = one.features(one.prototypes.photo_components(rows.features[others]), others)

    torch.testing.assert_close(features, rows.features[others])


@pytest.mark.parametrize("n_tokens", [1, 3])
def test_simulated_features_have_the_components_they_are_made_from(n_tokens: int) -> None:
    one, others = simulated(training_rows(n_tokens), n_tokens), torch.arange(20)
    wanted = torch.randn(20, COMPONENTS, dtype=torch.float64)

    features = one.features(wanted, others)

    torch.testing.assert_close(components(one, features, lengths(one, others)), wanted)


def test_what_the_components_do_not_contain_stays_that_of_a_training_photo() -> None:
    one, others = simulated(training_rows()), torch.arange(20)
    features = one.features(torch.randn(20, COMPONENTS, dtype=torch.float64), others)
    before, after = (
        x.sign() * (x.abs() / lengths(one, others).unsqueeze(1)).sqrt() for x in (one.rows.features[others], features)
    )
    basis = torch.linalg.qr(one.prototypes.to_components).Q  # of the components

    rest = torch.eye(CHANNELS, dtype=torch.float64) - basis @ basis.T

    torch.testing.assert_close(after @ rest, before @ rest)
    assert not torch.allclose(after @ basis, before @ basis)


def test_differences_between_the_tokens_of_a_photo_stay() -> None:
    one, others = simulated(training_rows(3), 3), torch.arange(20)

    features = one.features(torch.randn(20, COMPONENTS, dtype=torch.float64), others)

    before, after = (x.unflatten(1, (3, CHANNELS)) for x in (one.rows.features[others], features))
    torch.testing.assert_close(after - after.mean(1, keepdim=True), before - before.mean(1, keepdim=True))


@pytest.mark.parametrize("process", ["fitted", "drawn"])
def test_photos_have_mean_and_variance_of_the_processes_for_their_description(process: str) -> None:
    # Every training photo has features of one length, so that components of drawn features can be computed.
    rows = training_rows()
    rows = TrainingRows(rows.features / rows.features.sum(1, keepdim=True), rows.labels, rows.prototypes)
    one = simulated(rows, process=process)
    torch.manual_seed(0)

    features, s = (torch.cat(parts) for parts in zip(*(one.draw(50) for _ in range(1_000)), strict=True))

    means, variances = (torch.stack(parts) for parts in zip(*(p.posterior(s) for p in one.processes), strict=True))
    usual = means.mean(0)  # over the processes, each of which is drawn as often
    variance = 1 + (variances + (means - usual).square()).mean(0)
    residuals = (components(one, features, torch.ones(len(s))) - usual) / variance.sqrt()
    covariance = residuals.T @ residuals / len(residuals)
    torch.testing.assert_close(residuals.mean(0), torch.zeros(COMPONENTS).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(covariance.diagonal(), torch.ones(COMPONENTS).double(), atol=0.04, rtol=0)
    if process == "fitted":
        torch.testing.assert_close(covariance, torch.eye(COMPONENTS).double(), atol=0.04, rtol=0)


@pytest.mark.parametrize("kinds", [None, torch.tensor([PHOTOS, PHOTOS, PHOTOS, OFFICIAL, WRITTEN, WRITTEN])])
def test_drawn_processes_are_those_of_the_grid_on_the_same_mean_photos(kinds: Tensor | None) -> None:
    rows = training_rows()
    one = simulated(rows, kinds=kinds, process="drawn")
    before = {name: value.clone() for name, value in one.prototypes.state_dict().items()}
    grid = {(length, noise) for length in PROTOTYPE_GRID["length"] for noise in PROTOTYPE_GRID["noise"]}
    assert {(each.config.length, each.config.noise) for each in one.processes} == grid
    for each in one.processes:
        direct = VisualPrototypes(each.config, CHANNELS, ATTRIBUTES, CLASSES).double()
        direct.fit(rows.features, rows.labels, rows.prototypes, kinds=kinds)
        for drawn, fitted in zip(each.posterior(rows.prototypes), direct.posterior(rows.prototypes), strict=True):
            torch.testing.assert_close(drawn, fitted)
        assert each.to_components is one.prototypes.to_components, "the large tensors are not copied"
    assert all(torch.equal(value, before[name]) for name, value in one.prototypes.state_dict().items())


def test_one_process_makes_all_photos_of_a_batch() -> None:
    one = simulated(training_rows(), process="drawn")
    near, far = one.processes[0], one.processes[-1]
    one.processes = [near, far]
    with torch.no_grad():
        near.weights.fill_(0)  # mean photos at 0
        far.weights.fill_(1e3)  # and far away
    torch.manual_seed(0)
    seen = set()
    for _ in range(20):
        features, _ = one.draw(30)
        is_far = features.abs().amax(1) > 1e3
        assert is_far.all() or not is_far.any()
        seen.add(bool(is_far[0]))
    assert seen == {True, False}


def test_the_fitted_process_takes_no_random_number() -> None:
    """So trainings with simulated classes of the fitted process stay what they were before there were several."""
    one = simulated(training_rows(), process="fitted")
    torch.manual_seed(3)
    before = torch.get_rng_state()

    assert one._process() is one.prototypes

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("shrinkage", [0.0, 0.4, 1.0])
def test_gaussian_descriptions_have_the_mean_and_the_shrunk_covariance_of_the_seen_ones(shrinkage: float) -> None:
    rows = training_rows()
    one = simulated(rows, kind="gaussian", shrinkage=shrinkage)
    torch.manual_seed(0)

    s = one.descriptions(50_000)

    expected = torch.cov(rows.prototypes.T, correction=0)
    expected = (1 - shrinkage) * expected + shrinkage * expected.diagonal().diag()
    torch.testing.assert_close(s.mean(0), rows.prototypes.mean(0), atol=0.01, rtol=0)
    torch.testing.assert_close(torch.cov(s.T), expected, atol=0.005, rtol=0)


def test_mixtures_are_convex_combinations_of_two_to_four_seen_descriptions() -> None:
    rows = training_rows()  # six descriptions of eight attributes, so that the weights are unique
    one = simulated(rows, kind="mixture")
    torch.manual_seed(0)

    s = one.descriptions(3_000)

    weights = s @ torch.linalg.pinv(rows.prototypes)
    torch.testing.assert_close(weights @ rows.prototypes, s)
    torch.testing.assert_close(weights.sum(1), torch.ones(3_000).double())
    assert weights.min() > -1e-9
    counts = (weights > 1e-9).sum(1).bincount(minlength=CLASSES + 1)
    assert counts[[0, 1, 5, 6]].sum() == 0
    torch.testing.assert_close(counts[2:5] / 3_000, torch.full((3,), 1 / 3), atol=0.04, rtol=0)


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
@pytest.mark.parametrize("classes", [1, 2])
def test_one_or_two_seen_classes_are_enough(classes: int, kind: str) -> None:
    rows = training_rows()
    kept = rows.labels < classes
    rows = TrainingRows(rows.features[kept], rows.labels[kept], rows.prototypes[:classes])
    prototypes = VisualPrototypes(PrototypeConfig(components=COMPONENTS), CHANNELS, ATTRIBUTES, classes).double()
    prototypes.fit(rows.features, rows.labels, rows.prototypes)

    features, s = SimulatedClasses(SimulationConfig(kind=kind), prototypes, rows).draw(50)

    assert features.isfinite().all()
    assert s.isfinite().all()


def test_draws_depend_on_the_seed_alone() -> None:
    first, second = simulated(training_rows()), simulated(training_rows())
    first.draw(7)
    drawn = []
    for one in (first, second):
        torch.manual_seed(4)
        drawn.append(one.draw(5))

    assert all(torch.equal(left, right) for left, right in zip(*drawn, strict=True))


@pytest.mark.parametrize(("share", "further"), [(0.0, 0), (0.5, 4), (1.0, 8)])
def test_a_share_of_each_batch_is_simulated(share: float, further: int) -> None:
    rows = training_rows()
    rows = TrainingRows(rows.features.float(), rows.labels, rows.prototypes.float())
    config = Config.from_dict(
        {
            "encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16},
            "denoiser": {"width": 16, "time_width": 8},
            "simulation": {"share": share},
            "train": {"batch_size": 8},
        }
    )
    prototypes = VisualPrototypes(config.prototypes, CHANNELS, ATTRIBUTES, CLASSES)
    prototypes.fit(rows.features, rows.labels, rows.prototypes)
    source = SimulatedClasses(config.simulation, prototypes, rows)
    trainer = Trainer(RevCD(config, CHANNELS, ATTRIBUTES, CLASSES), rows, source)

    x, s_0, labels = trainer._batch()

    assert len(x) == len(s_0) == len(labels) == 8
    assert int((labels == -1).sum()) == further
    of_photos = labels >= 0
    torch.testing.assert_close(s_0[of_photos], trainer.z[labels[of_photos]])
    nearest = torch.cdist(s_0[~of_photos], trainer.z).amin(1) if further else torch.ones(1)
    assert nearest.min() > 1e-3  # simulated descriptions are new


def test_simulation_needs_visual_prototypes() -> None:
    with pytest.raises(ConfigError, match=r"simulation\.share = 0\.5 needs prototypes\.components above 0"):
        Config.from_dict({"prototypes": {"components": 0}})
