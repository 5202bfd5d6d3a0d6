"""Classifier-free guidance (Eq. 19-22) against densities with known scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revcd_cli.core.guidance import (
    conditional_score,
    guided,
    guided_score,
    likelihood_score,
    noise_to_score,
    score_to_noise,
)


def vectors(seed: int) -> Tensor:
    return torch.randn(40, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


ALPHA_BAR = torch.linspace(0.01, 0.99, 40, dtype=torch.float64)[:, None]


def test_the_mean_noise_gives_the_score_of_a_noised_gaussian() -> None:
    """s_0 ~ N(0, 1), so s_t ~ N(0, 1): its score is -s_t, and E[eps | s_t] = sqrt(1 - alpha_bar) s_t (Tweedie)."""
    s_t = vectors(0)

    torch.testing.assert_close(noise_to_score((1 - ALPHA_BAR).sqrt() * s_t, ALPHA_BAR), -s_t)
    torch.testing.assert_close(score_to_noise(noise_to_score(s_t, ALPHA_BAR), ALPHA_BAR), s_t)


def test_scores_add_by_bayes_rule() -> None:
    """p(s) = N(0, 1) and p(x | s) = N(x; s, v): the scores of p(s), p(x | s) and p(s | x) by autograd."""
    s, x, v = vectors(0).requires_grad_(), vectors(1), 0.3

    def score(log_density: Tensor) -> Tensor:
        return torch.autograd.grad(log_density.sum(), s, retain_graph=True)[0]

    prior, likelihood = score(-(s**2) / 2), score(-((x - s) ** 2) / (2 * v))
    posterior = score(-((s - x / (1 + v)) ** 2) / (2 * v / (1 + v)))

    torch.testing.assert_close(conditional_score(prior, likelihood), posterior)  # Eq. 19
    torch.testing.assert_close(likelihood_score(posterior, prior), likelihood)  # Eq. 20


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.5])
def test_the_guided_score_weighs_the_likelihood(scale: float) -> None:
    conditional, unconditional = vectors(0), vectors(1)

    found = guided_score(conditional, unconditional, scale)

    torch.testing.assert_close(found, scale * conditional + (1 - scale) * unconditional)  # Eq. 21


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.5])
def test_guided_noise_is_the_noise_of_the_guided_score(scale: float) -> None:
    conditional, unconditional = vectors(0), vectors(1)
    scores = [noise_to_score(eps, ALPHA_BAR) for eps in (conditional, unconditional)]

    torch.testing.assert_close(
        guided(conditional, unconditional, scale), score_to_noise(guided_score(*scores, scale), ALPHA_BAR)
    )
