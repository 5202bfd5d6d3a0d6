"""The samplers with denoisers whose results are known in closed form.

A sampler with a linear denoiser is an affine map of its noises. So the mean and covariance of its samples follow
exactly from its outputs for zero noise and for each unit noise, without random draws.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from revcd_cli.core.objective import OBJECTIVES, Estimate, to_estimate
from revcd_cli.core.sample import ddim_sample, ddpm_sample, reverse_step, timestep_path
from revcd_cli.core.schedule import NoiseSchedule

MEAN = torch.tensor([0.5, -1.0, 0.2], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.4, 0.0], [0.4, 0.6, -0.2], [0.0, -0.2, 0.3]], dtype=torch.float64)


def seeded_noise(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=dtype)


def perfect(objective: str, clean: Tensor, schedule: NoiseSchedule) -> Callable[[Tensor, Tensor], Estimate]:
    """A network that always outputs the true clean vector, converted to its objective."""

    def denoise(s_t: Tensor, t: Tensor) -> Estimate:
        alpha_bar = schedule.alpha_bar(t, s_t)
        eps = (s_t - alpha_bar.sqrt() * clean) / (1 - alpha_bar).sqrt()
        output = {
            "x0": clean.expand_as(s_t),
            "eps": eps,
            "v": alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * clean,
            "both": torch.cat([clean.expand_as(s_t), eps], dim=-1),
        }[objective]
        return to_estimate(objective, output, s_t, alpha_bar)

    return denoise


def optimal(schedule: NoiseSchedule) -> Callable[[Tensor, Tensor], Estimate]:
    """Return E[s_0 | s_t] for s_0 ~ N(MEAN, COVARIANCE), the optimal denoiser for such data."""

    def denoise(s_t: Tensor, t: Tensor) -> Estimate:
        alpha_bar = schedule.alpha_bar(t, s_t)
        total = alpha_bar * COVARIANCE + (1 - alpha_bar) * torch.eye(3, dtype=torch.float64)
        gain = alpha_bar.sqrt() * torch.linalg.solve(total, COVARIANCE)  # the factors are symmetric and commute
        s_0 = MEAN + (s_t - alpha_bar.sqrt() * MEAN) @ gain
        return Estimate(s_0, (s_t - alpha_bar.sqrt() * s_0) / (1 - alpha_bar).sqrt())

    return denoise


def exact_moments(sampler: Callable[[Callable[[], Tensor]], Tensor], draws: int) -> tuple[Tensor, Tensor]:
    """Return the mean and covariance of the samples of an affine sampler that draws noise `draws` times."""
    rows = 1 + 3 * draws  # zero noise, then each unit vector in each draw
    count = 0

    def noise() -> Tensor:
        nonlocal count
        eps = torch.zeros(rows, 3, dtype=torch.float64)
        eps[1 + 3 * count : 4 + 3 * count] = torch.eye(3, dtype=torch.float64)
        count += 1
        return eps

    out = sampler(noise)
    assert count == draws
    responses = out[1:] - out[0]
    return out[0], responses.T @ responses


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_ddpm_with_a_perfect_denoiser_returns_the_clean_vector(objective: str, name: str) -> None:
    schedule, clean = NoiseSchedule.named(name, 50), seeded_noise((4, 6), seed=1)()

    out = ddpm_sample(perfect(objective, clean, schedule), schedule, seeded_noise((4, 6)))

    torch.testing.assert_close(out, clean)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_with_a_perfect_denoiser_returns_the_clean_vector(objective: str, steps: int, eta: float) -> None:
    schedule, clean = NoiseSchedule.named("cosine", 50), seeded_noise((4, 6), seed=1)()

    out = ddim_sample(perfect(objective, clean, schedule), schedule, seeded_noise((4, 6)), steps=steps, eta=eta)

    torch.testing.assert_close(out, clean)


@pytest.mark.parametrize("steps", [1, 5, 50])
def test_ddim_with_a_perfect_denoiser_stays_on_the_straight_path_of_its_first_noise(steps: int) -> None:
    schedule, clean = NoiseSchedule.named("linear", 50), seeded_noise((4, 6), seed=1)()
    first = seeded_noise((4, 6))()
    inner, seen = perfect("x0", clean, schedule), []

    def recording(s_t: Tensor, t: Tensor) -> Estimate:
        seen.append((int(t), s_t))
        return inner(s_t, t)

    ddim_sample(recording, schedule, lambda: first, steps=steps)

    at_end = schedule.alphas_cumprod[50]
    eps = (first - at_end.sqrt() * clean) / (1 - at_end).sqrt()
    assert [t for t, _ in seen] == timestep_path(50, steps)[:-1]
    for t, s_t in seen:
        torch.testing.assert_close(s_t, schedule.q_sample(clean, torch.tensor(t), eps))


def test_one_ddim_step_is_the_estimate_at_the_last_time() -> None:
    schedule, first = NoiseSchedule.named("cosine", 50), seeded_noise((4, 3))()

    out = ddim_sample(optimal(schedule), schedule, lambda: first, steps=1)

    torch.testing.assert_close(out, optimal(schedule)(first, torch.tensor(50)).s_0)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_ddim_with_eta_1_equals_ddpm_for_equal_noises(name: str) -> None:
    schedule = NoiseSchedule.named(name, 60)

    ddim = ddim_sample(optimal(schedule), schedule, seeded_noise((5, 3)), steps=60, eta=1.0)
    ddpm = ddpm_sample(optimal(schedule), schedule, seeded_noise((5, 3)))

    torch.testing.assert_close(ddim, ddpm, rtol=1e-5, atol=1e-5)  # tables are in float32


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_ddpm_samples_of_a_gaussian_have_its_mean_and_covariance(name: str, variance: str) -> None:
    schedule = NoiseSchedule.named(name, 200)

    mean, covariance = exact_moments(
        lambda noise: ddpm_sample(optimal(schedule), schedule, noise, variance=variance), draws=200
    )

    torch.testing.assert_close(mean, MEAN, rtol=0, atol=0.02)
    torch.testing.assert_close(covariance, COVARIANCE, rtol=0, atol=0.05)


def test_the_posterior_variance_gives_too_small_and_beta_too_large_a_spread() -> None:
    schedule = NoiseSchedule.named("cosine", 50)

    spreads = {
        variance: exact_moments(
            lambda noise, kind=variance: ddpm_sample(optimal(schedule), schedule, noise, variance=kind), draws=50
        )[1].trace()
        for variance in ("posterior", "beta")
    }

    assert spreads["posterior"] < COVARIANCE.trace() < spreads["beta"]  # Ho et al. 2020: bounds of the entropy


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_samples_of_a_gaussian_have_its_mean_and_covariance(name: str, eta: float) -> None:
    schedule = NoiseSchedule.named(name, 200)

    mean, covariance = exact_moments(
        lambda noise: ddim_sample(optimal(schedule), schedule, noise, steps=200, eta=eta), draws=200 if eta else 1
    )

    torch.testing.assert_close(mean, MEAN, rtol=0, atol=0.02)
    torch.testing.assert_close(covariance, COVARIANCE, rtol=0, atol=0.05)


def test_more_ddim_steps_give_a_covariance_closer_to_the_exact_one() -> None:
    schedule = NoiseSchedule.named("cosine", 200)

    def error(steps: int) -> float:
        _, covariance = exact_moments(
            lambda noise: ddim_sample(optimal(schedule), schedule, noise, steps=steps), draws=1
        )
        return float((covariance - COVARIANCE).norm())

    errors = [error(steps) for steps in (1, 5, 20, 200)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("variance", ["posterior", "beta"])
@pytest.mark.parametrize("t", [1, 2, 30, 50])
def test_a_reverse_step_is_the_paper_s_equation_in_the_noise(t: int, variance: str) -> None:
    schedule, at = NoiseSchedule.named("linear", 50), torch.tensor(t)
    s_t, eps, z = (seeded_noise((4, 3), seed=seed)() for seed in range(3))
    alpha_bar = schedule.alpha_bar(at, s_t)

    step = reverse_step(schedule, to_estimate("eps", eps, s_t, alpha_bar), s_t, at, lambda: z, variance)

    beta, before = schedule.beta(at, s_t), schedule.alpha_bar(at - 1, s_t)
    sigma = (beta if variance == "beta" else beta * (1 - before) / (1 - alpha_bar)).sqrt()
    mean = (s_t - beta / (1 - alpha_bar).sqrt() * eps) / (1 - beta).sqrt()  # Eq. 18
    torch.testing.assert_close(step, mean + sigma * z, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(schedule.posterior_mean_from_noise(eps, s_t, at), mean, rtol=1e-4, atol=1e-4)


def test_guidance_of_two_doubles_the_distance_from_the_unconditional_sample() -> None:
    schedule = NoiseSchedule.named("cosine", 100)
    null, seen = torch.zeros(3, dtype=torch.float64), MEAN

    def denoise(s_t: Tensor, t: Tensor) -> Estimate:
        conditional, unconditional = (perfect("x0", clean, schedule)(s_t, t) for clean in (seen, null))
        return conditional.guided(unconditional, 2.0)

    out = ddim_sample(denoise, schedule, seeded_noise((4, 3)), steps=100)

    torch.testing.assert_close(out, (2 * MEAN).expand(4, 3))


@pytest.mark.parametrize("timesteps", [2, 50, 97])
def test_sampling_times_decrease_strictly_from_the_last_to_zero(timesteps: int) -> None:
    for steps in range(1, timesteps + 1):
        path = timestep_path(timesteps, steps)
        assert (path[0], path[-1], len(path)) == (timesteps, 0, steps + 1)
        assert all(now > after for now, after in pairwise(path))


def test_sampling_times_are_evenly_spaced_and_the_full_chain_has_all() -> None:
    assert timestep_path(500, 5) == [500, 400, 300, 200, 100, 0]
    assert timestep_path(7, 7) == [7, 6, 5, 4, 3, 2, 1, 0]
    gaps = [now - after for now, after in pairwise(timestep_path(100, 7))]
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 5, 6)])
def test_samples_have_the_shape_and_dtype_of_the_noise(shape: tuple[int, ...]) -> None:
    schedule = NoiseSchedule.named("cosine", 10)
    clean = torch.zeros(6)

    for out in (
        ddpm_sample(perfect("v", clean, schedule), schedule, seeded_noise(shape, dtype=torch.float32)),
        ddim_sample(perfect("v", clean, schedule), schedule, seeded_noise(shape, dtype=torch.float32), steps=3),
    ):
        assert (out.shape, out.dtype) == (shape, torch.float32)
