"""The class network in a zero-shot model: its scores, their unit, their share, and its training."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from revcd_cli.config import ClassNetworkConfig, Config, PrototypeConfig, SimulationConfig
from revcd_cli.core.trainer import TrainingRows
from revcd_cli.errors import ConfigError
from revcd_cli.scoring.candidate_kinds import CandidateKinds
from revcd_cli.scoring.class_network import ClassNetwork, train_to_classify
from revcd_cli.scoring.model import ZeroShotModel, build_model
from revcd_cli.scoring.prototypes.simulated_classes import SimulatedClasses
from revcd_cli.scoring.prototypes.visual_prototypes import VisualPrototypes
from revcd_cli.scoring.trainer import ModelTrainer
from tests.makers.tiny_model import ATTRIBUTES, FEATURES, generators, photos, prototypes

CLASSES = 6


def network(n_tokens: int = 1, epochs: int = 20, seed: int = 0) -> ClassNetwork:
    torch.manual_seed(seed)
    config = ClassNetworkConfig(width=16, epochs=epochs)
    return ClassNetwork(config, FEATURES * n_tokens, ATTRIBUTES, n_tokens).double()


def separable(n_rows: int = 120, n_tokens: int = 1) -> TrainingRows:
    """Return photos of classes around different means."""
    s, labels = prototypes(seed=4), torch.arange(n_rows) % CLASSES
    x = 3 * photos(CLASSES, seed=6)[labels] + 0.3 * photos(n_rows, seed=7)
    change = photos(n_rows, seed=9)
    return TrainingRows(torch.cat([x + change, x - change], dim=1) if n_tokens == 2 else x, labels, s)


def simulated(of: TrainingRows) -> SimulatedClasses:
    process = VisualPrototypes(PrototypeConfig(components=6), FEATURES, ATTRIBUTES, CLASSES).double()
    process.fit(of.features, of.labels, of.prototypes)
    return SimulatedClasses(SimulationConfig(), process, of)


def model(**inference: Any) -> ZeroShotModel:
    sections = {
        "precondition": {"kind": "standardise"},
        "diffusion": {"timesteps": 20},
        "encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16},
        "denoiser": {"width": 16, "time_width": 8},
        "prototypes": {"components": 6},
        "class_network": {"width": 16, "epochs": 3},
        "train": {"epochs": 3, "batch_size": 8},
        "inference": {"draws": 3} | inference,
    }
    torch.manual_seed(0)
    return build_model(Config.from_dict(sections), FEATURES, ATTRIBUTES, CLASSES)


def rows() -> TrainingRows:
    of = separable(24)
    return TrainingRows(of.features.float(), of.labels, of.prototypes.float())


def scores(of: ZeroShotModel, **inference: Any) -> Tensor:
    config = dataclasses.replace(of.config.inference, **inference)
    return of.score(photos(8).float(), prototypes().float(), config, generators(range(8)))


def test_training_separates_the_photos_of_the_seen_classes() -> None:
    data = separable()
    one = network(epochs=150)

    one.fit(data)

    assert float((one(data.features, data.prototypes).argmax(1) == data.labels).double().mean()) > 0.95


def test_with_simulated_classes_the_seen_ones_are_separated_too_and_the_outcome_is_another() -> None:
    data = separable()
    plain, one = network(epochs=150), network(epochs=150)

    plain.fit(data)
    one.fit(data, simulated(data))

    found = one(data.features, data.prototypes)
    assert float((found.argmax(1) == data.labels).double().mean()) > 0.95
    assert not torch.allclose(found, plain(data.features, data.prototypes))


def test_further_classes_are_candidates_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    data, calls = separable(n_rows=300), []
    cross_entropy = F.cross_entropy

    def record(logits: Tensor, labels: Tensor) -> Tensor:
        calls.append((logits.shape, labels))
        return cross_entropy(logits, labels)

    monkeypatch.setattr("revcd_cli.scoring.class_network.F.cross_entropy", record)
    one = network(epochs=1)
    more_photos, more = photos(8, seed=3), prototypes(seed=8)[:4]

    train_to_classify(one.network, data.features, data.labels, data.prototypes, 1, lambda: (more_photos, more))

    assert [shape for shape, _ in calls] == [(256 + 8, CLASSES + 4), (44 + 8, CLASSES + 4)]
    for _, labels in calls:
        assert labels[:-8].max() < CLASSES
        assert labels[-8:].tolist() == [CLASSES + k for k in (0, 0, 1, 1, 2, 2, 3, 3)]


def test_scores_depend_on_neither_the_length_of_features_nor_that_of_descriptions() -> None:
    data, one = separable(), network()
    one.fit(data)

    torch.testing.assert_close(one(5 * data.features, 3 * data.prototypes), one(data.features, data.prototypes))


def test_a_class_has_the_same_score_whatever_the_other_candidates_are() -> None:
    data, one = separable(), network()
    one.fit(data)

    torch.testing.assert_close(one(data.features, data.prototypes[2:4]), one(data.features, data.prototypes)[:, 2:4])


def test_spatial_tokens_are_averaged() -> None:
    pooled, tokens = network(), network(n_tokens=2)
    one, two = separable(), separable(n_tokens=2)
    pooled.fit(one)
    tokens.fit(two)

    torch.testing.assert_close(tokens(two.features, two.prototypes), pooled(one.features, one.prototypes))


@pytest.mark.parametrize("with_simulated", [False, True])
def test_training_keeps_the_random_state_of_the_caller_and_repeats_itself(with_simulated: bool) -> None:
    data = separable()
    more = simulated(data) if with_simulated else None
    one, again, other = network(), network(), network(seed=1)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    one.fit(data, more)
    assert torch.equal(torch.rand(2), expected)
    again.fit(data, more)
    other.fit(data, more)

    found, same, another = (each(data.features, data.prototypes) for each in (one, again, other))
    assert torch.equal(found, same) and not torch.equal(found, another)


def test_the_unit_gives_scores_of_training_photos_unit_variance_over_the_classes() -> None:
    data, one = separable(), network()
    one.fit(data)

    one.fit_unit(data.features, data.prototypes)

    spread = one(data.features, data.prototypes).var(1, correction=0).mean()
    torch.testing.assert_close(spread, torch.tensor(1.0).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_prototypes_scores_contain_the_share_of_the_class_network(share: float) -> None:
    trained = ModelTrainer(model(network_share=0.5, rule="prototype"), rows()).ema
    trained.fit_units(rows().features, rows().prototypes, trained.config.inference, ("prototype", "network"))
    assert trained.prototypes is not None and trained.class_network is not None
    x, s = photos(8).float(), prototypes().float()
    process = trained.prototypes(x, s) / trained.prototype_unit

    expected = (1 - share) * process + share * trained.class_network(x, s)

    torch.testing.assert_close(scores(trained, rule="prototype", network_share=share), expected)
    joint = scores(trained, rule="joint", prototype_share=0.6, network_share=share)
    torch.testing.assert_close(joint, 0.4 * scores(trained, rule="evidence") + 0.6 * expected)


def test_the_process_alone_scores_classes_with_given_photos_or_without_a_description() -> None:
    trained = ModelTrainer(model(network_share=0.5, rule="prototype"), rows()).ema
    assert trained.prototypes is not None
    x, s = photos(8).float(), prototypes().float()
    kinds = CandidateKinds(
        torch.full((CLASSES,), -1),
        photos=torch.randn(CLASSES, len(trained.prototypes.between)),
        counts=torch.tensor([0, 3, 0, 0, 0, 0]),
        described=torch.arange(CLASSES) != 4,
    )

    found, process = (
        trained.score(
            x, s, dataclasses.replace(trained.config.inference, network_share=share), generators(range(8)), kinds
        )
        for share in (0.5, 0.0)
    )

    by_process = [bool(torch.allclose(found[:, k], process[:, k])) for k in range(CLASSES)]
    assert by_process == [False, True, False, False, True, False]


@pytest.mark.parametrize(
    ("inference", "expected"),
    [
        ({"rule": "auto"}, True),
        ({"rule": "joint"}, False),
        ({"rule": "joint", "network_share": 0.2}, True),
        ({"rule": "cosine"}, False),
    ],
)
def test_a_model_has_a_class_network_if_a_rule_can_contain_it(inference: dict[str, Any], expected: bool) -> None:
    assert (model(**inference).class_network is not None) == expected


def test_a_restored_training_has_the_class_network_of_its_state() -> None:
    whole, shifted = ModelTrainer(model(), rows()), dataclasses.replace(rows(), features=rows().features * 1.5)
    shifted.features[0] += 1

    resumed = ModelTrainer(model(), shifted)
    resumed.restore({name: value.clone() for name, value in whole.state().items()})

    for name, value in whole.ema.state_dict().items():
        assert torch.equal(resumed.ema.state_dict()[name], value), name


def test_a_share_of_the_class_network_needs_a_class_network() -> None:
    with pytest.raises(ConfigError, match=r"inference\.network_share = 0\.2 needs class_network\.width"):
        Config.from_dict({"inference": {"network_share": 0.2}, "class_network": {"width": 0}})


def test_prototypes_have_no_negative_values_if_features_have_none() -> None:
    signed, one = network(), network()
    data = separable()
    signed.fit(data)
    one.fit(dataclasses.replace(data, features=data.features.abs()))

    assert (one.network(data.prototypes) >= 0).all()
    assert (signed.network(data.prototypes) < 0).any()
