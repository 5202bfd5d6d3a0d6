"""From conditions to class scores, against loops over photos, classes and draws. python -m pytest tests/core"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from revcd_cli.config import Config, InferenceConfig
from revcd_cli.core import scores as scores_module
from revcd_cli.core.model import RevCD
from revcd_cli.core.scores import (
    calibrated,
    class_scores,
    cosine_scores,
    evidence_draws,
    evidence_scores,
    rank,
    sample_semantics,
)

FEATURES, ATTRIBUTES, CLASSES, PHOTOS, TIMESTEPS = 9, 5, 6, 4, 20
RULES = [
    InferenceConfig(rule="evidence", draws=5),
    InferenceConfig(rule="cosine", samples=3, steps=4, eta=0.7, guidance_scale=1.5),
    InferenceConfig(rule="cosine", samples=3, steps=1),
    InferenceConfig(rule="cosine", samples=2, sampler="ddpm"),
]
every_rule = pytest.mark.parametrize("config", RULES, ids=["evidence", "ddim", "one-step", "ddpm"])


def revcd(objective: str = "v", norm: str = "layer") -> RevCD:
    """A model in evaluation mode whose every weight is random."""
    torch.manual_seed(0)
    config = Config.from_dict(
        {
            "diffusion": {"timesteps": TIMESTEPS, "objective": objective},
            "encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16},
            "denoiser": {"width": 16, "time_width": 8, "norm": norm},
        }
    )
    model = RevCD(config, FEATURES, ATTRIBUTES).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    model.fit_preconditioning(photos(50), prototypes(seed=5))
    return model


def photos(rows: int = PHOTOS, seed: int = 1) -> Tensor:
    return torch.randn(rows, FEATURES, dtype=torch.float64, generator=Generator().manual_seed(seed))


def prototypes(seed: int = 2) -> Tensor:
    return torch.rand(CLASSES, ATTRIBUTES, dtype=torch.float64, generator=Generator().manual_seed(seed))


def generators(numbers: range | list[int] = range(PHOTOS)) -> list[Generator]:
    """One generator per photo, seeded by the photo's own number."""
    return [Generator().manual_seed(100 + number) for number in numbers]


def slow_evidence(model: RevCD, x: Tensor, raw: Tensor, config: InferenceConfig) -> Iterator[list[float]]:
    """Two network calls for each photo, class and draw; v from its definition."""
    times, noises = evidence_draws(model, config, raw)
    z = model.precondition(raw)
    for photo in x:
        c = model.encode(photo[None])[0]
        row = []
        for clean in z:
            total = 0.0
            for t, eps in zip(times[:, 0], noises[:, 0], strict=True):
                alpha_bar = model.schedule.alphas_cumprod[t]
                a, b = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
                s_t, v = a * clean + b * eps, a * eps - b * clean
                errors = []
                for condition in (model.null, c):
                    guess = model.estimate(s_t, t, condition)
                    errors.append(float((a * guess.eps - b * guess.s_0 - v).square().mean()))
                total += errors[0] - errors[1]
            row.append(total / len(times))
        yield row


@pytest.mark.parametrize("objective", ["v", "x0", "eps", "both"])
def test_evidence_equals_a_loop_over_photos_classes_and_draws(objective: str) -> None:
    model, config = revcd(objective), InferenceConfig(draws=5, band_low=0.2)

    with torch.no_grad():
        slow = torch.tensor(list(slow_evidence(model, photos(), prototypes(), config)), dtype=torch.float64)

    torch.testing.assert_close(class_scores(model, photos(), prototypes(), config, generators()), slow)


