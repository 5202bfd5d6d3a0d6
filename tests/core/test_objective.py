"""Conversion of network outputs to estimates of the clean vector and the noise (Eq. 11-12, 22)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revcd_cli.core.objective import HEADS, OBJECTIVES, Estimate, head_estimate, output_width, to_estimate, velocity

EVERY_OBJECTIVE = pytest.mark.parametrize("objective", OBJECTIVES)


def vectors(seed: int, rows: int = 40) -> Tensor:
    return torch.randn(rows, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def alpha_bars(rows: int = 40) -> Tensor:
    return torch.linspace(0.01, 0.99, rows, dtype=torch.float64)[:, None]


def noised(s_0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    return alpha_bar.sqrt() * s_0 + (1 - alpha_bar).sqrt() * eps


def perfect_output(objective: str, s_0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return the output of a network without error, from the definitions in the paper."""
    return {
        "x0": s_0,
        "eps": eps,
        "v": alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * s_0,
        "both": torch.cat([s_0, eps], dim=-1),
    }[objective]


@EVERY_OBJECTIVE
def test_a_perfect_output_gives_the_clean_vector_and_the_noise(objective: str) -> None:
    s_0, eps, alpha_bar = vectors(0), vectors(1), alpha_bars()

    estimate = to_estimate(
        objective, perfect_output(objective, s_0, eps, alpha_bar), noised(s_0, eps, alpha_bar), alpha_bar
    )

    torch.testing.assert_close(estimate.s_0, s_0)
    torch.testing.assert_close(estimate.eps, eps)


@pytest.mark.parametrize("objective", ["v", "x0", "eps"])
def test_a_single_head_s_two_estimates_explain_the_noisy_vector(objective: str) -> None:
    output, s_t, alpha_bar = vectors(0), vectors(1), alpha_bars()

    estimate = to_estimate(objective, output, s_t, alpha_bar)

    torch.testing.assert_close(noised(*estimate, alpha_bar), s_t)


@EVERY_OBJECTIVE
def test_the_predicted_quantity_equals_the_output(objective: str) -> None:
    output, s_t, alpha_bar = torch.cat([vectors(0), vectors(1)], -1), vectors(2), alpha_bars()
    output = output[:, : output_width(objective, 7)]

    estimate = to_estimate(objective, output, s_t, alpha_bar)

    torch.testing.assert_close(perfect_output(objective, *estimate, alpha_bar), output)


@pytest.mark.parametrize("head", HEADS)
def test_with_two_heads_the_estimate_is_that_of_the_chosen_head_alone(head: str) -> None:
    clean, noise, s_t, alpha_bar = vectors(0), vectors(1), vectors(2), alpha_bars()

    estimate = head_estimate("both", head, torch.cat([clean, noise], -1), s_t, alpha_bar)

    torch.testing.assert_close(noised(*estimate, alpha_bar), s_t)
    by_clean = {"x0": torch.ones(40), "eps": torch.zeros(40), "mixed": alpha_bar[:, 0] < 0.5}[head].bool()
    torch.testing.assert_close(estimate.s_0[by_clean], clean[by_clean])
    torch.testing.assert_close(estimate.eps[~by_clean], noise[~by_clean])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("objective", ["v", "x0", "eps"])
def test_a_single_head_s_estimate_does_not_depend_on_the_choice_of_head(objective: str, head: str) -> None:
    output, s_t, alpha_bar = vectors(0), vectors(1), alpha_bars()

    estimate = head_estimate(objective, head, output, s_t, alpha_bar)

    assert all(map(torch.equal, estimate, to_estimate(objective, output, s_t, alpha_bar)))


def test_noise_error_is_snr_times_clean_error_for_the_x0_head() -> None:
    s_0, eps, guess, alpha_bar = vectors(0), vectors(1), vectors(2), alpha_bars()

    estimate = to_estimate("x0", guess, noised(s_0, eps, alpha_bar), alpha_bar)

    snr = (alpha_bar / (1 - alpha_bar))[:, 0]
    torch.testing.assert_close((estimate.eps - eps).square().sum(-1), snr * (guess - s_0).square().sum(-1))


