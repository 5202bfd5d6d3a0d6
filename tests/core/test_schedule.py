"""The forward process against the closed forms of the paper's Eq. 1-13."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from revcd_cli.core.schedule import MAX_BETA, NoiseSchedule, cosine_betas, linear_betas

SCHEDULES = [(name, timesteps) for name in ("linear", "cosine") for timesteps in (50, 100, 200, 500, 1000)]
every_schedule = pytest.mark.parametrize(("name", "timesteps"), SCHEDULES)


def vectors(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def exact(name: str, timesteps: int) -> tuple[Tensor, Tensor]:
    """Return beta_t and alpha_bar_t for t = 0..T in float64: (T+1, 1) each."""
    betas = {"linear": linear_betas, "cosine": cosine_betas}[name](timesteps)
    betas = torch.cat([torch.zeros(1, dtype=torch.float64), betas])[:, None]
    return betas, (1 - betas).cumprod(0)


def times_from(first: int, schedule: NoiseSchedule) -> Tensor:
    return torch.arange(first, schedule.timesteps + 1)


@pytest.mark.parametrize(("name", "timesteps"), [*SCHEDULES, ("linear", 2), ("cosine", 2), ("linear", 10)])
def test_alpha_bar_falls_strictly_from_one_and_stays_positive(name: str, timesteps: int) -> None:
    alpha_bar = NoiseSchedule.named(name, timesteps).alphas_cumprod

    assert alpha_bar.shape == (timesteps + 1,)
    assert alpha_bar[0] == 1
    assert (alpha_bar.diff() < 0).all()
    assert alpha_bar[-1] > 0


@every_schedule
def test_almost_no_signal_remains_at_the_last_time(name: str, timesteps: int) -> None:
    assert NoiseSchedule.named(name, timesteps).alphas_cumprod[-1].sqrt() < 0.01


@every_schedule
def test_alpha_bar_is_the_product_of_one_minus_beta(name: str, timesteps: int) -> None:
    schedule = NoiseSchedule.named(name, timesteps)

    product = 1.0
    for t in range(1, timesteps + 1):
        product *= 1 - float(exact(name, timesteps)[0][t])
        assert float(schedule.alphas_cumprod[t]) == pytest.approx(product, rel=1e-6)


@pytest.mark.parametrize("timesteps", [50, 100, 500, 1000])
def test_linear_betas_rise_evenly_between_ends_scaled_by_1000_over_T(timesteps: int) -> None:
    betas = linear_betas(timesteps)

    assert float(betas[0]) == pytest.approx(1e-4 * 1000 / timesteps)
    assert float(betas[-1]) == pytest.approx(0.02 * 1000 / timesteps)
    torch.testing.assert_close(betas.diff(), betas.diff().mean().expand(timesteps - 1))


def test_linear_schedule_of_1000_steps_is_that_of_ddpm() -> None:
    betas = linear_betas(1000)

    assert (float(betas[0]), float(betas[-1])) == pytest.approx((1e-4, 0.02))
    assert NoiseSchedule(betas).alphas_cumprod[-1].sqrt() == pytest.approx(0.006, abs=5e-4)  # Ho et al. 2020


@pytest.mark.parametrize("timesteps", [50, 500, 1000])
def test_cosine_alpha_bar_has_its_closed_form_up_to_the_bound_on_beta(timesteps: int) -> None:
    schedule = NoiseSchedule.named("cosine", timesteps)

    def f(t: int) -> float:
        return math.cos((t / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2

    for t in range(timesteps):
        assert float(schedule.alphas_cumprod[t]) == pytest.approx(f(t) / f(0), rel=1e-6)
    # f(T) = 0: the last beta is the bound's, not the formula's.
    assert float(schedule.betas[-1]) == pytest.approx(MAX_BETA)
    assert float(schedule.alphas_cumprod[-1]) == pytest.approx((1 - MAX_BETA) * f(timesteps - 1) / f(0), rel=1e-6)


@pytest.mark.parametrize("betas", [linear_betas(2), cosine_betas(2), linear_betas(10), cosine_betas(10)])
def test_betas_are_probabilities_even_for_very_few_steps(betas: Tensor) -> None:
    assert ((betas > 0) & (betas <= MAX_BETA)).all()


@every_schedule
def test_snr_is_signal_power_over_noise_power(name: str, timesteps: int) -> None:
    schedule = NoiseSchedule.named(name, timesteps)
    t = times_from(1, schedule)
    alpha_bar = exact(name, timesteps)[1][1:]

    torch.testing.assert_close(schedule.snr(t, vectors(1)), alpha_bar / (1 - alpha_bar), rtol=1e-6, atol=0)


def test_coefficients_have_the_shape_of_the_times_and_one_trailing_axis() -> None:
    schedule = NoiseSchedule.named("cosine", 50)
    t = torch.tensor([[1, 2, 3], [4, 5, 6]])

    assert schedule.alpha_bar(t, vectors(1)).shape == (2, 3, 1)
    assert schedule.snr(t, vectors(1)).shape == (2, 3, 1)
    assert schedule.posterior_variance(t, vectors(1)).shape == (2, 3, 1)


def test_coefficients_have_the_dtype_of_the_data() -> None:
    schedule = NoiseSchedule.named("cosine", 50)

    assert schedule.q_sample(torch.zeros(1, 3), torch.tensor([7]), torch.zeros(1, 3)).dtype == torch.float32
    assert schedule.q_sample(vectors(1), torch.tensor([7]), vectors(1)).dtype == torch.float64


@every_schedule
def test_q_sample_is_the_step_by_step_chain_in_one_step(name: str, timesteps: int) -> None:
    schedule = NoiseSchedule.named(name, timesteps)
    s_0 = vectors(1)[0]

    # s_t = sqrt(1 - beta) s_{t-1} + sqrt(beta) eps: the mean and variance of a chain, propagated one step at a time.
    mean, variance = s_0, 0.0
    for t in range(1, timesteps + 1):
        beta = float(exact(name, timesteps)[0][t])
        mean, variance = math.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        at_t = torch.tensor(t)
        torch.testing.assert_close(schedule.q_sample(s_0, at_t, torch.zeros_like(s_0)), mean, rtol=1e-6, atol=1e-9)
        unit_noise = schedule.q_sample(torch.zeros_like(s_0), at_t, torch.ones_like(s_0))
        torch.testing.assert_close(unit_noise.square(), torch.full_like(s_0, variance), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("t", [1, 20, 50])
def test_q_sample_of_unit_variance_data_has_unit_variance(t: int) -> None:
    schedule, rows = NoiseSchedule.named("cosine", 50), 50_000

    noised = schedule.q_sample(vectors(rows, 1), torch.tensor(t), vectors(rows, 2))

    assert noised.mean(0).abs().max() < 5 / math.sqrt(rows)
    assert (noised.square().mean(0) - 1).abs().max() < 5 * math.sqrt(2 / rows)


def test_there_is_no_noise_at_time_zero() -> None:
    s_0 = vectors(3)

    assert torch.equal(NoiseSchedule.named("linear", 50).q_sample(s_0, torch.zeros(3).long(), vectors(3, 1)), s_0)


@every_schedule
def test_posterior_mean_is_both_forms_of_the_paper(name: str, timesteps: int) -> None:
    schedule = NoiseSchedule.named(name, timesteps)
    t = times_from(2, schedule)
    s_0, eps = vectors(len(t), 1), vectors(len(t), 2)
    betas, alpha_bars = exact(name, timesteps)
    beta, now, before = betas[t], alpha_bars[t], alpha_bars[t - 1]
    s_t = now.sqrt() * s_0 + (1 - now).sqrt() * eps

    from_clean = ((1 - beta).sqrt() * (1 - before) * s_t + before.sqrt() * beta * s_0) / (1 - now)  # Eq. 8
    from_noise = (s_t - beta / (1 - now).sqrt() * eps) / (1 - beta).sqrt()  # Eq. 12
    torch.testing.assert_close(from_clean, from_noise)
    torch.testing.assert_close(schedule.posterior_mean(s_0, s_t, t), from_clean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(schedule.posterior_mean_from_noise(eps, s_t, t), from_noise, rtol=1e-5, atol=1e-5)


@every_schedule
def test_posterior_is_bayes_rule_on_its_two_gaussians(name: str, timesteps: int) -> None:
    schedule = NoiseSchedule.named(name, timesteps)
    t = times_from(2, schedule)
    s_0, s_t = vectors(len(t), 1), vectors(len(t), 2)
    betas, alpha_bars = exact(name, timesteps)
    beta, before = betas[t], alpha_bars[t - 1]

    # prior s_{t-1} ~ N(sqrt(before) s_0, 1 - before); likelihood s_t ~ N(sqrt(1 - beta) s_{t-1}, beta); precisions add.
    precision = 1 / (1 - before) + (1 - beta) / beta
    mean = (before.sqrt() * s_0 / (1 - before) + (1 - beta).sqrt() * s_t / beta) / precision

    torch.testing.assert_close(schedule.posterior_mean(s_0, s_t, t), mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(schedule.posterior_variance(t, s_t), 1 / precision, rtol=1e-6, atol=0)


def test_the_posterior_at_the_first_time_is_the_clean_vector_with_zero_variance() -> None:
    schedule, first = NoiseSchedule.named("linear", 50), torch.tensor(1)
    s_0, s_t = vectors(3, 1), vectors(3, 2)

    torch.testing.assert_close(schedule.posterior_mean(s_0, s_t, first), s_0)
    assert schedule.posterior_variance(first, s_t) == 0


@every_schedule
def test_exact_weights_are_the_paper_s_closed_forms(name: str, timesteps: int) -> None:
    schedule = NoiseSchedule.named(name, timesteps)
    t, like = times_from(2, schedule), vectors(1)
    betas, alpha_bars = (values[:, 0].tolist() for values in exact(name, timesteps))

    for step, rec, noise in zip(
        t.tolist(), schedule.exact_rec_weight(t, like), schedule.exact_noise_weight(t, like), strict=True
    ):
        beta, now, before = betas[step], alpha_bars[step], alpha_bars[step - 1]
        variance = beta * (1 - before) / (1 - now)
        assert float(rec) == pytest.approx(before * beta**2 / (2 * variance * (1 - now) ** 2), rel=1e-6)  # Eq. 10
        assert float(noise) == pytest.approx(beta**2 / (2 * variance * (1 - now) * (1 - beta)), rel=1e-6)  # Eq. 13


@every_schedule
def test_exact_weights_give_equal_losses_for_an_error_of_clean_vector_or_noise(name: str, timesteps: int) -> None:
    schedule = NoiseSchedule.named(name, timesteps)
    t = times_from(2, schedule)
    s_0, guess, s_t = vectors(len(t), 1), vectors(len(t), 2), vectors(len(t), 3)
    now = exact(name, timesteps)[1][t]
    eps, guessed_eps = ((s_t - now.sqrt() * clean) / (1 - now).sqrt() for clean in (s_0, guess))

    rec = schedule.exact_rec_weight(t, s_0) * (guess - s_0).square().sum(-1, keepdim=True)
    noise = schedule.exact_noise_weight(t, s_0) * (guessed_eps - eps).square().sum(-1, keepdim=True)
    # Both are the KL divergence of two Gaussians of the posterior's variance (Eq. 6).
    gap = schedule.posterior_mean(guess, s_t, t) - schedule.posterior_mean(s_0, s_t, t)
    divergence = gap.square().sum(-1, keepdim=True) / (2 * schedule.posterior_variance(t, s_t))

    torch.testing.assert_close(rec, noise, rtol=1e-5, atol=0)
    torch.testing.assert_close(rec, divergence, rtol=1e-5, atol=0)


def test_every_table_is_kept_in_float32_on_the_device_of_the_model_and_not_saved() -> None:
    schedule = NoiseSchedule.named("cosine", 50)

    assert {table.dtype for table in schedule.buffers()} == {torch.float32}
    assert schedule.state_dict() == {}
    assert {table.device.type for table in schedule.to("meta").buffers()} == {"meta"}


@every_schedule
def test_tables_are_rounded_once_from_float64(name: str, timesteps: int) -> None:
    schedule = NoiseSchedule.named(name, timesteps)
    betas, alpha_bars = exact(name, timesteps)

    # In float32, 1 - alpha_bar loses up to four digits at small t; rounding the float64 value loses none.
    assert torch.equal(schedule.alphas_cumprod, alpha_bars[:, 0].float())
    assert torch.equal(schedule.betas, betas[:, 0].float())
    t = times_from(1, schedule)
    snr = (alpha_bars[1:] / (1 - alpha_bars[1:])).float()
    assert torch.equal(schedule.snr(t, torch.zeros(1)), snr)