class Attentive(nn.Module):
    """A denoiser that believes the first attributes of its condition, whatever the noisy vector."""

    def forward(self, s_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return c[..., :ATTRIBUTES].expand(torch.broadcast_shapes(s_t.shape, c[..., :ATTRIBUTES].shape))


def test_evidence_of_a_fixed_belief_is_its_gain_in_squared_distance_over_the_noise_power() -> None:
    model, config = revcd("x0"), InferenceConfig(draws=5)
    model.denoiser = Attentive()
    z, c = model.precondition(prototypes()), torch.randn(PHOTOS, 16).double()
    t, _ = evidence_draws(model, config, z)

    scores = evidence_scores(model, c, z, config).detach()

    # ||v_hat - v||^2 = ||s_hat - s||^2 / (1 - alpha_bar): the nearest class wins, minus what it costs without a photo.
    weight = float((1 / (1 - model.schedule.alphas_cumprod[t])).mean()) / ATTRIBUTES
    null = model.null.detach()[:ATTRIBUTES]
    for photo in range(PHOTOS):
        for k in range(CLASSES):
            gain = (null - z[k]).square().sum() - (c[photo, :ATTRIBUTES] - z[k]).square().sum()
            assert float(scores[photo, k]) == pytest.approx(weight * float(gain))


def test_a_photo_that_says_nothing_gives_no_evidence() -> None:
    model = revcd()

    scores = evidence_scores(model, model.null.detach()[None], prototypes(), InferenceConfig(draws=3))

    torch.testing.assert_close(scores, torch.zeros(1, CLASSES).double())


@pytest.mark.parametrize("floats", [1, 100, 200, 600, 1000])
def test_working_in_pieces_does_not_change_the_evidence(floats: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, config = revcd(), InferenceConfig(draws=3)
    whole = class_scores(model, photos(), prototypes(), config, generators())
    widest = 0

    def watch(_: nn.Module, __: tuple[Tensor, ...], hidden: Tensor) -> None:
        nonlocal widest
        widest = max(widest, hidden.numel())

    model.denoiser.encoder[0].register_forward_hook(watch)
    monkeypatch.setattr(scores_module, "_ACTIVATION_FLOATS", floats)

    torch.testing.assert_close(class_scores(model, photos(), prototypes(), config, generators()), whole)
    assert widest <= max(floats, 3 * 16)  # one photo and one class is the least there is


@pytest.mark.parametrize("draws", [1, 2, 7, 16])
def test_evidence_times_are_the_middles_of_equal_strata_of_the_band(draws: int) -> None:
    t, _ = evidence_draws(revcd(), InferenceConfig(draws=draws, band_low=0.2, band_high=0.8), prototypes())

    for k in range(draws):
        assert abs(int(t[k, 0]) - TIMESTEPS * (0.2 + 0.6 * (k + 0.5) / draws)) <= 0.5 + 1e-4
    assert t.shape == (draws, 1)


@pytest.mark.parametrize("draws", [1, 200])
def test_evidence_times_are_times_of_the_schedule_even_at_the_edge_of_the_band(draws: int) -> None:
    for low, high in ((0.0, 0.01), (0.99, 1.0), (0.0, 1.0)):
        t, _ = evidence_draws(revcd(), InferenceConfig(draws=draws, band_low=low, band_high=high), prototypes())
        assert ((t >= 1) & (t <= TIMESTEPS)).all()


@pytest.mark.parametrize("draws", [1, 5, 16])
def test_evidence_noises_come_in_pairs_of_both_signs_and_never_change(draws: int) -> None:
    model, config = revcd(), InferenceConfig(draws=draws)
    torch.manual_seed(7)

    _, eps = evidence_draws(model, config, prototypes())

    assert eps.shape == (draws, 1, ATTRIBUTES)
    assert torch.equal(eps[0 : draws - 1 : 2], -eps[1::2])
    assert len(eps[::2, 0].unique(dim=0)) == (draws + 1) // 2
    torch.manual_seed(8)
    assert torch.equal(evidence_draws(model, config, prototypes())[1], eps)


@every_rule
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_a_photo_alone_or_in_a_batch_gives_the_same_scores(config: InferenceConfig, norm: str) -> None:
    model = revcd(norm=norm)

    together = class_scores(model, photos(), prototypes(), config, generators())

    for k in range(PHOTOS):
        alone = class_scores(model, photos()[k : k + 1], prototypes(), config, generators([k]))
        torch.testing.assert_close(alone[0], together[k])


@every_rule
def test_order_of_the_photos_does_not_change_their_scores(config: InferenceConfig) -> None:
    model, order = revcd(), [2, 0, 3, 1]

    together = class_scores(model, photos(), prototypes(), config, generators())

    shuffled = class_scores(model, photos()[order], prototypes(), config, generators(order))
    torch.testing.assert_close(shuffled, together[order])


@every_rule
def test_permuting_the_classes_permutes_the_scores(config: InferenceConfig) -> None:
    model, order = revcd(), [5, 0, 3, 1, 4, 2]

    scores = class_scores(model, photos(), prototypes(), config, generators())

    permuted = class_scores(model, photos(), prototypes()[order], config, generators())
    torch.testing.assert_close(permuted, scores[:, order])


@every_rule
def test_scores_of_a_class_do_not_depend_on_its_rivals(config: InferenceConfig) -> None:
    model = revcd()

    few = class_scores(model, photos(), prototypes()[:2], config, generators())

    torch.testing.assert_close(few, class_scores(model, photos(), prototypes(), config, generators())[:, :2])


def test_evidence_draws_nothing_from_the_photo_s_generator() -> None:
    model = revcd()

    first, second = (
        class_scores(model, photos(), prototypes(), InferenceConfig(draws=3), generators(range(k, k + PHOTOS)))
        for k in (0, 50)
    )

    assert torch.equal(first, second)


def test_cosine_score_is_the_mean_over_samples_of_the_cosine() -> None:
    samples = torch.randn(PHOTOS, 3, ATTRIBUTES, dtype=torch.float64, generator=Generator().manual_seed(3))
    z = prototypes() - 0.5

    scores = cosine_scores(samples, z)

    for photo in range(PHOTOS):
        for k in range(CLASSES):
            cosines = [float(s @ z[k] / (s.norm() * z[k].norm())) for s in samples[photo]]
            assert float(scores[photo, k]) == pytest.approx(sum(cosines) / 3)


def test_scaling_prototypes_and_samples_does_not_change_the_cosine_ranking() -> None:
    samples = torch.randn(PHOTOS, 3, ATTRIBUTES, dtype=torch.float64, generator=Generator().manual_seed(3))
    z, lengths = prototypes() - 0.5, torch.tensor([0.01, 1, 2, 50, 7, 0.3], dtype=torch.float64)[:, None]

    scaled = cosine_scores(40 * samples, lengths * z)

    assert torch.equal(rank(scaled, CLASSES)[1], rank(cosine_scores(samples, z), CLASSES)[1])


def test_a_vector_of_zeros_has_cosine_zero() -> None:
    assert torch.equal(cosine_scores(torch.zeros(1, 2, ATTRIBUTES), torch.zeros(3, ATTRIBUTES)), torch.zeros(1, 3))


def conditions(model: RevCD) -> Tensor:
    with torch.no_grad():
        return model.encode(photos())


def first_noises(samples: int) -> Tensor:
    """What the photos' generators give first: the noise at t = T."""
    return torch.stack([torch.randn(samples, ATTRIBUTES, generator=g) for g in generators()]).double()


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_one_step_samples_are_the_guided_estimates_at_the_last_time(scale: float) -> None:
    model, last = revcd(), torch.tensor(TIMESTEPS)
    c, s_t = conditions(model), first_noises(3)

    samples = sample_semantics(model, c, InferenceConfig(samples=3, steps=1, guidance_scale=scale), generators())

    for photo in range(PHOTOS):
        for k in range(3):
            with_photo = model.estimate(s_t[photo, k], last, c[photo]).s_0
            without = model.estimate(s_t[photo, k], last, model.null).s_0
            torch.testing.assert_close(samples[photo, k], without + scale * (with_photo - without))  # Eq. 22


def test_samples_of_one_photo_differ_and_return_with_the_same_seeds() -> None:
    model, config = revcd(), InferenceConfig(samples=3, steps=4, eta=1.0)

    first, again = (sample_semantics(model, conditions(model), config, generators()) for _ in range(2))

    assert torch.equal(first, again)
    assert (first[:, 0] - first[:, 1]).abs().max() > 1e-6


def test_raw_prototypes_and_features_pass_the_model_s_own_preconditioning() -> None:
    model, config = revcd(), InferenceConfig(draws=3)

    whole = class_scores(model, photos(), prototypes(), config, generators())

    scaled, z = (photos() - model.scaler.shift) * model.scaler.gain, model.precondition(prototypes())
    torch.testing.assert_close(evidence_scores(model, model.encoder(scaled), z, config), whole)


def test_calibration_subtracts_the_penalty_from_seen_classes_only() -> None:
    scores, seen = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([True, False, True])

    assert calibrated(scores, seen, 0.5).tolist() == [[0.5, 2.0, 2.5]]
    assert torch.equal(calibrated(scores, seen, 0.0), scores)


def test_a_large_penalty_leaves_the_seen_classes_last_in_their_own_order() -> None:
    scores, seen = torch.tensor([[1.0, 9.0, 3.0, 2.0]]), torch.tensor([False, True, False, True])

    assert rank(calibrated(scores, seen, 1000.0), 4)[1].tolist() == [[2, 0, 1, 3]]


def test_ranking_is_by_falling_score_and_ties_go_to_the_lower_class() -> None:
    best, classes = rank(torch.tensor([[0.5, 0.9, 0.5, 0.9, 0.1]]), 4)

    assert classes.tolist() == [[1, 3, 0, 2]]
    torch.testing.assert_close(best, torch.tensor([[0.9, 0.9, 0.5, 0.5]]))


def test_ties_of_many_classes_keep_the_order_of_the_classes() -> None:
    assert rank(torch.zeros(3, 700), 700)[1].tolist() == [list(range(700))] * 3


def test_asking_for_more_classes_than_there_are_gives_them_all() -> None:
    assert rank(torch.tensor([[1.0, 2.0]]), 5)[1].tolist() == [[1, 0]]


@every_rule
def test_scoring_leaves_the_model_and_its_mode_unchanged(config: InferenceConfig) -> None:
    model: Any = revcd(norm="batch")
    before: dict[str, Tensor] = {name: value.clone() for name, value in model.state_dict().items()}

    class_scores(model, photos(), prototypes(), config, generators())

    assert not model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
