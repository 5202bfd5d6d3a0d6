"""The variational bound (Eq. 3-7) against divergences of torch and against an exact likelihood."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from revcd_cli.core.bound import denoising_kl, equal_variance_kl, variational_bound
from revcd_cli.core.objective import Estimate
from revcd_cli.core.schedule import NoiseSchedule


def test_the_divergence_of_two_gaussians_of_one_variance_is_that_of_torch() -> None:
    mean, other = torch.randn(2, 7, 5).double()
    variance = torch.rand(7, 1).double() + 0.1

    one, two = (Independent(Normal(m, variance.sqrt().expand(7, 5)), 1) for m in (mean, other))

    torch.testing.assert_close(equal_variance_kl(mean, other, variance), kl_divergence(one, two))


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_a_term_of_the_bound_is_the_weighted_error_of_the_clean_vector_and_of_the_noise(name: str) -> None:
    schedule = NoiseSchedule.named(name, 100)
    t = torch.arange(2, 101)
    s_0, guess, eps = torch.randn(3, 99, 4).double()
    s_t, alpha_bar = schedule.q_sample(s_0, t, eps), schedule.alpha_bar(t, s_0)
    guessed_eps = (s_t - alpha_bar.sqrt() * guess) / (1 - alpha_bar).sqrt()

    divergence = denoising_kl(schedule, guess, s_0, s_t, t)

    by_clean = (schedule.exact_rec_weight(t, s_0) * (guess - s_0) ** 2).sum(-1)  # Eq. 10
    by_noise = (schedule.exact_noise_weight(t, s_0) * (guessed_eps - eps) ** 2).sum(-1)  # Eq. 13
    torch.testing.assert_close(divergence, by_clean, rtol=1e-5, atol=0)
    torch.testing.assert_close(divergence, by_noise, rtol=1e-3, atol=0)  # 1 - alpha_bar in float32


def test_the_bound_is_below_the_exact_log_likelihood_and_falls_with_the_error() -> None:
    """With a linear denoiser the model's p(s_0) is a Gaussian, whose mean and variance the chain propagates."""
    schedule, variance = NoiseSchedule.named("linear", 200), 0.5
    s_0 = (math.sqrt(variance) * torch.randn(2000, 1)).double()

    def bound_and_likelihood(factor: float) -> tuple[float, float]:
        def gain(t: Tensor, like: Tensor) -> Tensor:
            alpha_bar = schedule.alpha_bar(t, like)  # s_0_hat = gain s_t; a factor of 1 is optimal
            return factor * alpha_bar.sqrt() * variance / (alpha_bar * variance + 1 - alpha_bar)

        def denoise(s_t: Tensor, t: Tensor) -> Estimate:
            return Estimate(gain(t, s_t) * s_t, s_t)

        one = torch.ones(1, 1).double()
        last, first = torch.tensor([200]), torch.tensor([1])
        spread = one  # the variance of s_t in the model's chain, which starts from N(0, 1)
        for step in range(200, 1, -1):
            t = torch.tensor([step])
            slope = schedule.posterior_mean(gain(t, one) * one, one, t)
            spread = slope**2 * spread + schedule.posterior_variance(t, one)
        # The step to t = 0 gets the variance beta_1.
        spread = gain(first, one) ** 2 * spread + schedule.beta(first, one)
        exact = Normal(0.0, float(spread.sqrt())).log_prob(s_0).mean()
        s_1 = schedule.q_sample(s_0, first, torch.randn_like(s_0))
        at_first = Normal(gain(first, s_1) * s_1, float(schedule.beta(first, one).sqrt())).log_prob(s_0).mean()
        ab = float(schedule.alpha_bar(last, one))
        at_last = kl_divergence(Normal(math.sqrt(ab) * s_0, math.sqrt(1 - ab)), Normal(0.0, 1.0)).mean()
        bound = variational_bound(denoise, schedule, s_0).mean() + at_first - at_last
        return float(bound), float(exact)

    (best, likelihood), (worse, lower) = bound_and_likelihood(1.0), bound_and_likelihood(0.7)

    assert likelihood - 1.2 < best < likelihood  # 200 steps; the gap falls with their number
    assert worse < lower and worse < best - 0.3


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_bound_of_the_optimal_denoiser_is_its_weighted_squared_error(name: str) -> None:
    schedule, variance = NoiseSchedule.named(name, 100), 0.5
    s_0 = (math.sqrt(variance) * torch.randn(4000, 3)).double()

    def optimal(s_t: Tensor, t: Tensor) -> Estimate:
        alpha_bar = schedule.alpha_bar(t, s_t)
        return Estimate(alpha_bar.sqrt() * variance / (alpha_bar * variance + 1 - alpha_bar) * s_t, s_t)

    t = torch.arange(2, 101)
    alpha_bar = schedule.alpha_bar(t, s_0)
    errors = variance * (1 - alpha_bar) / (alpha_bar * variance + 1 - alpha_bar)  # of E[s_0 | s_t], per attribute
    expected = -3 * float((schedule.exact_rec_weight(t, s_0) * errors).sum())

    assert float(variational_bound(optimal, schedule, s_0).mean()) == pytest.approx(expected, rel=0.02)
