"""The evidence rule, against loops over photos, classes and draws."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from revcd_cli.config import InferenceConfig
from revcd_cli.core.inference_cache import condition_part, denoise_pairs, noisy_part
from revcd_cli.core.model import RevCD
from revcd_cli.core.objective import HEADS, OBJECTIVES, head_estimate, output_width, velocity, velocity_error
from revcd_cli.scoring import evidence as evidence_module
from revcd_cli.scoring.evidence import evidence_draws, evidence_scores
from tests.makers.tiny_model import (
    ATTRIBUTES,
    CLASSES,
    PHOTOS,
    TIMESTEPS,
    generators,
    photos,
    prototypes,
    revcd,
    zero_shot,
)


def slow_evidence(model: RevCD, x: Tensor, raw: Tensor, config: InferenceConfig) -> Iterator[list[float]]:
    """Compute the evidence with two network calls for each photo, class and draw, and v from its definition."""
    times, noises = evidence_draws(model, config, raw)
    z = model.precondition(raw)
    for photo in x:
        c = model.encode(photo[None])[0]
        row = []
        for clean in z:
            total = 0.0
            for t, eps in zip(times[:, 0], noises[:, 0], strict=True):
                alpha_bar = model.schedule.alphas_cumprod[t].double()
                a, b = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
                s_t, v = a * clean + b * eps, a * eps - b * clean
                errors = []
                for condition in (model.null, c):
                    output = model.denoiser(s_t[None], t[None], condition[None])
                    objective = model.config.diffusion.objective
                    guess = head_estimate(objective, config.head, output, s_t[None], alpha_bar)
                    errors.append(float((a * guess.eps - b * guess.s_0 - v).square().mean()))
                total += errors[0] - errors[1]
            row.append(total / len(times))
        yield row


@pytest.mark.parametrize(
    ("objective", "head"), [("v", "x0"), ("x0", "x0"), ("eps", "x0"), *(("both", head) for head in HEADS)]
)
def test_evidence_equals_a_loop_over_photos_classes_and_draws(objective: str, head: str) -> None:
    model, config = revcd(objective), InferenceConfig(rule="evidence", draws=5, band_low=0.2, head=head)

    with torch.no_grad():
        slow = torch.tensor(list(slow_evidence(model, photos(), prototypes(), config)), dtype=torch.float64)

    torch.testing.assert_close(zero_shot(model).score(photos(), prototypes(), config, generators()), slow)


def fixed_estimate() -> RevCD:
    """A network with weights set by hand. Its estimate is the first attributes of its condition, for any noisy vector.

    Its layers pass on the positive and the negative parts of those attributes, and the last one subtracts them.
    """
    model = revcd("x0", norm="batch")
    denoiser, n = model.denoiser, ATTRIBUTES
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.zero_()
        for layer in [*denoiser.encoder, *denoiser.decoder]:
            layer.norm.weight.fill_(1)
            layer.norm.running_var.fill_(1 - layer.norm.eps)
        for k in range(n):
            denoiser.encoder[0].condition.weight[[k, n + k], k] = torch.tensor([1.0, -1.0]).double()
            denoiser.out.weight[k, [k, n + k]] = torch.tensor([1.0, -1.0]).double()
        for layer in (denoiser.encoder[1], denoiser.decoder[0]):
            layer.linear.weight[: 2 * n, : 2 * n] = torch.eye(2 * n)
    return model


def test_evidence_of_a_fixed_estimate_has_its_closed_form() -> None:
    model, config = fixed_estimate(), InferenceConfig(draws=5)
    z, c = model.precondition(prototypes()), torch.randn(PHOTOS, 16).double()
    t, _ = evidence_draws(model, config, z)

    scores = evidence_scores(model, c, z, config)

    # ||v_hat - v||^2 = ||s_hat - s||^2 / (1 - alpha_bar), minus the same without the condition.
    weight = float((1 / (1 - model.schedule.alphas_cumprod[t])).mean()) / ATTRIBUTES
    null = model.null.detach()[:ATTRIBUTES]
    for photo in range(PHOTOS):
        for k in range(CLASSES):
            gain = (null - z[k]).square().sum() - (c[photo, :ATTRIBUTES] - z[k]).square().sum()
            assert float(scores[photo, k]) == pytest.approx(weight * float(gain))


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("reading", ["A", "B"])
def test_evidence_of_every_network_equals_the_loop(reading: str, norm: str) -> None:
    model, config = revcd(norm=norm, reading=reading), InferenceConfig(rule="evidence", draws=3)

    with torch.no_grad():
        slow = torch.tensor(list(slow_evidence(model, photos(), prototypes(), config)), dtype=torch.float64)

    torch.testing.assert_close(zero_shot(model).score(photos(), prototypes(), config, generators()), slow)


@pytest.mark.parametrize("reading", ["A", "B"])
def test_batched_pairs_are_denoised_as_one_by_one(reading: str) -> None:
    model, s_t, c = revcd(reading=reading), torch.randn(3, 2, ATTRIBUTES).double(), torch.randn(PHOTOS, 16).double()
    t = torch.tensor([[2], [9], [20]])

    with torch.no_grad():
        noisy, conditions = noisy_part(model.denoiser, s_t, t), condition_part(model.denoiser, c[:, None, None])
        output = denoise_pairs(model.denoiser, noisy, conditions)
        for photo in range(PHOTOS):
            for draw in range(3):
                for k in range(2):
                    alone = model.denoiser(s_t[draw, k], t[draw, 0], c[photo])
                    torch.testing.assert_close(output[photo, draw, k], alone)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_velocity_error_is_that_of_the_velocity_of_the_estimate(objective: str, head: str) -> None:
    s_0, eps = torch.randn(2, 7, ATTRIBUTES).double()
    output = torch.randn(7, output_width(objective, ATTRIBUTES)).double()
    alpha_bar = torch.rand(7, 1).double() * 0.9 + 0.05
    s_t = alpha_bar.sqrt() * s_0 + (1 - alpha_bar).sqrt() * eps
    v_hat = velocity(*head_estimate(objective, head, output, s_t, alpha_bar), alpha_bar)

    expected = (v_hat - velocity(s_0, eps, alpha_bar)).square().mean(-1)

    torch.testing.assert_close(velocity_error(objective, output, s_0, eps, alpha_bar, head), expected)


def test_a_condition_equal_to_the_null_condition_gives_zero_evidence() -> None:
    model = revcd()

    scores = evidence_scores(model, model.null.detach()[None], prototypes(), InferenceConfig(draws=3))

    torch.testing.assert_close(scores, torch.zeros(1, CLASSES).double())


@pytest.mark.parametrize("floats", [1, 100, 200, 600, 1000])
def test_evidence_does_not_depend_on_the_size_of_chunks(floats: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, config = revcd(), InferenceConfig(rule="evidence", draws=3)
    whole = zero_shot(model).score(photos(), prototypes(), config, generators())
    widest = 0

    def watch(_: nn.Module, __: tuple[Tensor, ...], hidden: Tensor) -> None:
        nonlocal widest
        widest = max(widest, hidden.numel())

    model.denoiser.encoder[1].norm.register_forward_hook(watch)
    monkeypatch.setattr(evidence_module, "_ACTIVATION_FLOATS", {"cpu": floats})

    torch.testing.assert_close(zero_shot(model).score(photos(), prototypes(), config, generators()), whole)
    assert widest <= max(floats, 3 * 16)  # one photo and one class is the smallest chunk


@pytest.mark.parametrize("draws", [1, 2, 7, 16])
def test_evidence_times_are_midpoints_of_equal_strata_of_the_band(draws: int) -> None:
    t, _ = evidence_draws(revcd(), InferenceConfig(draws=draws, band_low=0.2, band_high=0.8), prototypes())

    for k in range(draws):
        assert abs(int(t[k, 0]) - TIMESTEPS * (0.2 + 0.6 * (k + 0.5) / draws)) <= 0.5 + 1e-4
    assert t.shape == (draws, 1)


@pytest.mark.parametrize("draws", [1, 200])
def test_evidence_times_are_valid_times_also_at_the_edges_of_the_band(draws: int) -> None:
    for low, high in ((0.0, 0.01), (0.99, 1.0), (0.0, 1.0)):
        t, _ = evidence_draws(revcd(), InferenceConfig(draws=draws, band_low=low, band_high=high), prototypes())
        assert ((t >= 1) & (t <= TIMESTEPS)).all()


@pytest.mark.parametrize("draws", [1, 5, 16])
def test_evidence_noises_are_antithetic_pairs_and_always_the_same(draws: int) -> None:
    model, config = revcd(), InferenceConfig(draws=draws)
    torch.manual_seed(7)

    _, eps = evidence_draws(model, config, prototypes())

    assert eps.shape == (draws, 1, ATTRIBUTES)
    assert torch.equal(eps[0 : draws - 1 : 2], -eps[1::2])
    assert len(eps[::2, 0].unique(dim=0)) == (draws + 1) // 2
    torch.manual_seed(8)
    assert torch.equal(evidence_draws(model, config, prototypes())[1], eps)


def test_evidence_does_not_use_the_generator_of_the_photo() -> None:
    model = revcd()

    first, second = (
        zero_shot(model).score(
            photos(), prototypes(), InferenceConfig(rule="evidence", draws=3), generators(range(k, k + PHOTOS))
        )
        for k in (0, 50)
    )

    assert torch.equal(first, second)
