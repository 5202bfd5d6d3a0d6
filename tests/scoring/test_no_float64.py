"""A device without float64: closed forms run on the CPU in double precision, everything else on the device."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Generator, Tensor

from revcd_cli.config import Config, InferenceConfig
from revcd_cli.core import precision
from revcd_cli.core.loss import training_losses
from revcd_cli.core.precision import in_double
from revcd_cli.core.sample import sample_semantics
from revcd_cli.scoring.model import ZeroShotModel, build_model
from tests.makers.no_float64 import DEVICE, DeviceTensor, NoFloat64, on_device

PHOTOS, FEATURES, ATTRIBUTES, CLASSES = 30, 12, 6, 5
LABELS = torch.arange(PHOTOS) % CLASSES


def model(**sections: dict[str, object]) -> ZeroShotModel:
    small = {
        "precondition": {"kind": "standardise+whiten"},
        "diffusion": {"timesteps": 20},
        "encoder": {"width": 16, "heads": 2, "feedforward": 16},
        "denoiser": {"width": 16, "time_width": 8},
        "prototypes": {"components": 4, "relevance": 0.5},
    }
    torch.manual_seed(0)
    return build_model(Config.from_dict(small | sections), FEATURES, ATTRIBUTES, CLASSES).eval()


def data() -> tuple[Tensor, Tensor, Tensor]:
    generator = Generator().manual_seed(1)
    features, prototypes = torch.rand(PHOTOS, FEATURES, generator=generator), torch.rand(CLASSES, ATTRIBUTES)
    return features, LABELS, prototypes


def fit(one: ZeroShotModel, features: Tensor, labels: Tensor, prototypes: Tensor) -> None:
    for network in one.networks:
        network.fit_preprocessing(features, labels, prototypes)
    one.prototypes.fit(features, labels, prototypes)
    one.fit_units(features, prototypes, one.config.inference, ["prototype"])


def fitted_on_the_device(**sections: dict[str, object]) -> ZeroShotModel:
    one = on_device(model(**sections))
    with NoFloat64():
        fit(one, *map(DeviceTensor, data()))
    return one


@pytest.fixture(autouse=True)
def device_without_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(precision, "WITHOUT_FLOAT64", {DEVICE})


def test_double_precision_is_used_if_the_device_supports_it():
    x = torch.rand(3)
    assert in_double(x).dtype == in_double(DeviceTensor(x)).dtype == torch.float64
    assert not isinstance(in_double(DeviceTensor(x)), DeviceTensor)
    assert torch.equal(in_double(DeviceTensor(x)), in_double(x))


def test_the_pretended_device_refuses_float64():
    with NoFloat64(), pytest.raises(AssertionError, match="float64"):
        DeviceTensor(torch.rand(3)).double()
    with NoFloat64(), pytest.raises(AssertionError, match="float64"):
        torch.zeros(3, dtype=torch.float64, device=DEVICE)
    with NoFloat64(), pytest.raises(AssertionError, match="two devices"):
        DeviceTensor(torch.rand(3)) + torch.rand(3)


@pytest.mark.parametrize("scaling", ["classes", "standard", "minmax", "l2"])
def test_fitting_on_the_device_equals_fitting_on_the_cpu(scaling: str):
    encoder = {"width": 16, "heads": 2, "feedforward": 16, "feature_scaling": scaling}
    torch.manual_seed(0)
    one = fitted_on_the_device(encoder=encoder)
    torch.manual_seed(0)
    other = model(encoder=encoder)
    fit(other, *data())
    for (name, ours), theirs in zip(one.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(ours.inner, theirs, msg=name)
        assert isinstance(ours, DeviceTensor)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["evidence", "prototype", "joint", "cosine"])
def test_every_rule_scores_on_the_device(rule: str):
    one = fitted_on_the_device()
    features, _, prototypes = data()
    config = InferenceConfig(rule=rule, draws=2, samples=2, steps=4, eta=0.5, shortlist=2)
    with torch.inference_mode(), NoFloat64():
        scores = on_device(one).score(
            DeviceTensor(features), DeviceTensor(prototypes), config, [Generator().manual_seed(0)] * PHOTOS
        )
    assert scores.inner.shape == (PHOTOS, CLASSES) and scores.inner.isfinite().all()


@pytest.mark.parametrize("sampler", [{"sampler": "ddpm"}, {"sampler": "ddpm", "variance": "beta"}, {"steps": 5}])
def test_every_sampler_runs_on_the_device(sampler: dict):
    network = fitted_on_the_device().networks[0]
    config = dataclasses.replace(InferenceConfig(), samples=2, guidance_scale=1.5, clip=4.0, **sampler)
    with torch.inference_mode(), NoFloat64():
        condition = on_device(network).encode(DeviceTensor(data()[0][:2]))
        samples = sample_semantics(network, condition, config, [Generator().manual_seed(k) for k in range(2)])
    assert samples.inner.shape == (2, 2, ATTRIBUTES)


@pytest.mark.parametrize("objective", ["v", "x0", "eps", "both"])
@pytest.mark.parametrize("weighting", ["simple", "exact"])
def test_the_losses_are_computed_on_the_device(objective: str, weighting: str):
    one = fitted_on_the_device(
        diffusion={"timesteps": 20, "objective": objective},
        loss={"weighting": weighting, "cls_weight": 0.1},
        inference={"rule": "evidence"},
    )
    network = one.networks[0]
    features, labels, prototypes = map(DeviceTensor, data())
    with NoFloat64(), torch.no_grad():
        z = network.precondition(prototypes)
        losses = training_losses(network, network.scaler(features), z[labels], labels, z)
    assert losses.total.inner.isfinite()
