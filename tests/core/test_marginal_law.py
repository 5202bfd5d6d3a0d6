"""Samples without a photo follow the distribution of the descriptions, for all settings that may be combined.

Descriptions are Gaussian, so the optimal denoiser has a closed form. A sampler that uses the trained network without a
photo must give the mean and covariance that it gives with the optimal denoiser for the same noise; test_sample.py
compares those with the distribution itself. Settings that cannot are refused (tests/test_combinations.py).
"""

from __future__ import annotations

import functools
import itertools

import pytest
import torch
from torch import Generator, Tensor

from revcd_cli.config import Config, InferenceConfig
from revcd_cli.core.loss import training_losses
from revcd_cli.core.model import RevCD
from revcd_cli.core.objective import Estimate
from revcd_cli.core.sample import ddim_sample, ddpm_sample, sample_semantics
from revcd_cli.core.schedule import NoiseSchedule
from revcd_cli.core.trainer import Trainer, TrainingRows
from revcd_cli.errors import ConfigError

MEAN = torch.tensor([0.5, -0.3])
MAP, SPREAD = torch.tensor([[0.8, 0.0], [0.3, -0.6]]), 0.4
COVARIANCE = MAP @ MAP.T + SPREAD**2 * torch.eye(2)
TIMESTEPS, STEPS, BATCH, SAMPLES = 100, 600, 256, 1500

TRAININGS = [
    (objective, *drop)
    for objective in ("v", "x0", "eps", "both")
    for drop in (("masked", "all"), ("masked", "photo"), ("two-pass", "photo"))
]
QUICK = {("both", "two-pass", "photo")}  # the paper's; the others are slow, and test_gaussian_toy.py has the defaults
SAMPLERS = {
    "ddpm": {"sampler": "ddpm"},
    "ddpm, beta": {"sampler": "ddpm", "variance": "beta"},
    "ddim": {"sampler": "ddim", "steps": TIMESTEPS},
    "ddim, eta 1": {"sampler": "ddim", "steps": TIMESTEPS, "eta": 1.0},
    "one step": {"sampler": "ddim", "steps": 1},
}


def settings(objective: str, drop: str, rec_rows: str, **inference: object) -> Config:
    """Return settings that use the network without a photo: guidance with a scale of 0 is the estimate without it."""
    return Config.from_dict(
        {
            "precondition": {"kind": "centre", "unit_length": False},
            "diffusion": {"timesteps": TIMESTEPS, "schedule": "linear", "objective": objective},
            "loss": {"drop": drop, "rec_rows": rec_rows, "drop_condition": 0.3, "consistency_weight": 0.0},
            "encoder": {"feature_scaling": "standard", "width": 16, "heads": 2, "feedforward": 16, "dropout": 0.0},
            "denoiser": {"width": 48, "time_width": 16, "dropout": 0.0},
            "inference": {"rule": "cosine", "guidance_scale": 0.0, "samples": SAMPLES} | inference,
        }
    )


def allowed(objective: str, drop: str, rec_rows: str, **inference: object) -> bool:
    try:
        settings(objective, drop, rec_rows, **inference)
    except ConfigError:
        return False
    return True


CASES = [
    pytest.param(training, head, sampler, marks=[] if training in QUICK else [pytest.mark.slow], id="-".join(names))
    for training, sampler in itertools.product(TRAININGS, SAMPLERS)
    for head in (("x0", "eps", "mixed") if training[0] == "both" else ("x0",))
    if allowed(*training, head=head, **SAMPLERS[sampler])
    for names in [(*training, head, sampler)]
]


