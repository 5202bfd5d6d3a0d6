"""A trained RevCD against a posterior in closed form.

Descriptions and features are jointly Gaussian, s = W x + noise, so p(s | x) is N(W x, spread^2 I). The samples have
this mean and covariance only if all of training and sampling is correct.
"""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from revcd_cli.config import Config, InferenceConfig
from revcd_cli.core.loss import training_losses
from revcd_cli.core.model import RevCD
from revcd_cli.core.objective import Estimate
from revcd_cli.core.sample import ddim_sample, sample_semantics

W = torch.tensor([[0.8, 0.0], [0.3, -0.6]])
SPREAD = 0.4
STEPS, BATCH, SAMPLES = 1200, 256, 400


def draw(rows: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(rows, 2)
    return x, x @ W.T + SPREAD * torch.randn(rows, 2)


@pytest.fixture(scope="module")
def trained() -> RevCD:
    config = Config.from_dict(
        {
            "precondition": {"kind": "centre", "unit_length": False},
            "diffusion": {"timesteps": 40},
            "encoder": {"feature_scaling": "standard", "width": 32, "heads": 2, "feedforward": 32, "dropout": 0.0},
            "denoiser": {"width": 64, "time_width": 32, "dropout": 0.0},
        }
    )
    torch.manual_seed(0)
    model = RevCD(config, 2, 2, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    no_class, no_prototypes = torch.full((BATCH,), -1), torch.ones(1, 2)
    for _ in range(STEPS):
        losses = training_losses(model, *draw(BATCH), no_class, no_prototypes)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@pytest.mark.parametrize("sampler", [{"sampler": "ddpm"}, {"sampler": "ddim", "steps": 40, "eta": 1.0}])
@pytest.mark.parametrize("x", [(0.0, 0.0), (1.0, -1.0), (-0.5, 1.2)])
@torch.no_grad()
def test_samples_have_the_mean_and_covariance_of_the_posterior(trained: RevCD, x: tuple, sampler: dict):
    photo = torch.tensor([x])
    config = InferenceConfig(rule="cosine", samples=SAMPLES, **sampler)
    (samples,) = sample_semantics(trained, trained.encode(photo), config, [Generator().manual_seed(0)])
    # The mean's standard error is 0.02; the rest of the bound is the network's own error.
    assert samples.mean(0).tolist() == pytest.approx((photo @ W.T)[0].tolist(), abs=0.12)
    assert samples.std(0).tolist() == pytest.approx([SPREAD, SPREAD], rel=0.25)
    assert abs(float(torch.corrcoef(samples.T)[0, 1])) < 0.25


@torch.no_grad()
def test_without_a_photo_samples_have_the_marginal_mean_and_covariance(trained: RevCD):
    config = InferenceConfig(rule="cosine", samples=SAMPLES, sampler="ddpm")
    (samples,) = sample_semantics(trained, trained.null[None], config, [Generator().manual_seed(0)])
    marginal = W @ W.T + SPREAD**2 * torch.eye(2)
    assert samples.mean(0).tolist() == pytest.approx([0, 0], abs=0.15)
    torch.testing.assert_close(samples.T.cov(), marginal, atol=0.15, rtol=0.25)


@torch.no_grad()
def test_encoding_the_photo_once_or_at_every_step_gives_the_same_samples(trained: RevCD):
    photo = torch.tensor([[0.7, -0.2]])
    config = InferenceConfig(rule="cosine", samples=5, sampler="ddim", steps=8)
    once = sample_semantics(trained, trained.encode(photo), config, [Generator().manual_seed(3)])
    noise = torch.randn(1, 5, 2, generator=Generator().manual_seed(3))

    def encode_again(s_t: Tensor, t: Tensor) -> Estimate:
        return trained.estimate(s_t, t, trained.encode(photo).unsqueeze(1))

    again = ddim_sample(encode_again, trained.schedule, lambda: noise, steps=8)

    torch.testing.assert_close(once, again)
