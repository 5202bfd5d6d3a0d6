"""Settings of sampling and preprocessing that differ from their defaults."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from revcd_cli.config import Config, InferenceConfig
from revcd_cli.core.model import RevCD
from revcd_cli.core.objective import Estimate
from revcd_cli.core.sample import ddpm_sample
from revcd_cli.core.schedule import NoiseSchedule
from revcd_cli.scoring.model import ZeroShotModel

PHOTOS, CLASSES, ATTRIBUTES, FEATURES, TIMESTEPS = 3, 5, 6, 8, 10


def revcd(**sections: Any) -> tuple[RevCD, Tensor, Tensor]:
    """Return a small model whose preconditioning is fitted, photos' features (B, D) and prototypes (C, A)."""
    sizes = {"encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16}, "denoiser": {"width": 16}}
    config = Config.from_dict({"diffusion": {"timesteps": TIMESTEPS}, **sizes, **sections})
    torch.manual_seed(0)
    model = RevCD(config, FEATURES, ATTRIBUTES, CLASSES)
    x, prototypes = torch.randn(PHOTOS, FEATURES), 3 * torch.rand(CLASSES, ATTRIBUTES) + 1
    model.fit_preprocessing(x, torch.arange(PHOTOS), prototypes)
    return model.eval(), x, prototypes


def generators() -> list[Generator]:
    return [Generator().manual_seed(seed) for seed in range(PHOTOS)]


def test_clipping_limits_the_clean_vector_and_keeps_the_noisy_one():
    s_t, alpha_bar = torch.randn(7, ATTRIBUTES), torch.rand(7, 1) * 0.9 + 0.05
    clipped = Estimate(5 * torch.randn(7, ATTRIBUTES), torch.zeros(7, ATTRIBUTES)).clipped(0.5, s_t, alpha_bar)
    assert float(clipped.s_0.abs().max()) <= 0.5
    torch.testing.assert_close(alpha_bar.sqrt() * clipped.s_0 + (1 - alpha_bar).sqrt() * clipped.eps, s_t)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_clipping_limit_that_is_not_reached_changes_nothing(sampler: str):
    network, x, prototypes = revcd()
    model = ZeroShotModel(network.config, [network])
    free = InferenceConfig(rule="cosine", sampler=sampler, steps=TIMESTEPS, samples=1)
    bounded = InferenceConfig(rule="cosine", sampler=sampler, steps=TIMESTEPS, samples=1, clip=1e6)
    one, other = (model.score(x, prototypes, config, generators()) for config in (free, bounded))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_ddpm_adds_noise_of_the_configured_variance(variance: str):
    schedule = NoiseSchedule.named("linear", 3)
    kept = 1 - schedule.alphas_cumprod  # 1 - alpha_bar
    factor = {"posterior": lambda t: kept[t - 1] / kept[t], "beta": lambda t: 1.0}[variance]
    expected = [schedule.betas[t] * factor(t) for t in (3, 2)]
    means = []

    def denoise(s_t: Tensor, t: Tensor) -> Estimate:
        clean = torch.full_like(s_t, 0.3)
        means.append((s_t, schedule.posterior_mean(clean, s_t, t)))
        return Estimate(clean, s_t)

    ddpm_sample(denoise, schedule, lambda: torch.ones(1, 1, dtype=torch.float64), variance=variance)
    added = [float(after[0] - before[1]) for before, after in zip(means, means[1:], strict=False)]  # noqa: RUF007
    assert added == pytest.approx([float(value.sqrt()) for value in expected])


def test_with_a_single_token_the_condition_does_not_depend_on_queries_and_keys():
    model, x, _ = revcd(encoder={"tokens": "single", "width": 16, "heads": 2, "feedforward": 16})
    before = model.encode(x)
    attention = model.encoder.transformer.layers[0].self_attn
    with torch.no_grad():
        attention.in_proj_weight[:32] *= 50  # queries and keys; a softmax over one token ignores them
    torch.testing.assert_close(model.encode(x), before)


def test_an_attribute_that_is_constant_over_seen_classes_does_not_dominate():
    prototypes = torch.rand(6, ATTRIBUTES, generator=torch.Generator().manual_seed(3))
    prototypes[:, 2] = 1.0
    model, *_ = revcd()
    model.preconditioner.fit(prototypes, "standardise", 0.0)
    newcomer = prototypes[:1].clone()
    newcomer[0, 2] = 0.0
    z = model.preconditioner(torch.cat([prototypes[:1], newcomer]))
    assert 1 < abs(float(z[1, 2])) < 10
    torch.testing.assert_close(z[0, [0, 1, 3, 4, 5]], z[1, [0, 1, 3, 4, 5]])


@pytest.mark.parametrize("kind", ["standardise", "whiten", "centre"])
def test_preconditioning_of_one_class_is_finite(kind: str):
    model, *_ = revcd()
    model.preconditioner.fit(torch.ones(1, ATTRIBUTES), kind, 0.3)
    assert torch.isfinite(model.preconditioner(torch.eye(ATTRIBUTES))).all()
