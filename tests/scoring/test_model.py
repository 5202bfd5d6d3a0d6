"""A zero-shot model of several networks: its scores, its units and its training."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from revcd_cli.config import Config, InferenceConfig, SimulationConfig
from revcd_cli.core.model import RevCD
from revcd_cli.core.trainer import Trainer, TrainingRows
from revcd_cli.scoring.model import ZeroShotModel, build_model, network_configs
from revcd_cli.scoring.prototypes.class_noise import OFFICIAL, PHOTOS, WRITTEN
from revcd_cli.scoring.prototypes.simulated_classes import SimulatedClasses
from revcd_cli.scoring.trainer import ModelTrainer
from tests.makers.tiny_model import ATTRIBUTES, FEATURES, generators, photos, prototypes

RULES = [
    InferenceConfig(rule="evidence", draws=3),
    InferenceConfig(rule="prototype"),
    InferenceConfig(rule="joint", draws=3, prototype_share=0.3),
    InferenceConfig(rule="cosine", samples=2),
]
every_rule = pytest.mark.parametrize("config", RULES, ids=lambda config: config.rule)


CLASSES = len(prototypes())
KINDS = torch.tensor([WRITTEN, OFFICIAL] + [PHOTOS] * (CLASSES - 2))  # of the classes


def settings(kind: str = "standardise+whiten", **train: Any) -> Config:
    return Config.from_dict(
        {
            "precondition": {"kind": kind},
            "diffusion": {"timesteps": 20},
            "encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16},
            "denoiser": {"width": 16, "time_width": 8},
            "prototypes": {"components": 6},
            "train": {"epochs": 3, "batch_size": 8, "mixup": 0.2} | train,
        }
    )


def rows() -> TrainingRows:
    labels = torch.arange(24) % 6
    return TrainingRows(photos(24).float(), labels, prototypes().float())


def model(config: Config, seed: int = 0) -> ZeroShotModel:
    torch.manual_seed(seed)
    return build_model(config, FEATURES, ATTRIBUTES, CLASSES)


def trained(config: Config, epochs: int = 2) -> ZeroShotModel:
    trainer = ModelTrainer(model(config), rows())
    for epoch in range(epochs):
        trainer.run_epoch(epoch, seed=10 * epoch)
    return trainer.ema


def scores(of: ZeroShotModel, config: InferenceConfig, draws: list[torch.Generator] | None = None) -> Tensor:
    return of.score(photos().float(), prototypes().float(), config, draws or generators())


def separate_models(of: ZeroShotModel) -> list[ZeroShotModel]:
    """Return each network as a model of one network, with the same visual prototypes."""
    return [ZeroShotModel(network.config, [network], of.prototypes) for network in of.networks]


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", ["whiten", "standardise+whiten", "whiten+centre+standardise"])
def test_a_model_has_the_configured_number_of_networks_for_every_view(kind: str, members: int) -> None:
    config = settings(kind, members=members)
    kinds = [each.precondition.kind for each in network_configs(config)]
    one = model(config)

    assert one.config == config
    assert sorted(kinds) == sorted(kind.split("+") * members)
    assert [network.config.precondition.kind for network in one.networks] == kinds
    assert len({float(network.null[0].detach()) for network in one.networks}) == len(
        kinds
    )  # all have different initial weights


def test_a_network_with_one_view_has_the_settings_of_the_model() -> None:
    (network,) = model(settings("whiten")).networks

    assert network.config == settings("whiten")


def test_each_network_uses_its_own_preconditioning() -> None:
    standardised, whitened = trained(settings(), epochs=0).networks

    def covariance(network: RevCD) -> Tensor:
        z = network.preconditioner(rows().prototypes)
        return z.T @ z / len(z)

    torch.testing.assert_close(covariance(standardised).diagonal(), torch.ones(ATTRIBUTES))
    off_diagonal = ~torch.eye(ATTRIBUTES, dtype=torch.bool)
    assert covariance(whitened)[off_diagonal].abs().max() < covariance(standardised)[off_diagonal].abs().max()


@every_rule
def test_scores_are_the_mean_over_the_networks(config: InferenceConfig) -> None:
    one = trained(settings(members=2))

    together = scores(one, config)

    if config.rule == "prototype":
        torch.testing.assert_close(together, one.prototypes(photos().float(), prototypes().float()))
        return
    if config.rule == "joint":
        evidence, prototype = (dataclasses.replace(config, rule=rule) for rule in ("evidence", "prototype"))
        torch.testing.assert_close(together, torch.lerp(scores(one, evidence), scores(one, prototype), 0.3))
        return
    draws = generators()  # the networks draw noise from the photo's generator in turn
    each = [scores(alone, config, draws) for alone in separate_models(one)]
    torch.testing.assert_close(together, sum(each) / 4)


@pytest.mark.parametrize("rule", ["evidence", "prototype", "joint"])  # each network draws new noise
def test_two_copies_of_a_network_score_as_one(rule: str) -> None:
    config = InferenceConfig(rule=rule, draws=3)
    alone = trained(settings("whiten"))

    twice = ZeroShotModel(settings(), [alone.networks[0]] * 2, alone.prototypes)

    torch.testing.assert_close(scores(twice, config), scores(alone, config))


def test_units_are_fitted_for_each_network_separately() -> None:
    one, rules = trained(settings()), ["evidence", "cosine", "prototype"]
    data, config = (photos().float(), prototypes().float()), InferenceConfig(draws=3, samples=2)

    one.fit_units(*data, config, rules)

    for number, alone in enumerate(separate_models(one)):
        alone.fit_units(*data, config, rules)
        assert torch.equal(alone.evidence_units[0], one.evidence_units[number])
        assert torch.equal(alone.cosine_units[0], one.cosine_units[number])
        assert torch.equal(alone.prototype_unit, one.prototype_unit)


@pytest.mark.parametrize(("share", "process"), [(0.0, "fitted"), (0.5, "fitted"), (0.5, "drawn")])
def test_training_a_model_equals_training_its_networks_separately_with_the_same_seeds(
    share: float, process: str
) -> None:
    config = dataclasses.replace(settings(), simulation=SimulationConfig(share=share, process=process))
    together, other = ModelTrainer(model(config), rows(), KINDS), model(config)
    assert other.prototypes is not None
    other.prototypes.fit(rows().features, rows().labels, rows().prototypes, kinds=KINDS)
    source = SimulatedClasses(config.simulation, other.prototypes, rows(), KINDS) if share else None
    alone = [Trainer(network, rows(), source) for network in other.networks]

    for epoch in range(2):
        losses = together.run_epoch(epoch, seed=5)
        each = [one.run_epoch(epoch, seed=5 + number) for number, one in enumerate(alone)]
        assert float(losses.total) == pytest.approx(sum(float(one.total) for one in each) / 2)

    for ours, theirs in zip(together.trainers, alone, strict=True):
        assert_same(ours.state(), theirs.state())
    for network, one in zip(together.ema.networks, alone, strict=True):
        assert_same(network.state_dict(), one.ema.state_dict())


@pytest.mark.parametrize("process", ["fitted", "drawn"])
@pytest.mark.parametrize("kind", ["standardise+whiten", "whiten"])
@pytest.mark.parametrize("stop", [0, 1])
def test_a_restored_training_continues_bit_for_bit(kind: str, stop: int, process: str) -> None:
    config = dataclasses.replace(settings(kind), simulation=SimulationConfig(process=process))
    whole = ModelTrainer(model(config), rows(), KINDS)
    for epoch in range(stop):
        whole.run_epoch(epoch, seed=epoch)
    state = {name: value.clone() for name, value in whole.state().items()}

    resumed = ModelTrainer(model(config, seed=99), rows(), KINDS)
    resumed.restore(state)
    for epoch in range(stop, 3):
        for one in (whole, resumed):
            one.run_epoch(epoch, seed=epoch)

    assert_same(whole.state(), resumed.state())


def test_restoring_reads_closed_forms_from_the_state_and_does_not_compute_them_again() -> None:
    whole = ModelTrainer(model(settings()), rows())
    shifted = TrainingRows(rows().features * 1.001, rows().labels, rows().prototypes)

    resumed = ModelTrainer(model(settings()), shifted)
    resumed.restore({name: value.clone() for name, value in whole.state().items()})

    assert_same(whole.ema.state_dict(), resumed.ema.state_dict())


def test_the_model_has_the_moving_averages_of_its_trainers() -> None:
    trainer = ModelTrainer(model(settings()), rows())
    before = {name: value.clone() for name, value in trainer.ema.state_dict().items()}

    trainer.run_epoch(0, seed=0)

    after = trainer.ema.state_dict()
    assert any(not torch.equal(before[name], value) for name, value in after.items())
    for number, one in enumerate(trainer.trainers):
        for name, value in one.ema.state_dict().items():
            assert torch.equal(after[f"networks.{number}.{name}"], value)


def test_the_order_of_the_views_does_not_change_the_scores_of_the_same_networks() -> None:
    one = trained(settings())
    other = ZeroShotModel(settings("whiten+standardise"), list(reversed(one.networks)), one.prototypes)
    config = InferenceConfig(rule="joint", draws=3)

    torch.testing.assert_close(scores(other, config), scores(one, config))
