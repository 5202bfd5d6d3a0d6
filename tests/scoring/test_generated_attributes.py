"""Attributes generated from photos, and their reliability compared with class descriptions."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from revcd_cli.config import Config, InferenceConfig
from revcd_cli.core.sample import sample_semantics
from revcd_cli.scoring.generated_attributes import attribute_reliability, generated_attributes
from revcd_cli.scoring.model import ZeroShotModel, build_model

CONFIG = {
    "precondition": {"kind": "standardise+whiten"},
    "diffusion": {"timesteps": 30},
    "encoder": {"width": 16, "heads": 2, "feedforward": 16},
    "denoiser": {"width": 16, "time_width": 8},
    "prototypes": {"components": 4},
    "inference": {"samples": 3},
}


@pytest.fixture
def model() -> ZeroShotModel:
    built = build_model(Config.from_dict(CONFIG), feature_dim=10, n_attributes=5, n_classes=8).eval()
    for member in built.networks:
        member.fit_preprocessing(torch.randn(40, 10), torch.arange(40) % 8, 50 + 20 * torch.randn(8, 5))
    return built


def seeds(*numbers: int) -> list[Generator]:
    return [Generator().manual_seed(number) for number in numbers]


def test_generated_attributes_of_a_photo_depend_on_its_own_noise_only(model: ZeroShotModel):
    x = torch.randn(3, 10)
    together = generated_attributes(model, x, model.config.inference, seeds(5, 6, 7))
    alone = generated_attributes(model, x[1:2], model.config.inference, seeds(6))
    torch.testing.assert_close(together.mean[1:2], alone.mean)
    torch.testing.assert_close(together.spread[1:2], alone.spread)


def test_attributes_are_generated_in_the_unit_of_the_class_table(model: ZeroShotModel):
    """An untrained head (all zeros) returns the noise, with the mean and the spread of the table."""
    model.config = Config.from_dict({**CONFIG, "inference": {"samples": 4000}})
    for member in model.networks:
        for parameter in member.denoiser.parameters():
            torch.nn.init.zeros_(parameter)
        assert member.config.diffusion.objective == "v"
    drawn = generated_attributes(model, torch.randn(1, 10), model.config.inference, seeds(0))
    means = torch.stack([member.preconditioner.mean for member in model.networks]).mean(0)
    torch.testing.assert_close(drawn.mean[0], means, atol=2.0, rtol=0)
    assert (drawn.spread > 0.1).all()


@pytest.mark.parametrize(
    ("diffusion", "chain"),
    [
        ({"objective": "eps"}, {"sampler": "ddpm", "clip": 10.0}),  # DDIM amplifies the error of this head
        ({"objective": "both"}, {"sampler": "ddim", "steps": 20, "head": "x0"}),  # with a photo, L_rec trains it
    ],
)
def test_attributes_come_from_a_head_and_a_sampler_that_fit_each_other(diffusion: dict, chain: dict):
    drawing = {"rule": "evidence", "samples": 3, "head": "eps", "eta": 1.0}
    config = Config.from_dict({**CONFIG, "diffusion": {"timesteps": 30, **diffusion}, "inference": drawing})
    built = build_model(config, feature_dim=10, n_attributes=5, n_classes=8).eval()
    for member in built.networks:
        member.fit_preprocessing(torch.randn(40, 10), torch.arange(40) % 8, 50 + 20 * torch.randn(8, 5))
    x = torch.randn(2, 10)

    drawn = generated_attributes(built, x, config.inference, seeds(5, 6))

    settings, noise = InferenceConfig(rule="cosine", samples=3, **chain), seeds(5, 6)
    samples = [
        member.preconditioner.inverse(sample_semantics(member, member.encode(x), settings, noise))
        for member in built.networks
    ]
    torch.testing.assert_close(drawn.mean, torch.cat(samples, dim=1).mean(1))


def test_reliability_is_one_for_attributes_generated_as_described_and_minus_one_for_the_opposite():
    prototypes = torch.randn(6, 3)
    labels = torch.arange(6).repeat_interleave(torch.tensor([1, 5, 2, 3, 9, 4]))
    drawn = prototypes[labels] * torch.tensor([2.0, -0.5, 0.0]) + 7
    found = attribute_reliability(drawn, labels, prototypes)
    torch.testing.assert_close(found[:2], torch.tensor([1.0, -1.0], dtype=torch.double))
    assert found[2].isnan()  # it never varies


def test_reliability_counts_classes_equally_regardless_of_their_number_of_photos():
    prototypes, labels = torch.randn(5, 4), torch.arange(5).repeat(3)
    drawn = torch.randn(15, 4)
    more = torch.cat([labels, torch.full((30,), 2)])
    repeated = torch.cat([drawn, drawn[labels == 2].repeat(10, 1)])
    torch.testing.assert_close(
        attribute_reliability(drawn, labels, prototypes), attribute_reliability(repeated, more, prototypes)
    )


def test_reliability_is_the_correlation_over_classes():
    prototypes, labels = torch.randn(7, 2), torch.arange(7)
    drawn = torch.randn(7, 2)
    by_torch = [torch.corrcoef(torch.stack([drawn[:, a], prototypes[:, a]]))[0, 1] for a in range(2)]
    torch.testing.assert_close(attribute_reliability(drawn, labels, prototypes).float(), torch.stack(by_torch))