@functools.cache
def trained(objective: str, drop: str, rec_rows: str) -> RevCD:
    torch.manual_seed(0)
    model = RevCD(settings(objective, drop, rec_rows, rule="prototype"), 2, 2, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    no_class, no_prototypes = torch.full((BATCH,), -1), torch.ones(1, 2)
    for _ in range(STEPS):
        x = torch.randn(BATCH, 2)
        s_0 = MEAN + x @ MAP.T + SPREAD * torch.randn(BATCH, 2)
        losses = training_losses(model, x, s_0, no_class, no_prototypes)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        decay.step()
    return model.eval()


def optimal_samples(schedule: NoiseSchedule, config: InferenceConfig) -> Tensor:
    """Return the samples of the optimal denoiser E[s_0 | s_t] for the same noise: (K, 2)."""

    def denoise(s_t: Tensor, t: Tensor) -> Estimate:
        alpha_bar = schedule.alpha_bar(t, s_t)
        total = alpha_bar * COVARIANCE + (1 - alpha_bar) * torch.eye(2)
        s_0 = MEAN + (s_t - alpha_bar.sqrt() * MEAN) @ (alpha_bar.sqrt() * torch.linalg.solve(total, COVARIANCE))
        return Estimate(s_0, (s_t - alpha_bar.sqrt() * s_0) / (1 - alpha_bar).sqrt())

    generator = Generator().manual_seed(0)
    noise = functools.partial(torch.randn, SAMPLES, 2, generator=generator)
    if config.sampler == "ddpm":
        return ddpm_sample(denoise, schedule, noise, variance=config.variance)
    return ddim_sample(denoise, schedule, noise, steps=config.steps, eta=config.eta)


@pytest.mark.parametrize(("training", "head", "sampler"), CASES)
def test_samples_without_a_photo_have_the_mean_and_covariance_of_the_descriptions(
    training: tuple[str, str, str], head: str, sampler: str
) -> None:
    model, config = trained(*training), settings(*training, head=head, **SAMPLERS[sampler]).inference
    photo = model.encode(torch.tensor([[2.0, -2.0]]))  # must have no effect

    (samples,) = sample_semantics(model, photo, config, [Generator().manual_seed(0)])

    expected = optimal_samples(model.schedule, config)
    # One step gives the mean alone. The bounds are the error of a small network.
    torch.testing.assert_close(samples.mean(0), expected.mean(0), rtol=0, atol=0.15)
    torch.testing.assert_close(samples.T.cov(), expected.T.cov(), rtol=0.1, atol=0.12)


def test_every_objective_may_be_combined_with_a_sampler_after_every_dropout() -> None:
    assert {case.values[0] for case in CASES} == set(TRAININGS)


def test_the_estimate_without_a_photo_at_the_last_time_is_the_mean_of_the_seen_descriptions() -> None:
    torch.manual_seed(0)
    config = Config.from_dict(
        {
            "encoder": {"width": 16, "heads": 2, "feedforward": 16, "dropout": 0.0},
            "denoiser": {"width": 32, "time_width": 16, "dropout": 0.0},
            "diffusion": {"timesteps": TIMESTEPS},
            "loss": {"drop_condition": 0.3},
            "train": {"epochs": 100, "batch_size": 64, "learning_rate": 3e-3, "ema_decay": 0.98},
            "precondition": {"kind": "centre"},
            "simulation": {"share": 0.0},
        }
    )
    prototypes = torch.randn(5, 6) + torch.tensor([2.0, 0, 0, 0, 0, 0])
    labels = torch.arange(400) % 5
    features = torch.rand(5, 8)[labels] + 0.05 * torch.rand(400, 8)
    model = RevCD(config, 8, 6, 5)
    trainer = Trainer(model, TrainingRows(features, labels, prototypes))
    for epoch in range(100):
        trainer.run_epoch(epoch, seed=epoch)
    last, s_t = torch.full((64,), TIMESTEPS), torch.randn(64, 6)

    with torch.no_grad():
        without = trainer.ema.estimate(s_t, last, trainer.ema.null).s_0
        with_photo = trainer.ema.estimate(s_t, last, trainer.ema.encode(features[:1])).s_0

    assert float((without - trainer.z.mean(0)).square().mean()) < 0.1  # theirs is 1
    assert float((with_photo - trainer.z[0]).square().mean()) < 0.3 * float(trainer.z[0].square().mean())