def test_clean_error_is_noise_error_over_snr_for_the_eps_head() -> None:
    s_0, eps, guess, alpha_bar = vectors(0), vectors(1), vectors(2), alpha_bars()

    estimate = to_estimate("eps", guess, noised(s_0, eps, alpha_bar), alpha_bar)

    snr = (alpha_bar / (1 - alpha_bar))[:, 0]
    torch.testing.assert_close((estimate.s_0 - s_0).square().sum(-1), (guess - eps).square().sum(-1) / snr)


def test_velocity_error_is_the_sum_of_the_clean_and_the_noise_error() -> None:
    s_0, eps, guess, alpha_bar = vectors(0), vectors(1), vectors(2), alpha_bars()

    estimate = to_estimate("v", guess, noised(s_0, eps, alpha_bar), alpha_bar)

    both = (estimate.s_0 - s_0).square().sum(-1) + (estimate.eps - eps).square().sum(-1)
    torch.testing.assert_close(both, (guess - velocity(s_0, eps, alpha_bar)).square().sum(-1))


def test_velocity_is_minus_the_clean_vector_at_alpha_bar_0_and_the_noise_at_alpha_bar_1() -> None:
    s_0, eps, one = vectors(0), vectors(1), torch.ones(1, dtype=torch.float64)

    torch.testing.assert_close(velocity(s_0, eps, 0 * one), -s_0)
    torch.testing.assert_close(velocity(s_0, eps, one), eps)


def test_guidance_of_one_is_exactly_the_conditional_estimate() -> None:
    conditional, unconditional = (Estimate(vectors(k).float(), vectors(k + 1).float()) for k in (0, 2))

    guided = conditional.guided(unconditional, 1.0)

    assert torch.equal(guided.s_0, conditional.s_0)
    assert torch.equal(guided.eps, conditional.eps)


def test_guidance_of_zero_is_exactly_the_unconditional_estimate() -> None:
    conditional, unconditional = (Estimate(vectors(k).float(), vectors(k + 1).float()) for k in (0, 2))

    guided = conditional.guided(unconditional, 0.0)

    assert torch.equal(guided.s_0, unconditional.s_0)
    assert torch.equal(guided.eps, unconditional.eps)


@pytest.mark.parametrize("scale", [0.3, 0.5, 2.0, 7.5])
def test_guidance_is_linear_in_its_scale(scale: float) -> None:
    conditional, unconditional = (Estimate(vectors(k), vectors(k + 1)) for k in (0, 2))

    guided = conditional.guided(unconditional, scale)

    torch.testing.assert_close(guided.s_0, scale * conditional.s_0 + (1 - scale) * unconditional.s_0)  # Eq. 21
    torch.testing.assert_close(guided.eps, scale * conditional.eps + (1 - scale) * unconditional.eps)


@pytest.mark.parametrize("objective", ["v", "x0", "eps"])
def test_guiding_the_outputs_is_guiding_the_estimates(objective: str) -> None:
    seen, null, s_t, alpha_bar = vectors(0), vectors(1), vectors(2), alpha_bars()

    guided = to_estimate(objective, seen, s_t, alpha_bar).guided(to_estimate(objective, null, s_t, alpha_bar), 2.5)

    of_guided_output = to_estimate(objective, null + 2.5 * (seen - null), s_t, alpha_bar)
    torch.testing.assert_close(guided.s_0, of_guided_output.s_0)
    torch.testing.assert_close(guided.eps, of_guided_output.eps)


def test_only_two_heads_need_twice_the_outputs() -> None:
    assert {name: output_width(name, 85) for name in OBJECTIVES} == {"v": 85, "x0": 85, "eps": 85, "both": 170}
