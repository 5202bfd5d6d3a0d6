"""Several networks as one model: scores, training and what is kept of it. python -m pytest tests/core"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from revcd_cli.config import Config, InferenceConfig
from revcd_cli.core.model import RevCD
from revcd_cli.core.trainer import Trainer, TrainingRows
from revcd_cli.scoring.ensemble import Ensemble, EnsembleTrainer, build_model, build_trainer, member_configs, members_of
from revcd_cli.scoring.scores import class_scores, fit_units
from tests.makers.tiny_model import ATTRIBUTES, FEATURES, generators, photos, prototypes

RULES = [
    InferenceConfig(rule="evidence", draws=3),
    InferenceConfig(rule="prototype"),
    InferenceConfig(rule="joint", draws=3, prototype_share=0.3),
    InferenceConfig(rule="cosine", samples=2),
]
every_rule = pytest.mark.parametrize("config", RULES, ids=lambda config: config.rule)


CLASSES = len(prototypes())


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


def model(config: Config, seed: int = 0) -> RevCD | Ensemble:
    torch.manual_seed(seed)
    return build_model(config, FEATURES, ATTRIBUTES, CLASSES)


def trained(config: Config, epochs: int = 2) -> RevCD | Ensemble:
    trainer = build_trainer(model(config), rows())
    for epoch in range(epochs):
        trainer.run_epoch(epoch, seed=10 * epoch)
    return trainer.ema


def scores(of: RevCD | Ensemble, config: InferenceConfig) -> Tensor:
    return class_scores(of, photos().float(), prototypes().float(), config, generators())


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


@pytest.mark.parametrize("kind", ["standardise", "whiten", "none"])
def test_one_view_and_one_member_is_a_plain_network(kind: str) -> None:
    config = settings(kind)
    one = model(config)

    assert type(one) is RevCD
    assert one.config == config
    assert type(build_trainer(one, rows())) is Trainer
    assert members_of(one) == [one]


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", ["standardise+whiten", "whiten+none+standardise"])
def test_an_ensemble_has_every_view_as_often_as_asked_for(kind: str, members: int) -> None:
    config = settings(kind, members=members)
    kinds = [each.precondition.kind for each in member_configs(config)]
    one = model(config)

    assert sorted(kinds) == sorted(kind.split("+") * members)
    assert [member.config.precondition.kind for member in members_of(one)] == kinds
    assert len({float(member.null[0].detach()) for member in members_of(one)}) == len(kinds)  # no two start alike


def test_each_member_looks_at_descriptions_in_its_own_way() -> None:
    standardised, whitened = members_of(trained(settings(), epochs=0))

    def covariance(member: RevCD) -> Tensor:
        z = member.preconditioner(rows().prototypes)
        return z.T @ z / len(z)

    torch.testing.assert_close(covariance(standardised).diagonal(), torch.ones(ATTRIBUTES))
    off_diagonal = ~torch.eye(ATTRIBUTES, dtype=torch.bool)
    assert covariance(whitened)[off_diagonal].abs().max() < covariance(standardised)[off_diagonal].abs().max()


@every_rule
def test_scores_of_an_ensemble_are_the_mean_of_its_members(config: InferenceConfig) -> None:
    one = trained(settings(members=2))

    together = scores(one, config)

    evidence, prototype = (dataclasses.replace(config, rule=rule) for rule in ("evidence", "prototype"))
    first, *others = one.members  # one of them has the visual prototypes, which depend on neither view nor seed
    assert first.visual is not None and all(member.visual is None for member in others)
    if config.rule == "prototype":
        torch.testing.assert_close(together, scores(first, config))
        return
    if config.rule == "joint":
        of_evidence = sum(scores(member, evidence) for member in one.members) / 4
        torch.testing.assert_close(together, torch.lerp(of_evidence, scores(first, prototype), 0.3))
        return
    if config.rule == "cosine":  # each member takes its noise from the photo's generator, one after the other
        draws = generators()
        each = [class_scores(member, photos().float(), prototypes().float(), config, draws) for member in one.members]
    else:
        each = [scores(member, config) for member in one.members]
    torch.testing.assert_close(together, sum(each) / 4)


@pytest.mark.parametrize("rule", ["evidence", "prototype", "joint"])  # samples take new noise for each member
def test_an_ensemble_of_the_same_network_twice_scores_as_it_does_alone(rule: str) -> None:
    config = InferenceConfig(rule=rule, draws=3)
    alone = trained(settings("whiten"))

    torch.testing.assert_close(scores(Ensemble(settings(), [alone, alone]), config), scores(alone, config))


def test_units_are_fitted_for_each_member_by_itself() -> None:
    one = trained(settings())
    config = InferenceConfig(draws=3)
    apart = [member.units.clone() for member in one.members]

    fit_units(one, photos().float(), prototypes().float(), config, ["evidence", "prototype"])

    for member, before in zip(one.members, apart, strict=True):
        ours = member.units.clone()
        member.units.copy_(before)
        fit_units(member, photos().float(), prototypes().float(), config, ["evidence", "prototype"])
        assert torch.equal(member.units, ours)


def test_training_an_ensemble_is_training_its_members_apart_with_the_same_seeds() -> None:
    config = settings()
    together = build_trainer(model(config), rows())
    apart = [Trainer(member, rows()) for member in members_of(model(config))]

    for epoch in range(2):
        losses = together.run_epoch(epoch, seed=5)
        each = [one.run_epoch(epoch, seed=5 + number) for number, one in enumerate(apart)]
        assert float(losses.total) == pytest.approx(sum(float(one.total) for one in each) / 2)

    for ours, theirs in zip(together.trainers, apart, strict=True):
        assert_same(ours.state(), theirs.state())
    for member, one in zip(together.ema.members, apart, strict=True):
        assert_same(member.state_dict(), one.ema.state_dict())


@pytest.mark.parametrize("kind", ["standardise+whiten", "whiten"])
@pytest.mark.parametrize("stop", [0, 1])
def test_a_restored_training_goes_on_bit_for_bit(kind: str, stop: int) -> None:
    config = settings(kind)
    whole = build_trainer(model(config), rows())
    for epoch in range(stop):
        whole.run_epoch(epoch, seed=epoch)
    state = {name: value.clone() for name, value in whole.state().items()}

    resumed = build_trainer(model(config, seed=99), rows())
    resumed.restore(state)
    for epoch in range(stop, 3):
        for one in (whole, resumed):
            one.run_epoch(epoch, seed=epoch)

    assert_same(whole.state(), resumed.state())


def test_the_kept_ensemble_shares_the_averaged_weights_of_its_trainers() -> None:
    trainer = build_trainer(model(settings()), rows())
    assert isinstance(trainer, EnsembleTrainer)
    before = {name: value.clone() for name, value in trainer.ema.state_dict().items()}

    trainer.run_epoch(0, seed=0)

    after = trainer.ema.state_dict()
    assert any(not torch.equal(before[name], value) for name, value in after.items())
    for number, one in enumerate(trainer.trainers):
        for name, value in one.ema.state_dict().items():
            assert torch.equal(after[f"members.{number}.{name}"], value)


def test_the_order_of_the_views_does_not_change_the_scores_of_the_same_networks() -> None:
    one = trained(settings())
    other = Ensemble(settings("whiten+standardise"), list(reversed(one.members)))
    config = InferenceConfig(rule="joint", draws=3)

    torch.testing.assert_close(scores(other, config), scores(one, config))
