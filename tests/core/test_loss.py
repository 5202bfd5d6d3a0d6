"""The losses of one training step against loops over its rows.

The real network runs. Its inputs and outputs are recorded, so that no test depends on the order in which the step draws
its random numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from revcd_cli.config import Config
from revcd_cli.core.loss import Losses, class_log_probabilities, class_loss, consistency, training_losses
from revcd_cli.core.model import RevCD
from revcd_cli.core.objective import Estimate, to_estimate
from revcd_cli.core.schedule import cosine_betas

FEATURES, ATTRIBUTES, CLASSES, TIMESTEPS = 9, 5, 4, 20
every_objective = pytest.mark.parametrize("objective", ["v", "x0", "eps", "both"])


def settings(objective: str = "v", **loss: Any) -> Config:
    return Config.from_dict(
        {
            "diffusion": {"timesteps": TIMESTEPS, "objective": objective},
            "loss": loss,
            "encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16, "feature_scaling": "standard"},
            "denoiser": {"width": 16, "time_width": 8},
            "inference": {"rule": "prototype"},  # needs nothing of the network, so every loss may be tested
        }
    )


def randomised(model: RevCD) -> RevCD:
    """Set every weight to a random value, so that every path contributes."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return model


def revcd(config: Config) -> RevCD:
    torch.manual_seed(0)
    return randomised(RevCD(config, FEATURES, ATTRIBUTES, CLASSES).double().eval())


def batch(rows: int = 60) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return features, descriptions, labels (some without a class) and the prototypes."""
    generator = torch.Generator().manual_seed(1)
    prototypes = torch.randn(CLASSES, ATTRIBUTES, dtype=torch.float64, generator=generator)
    labels = torch.randint(CLASSES, (rows,), generator=generator)
    s_0 = prototypes[labels]
    labels[::7] = -1
    return torch.randn(rows, FEATURES, dtype=torch.float64, generator=generator), s_0, labels, prototypes


@dataclass
class Step:
    """A recorded step: its losses and, per row, noisy vector, time, noise, whether the condition was kept, output."""

    losses: Losses
    s_t: Tensor
    t: Tensor
    eps: Tensor
    kept: Tensor
    output: Tensor


def run_step(model: RevCD, rows: tuple[Tensor, Tensor, Tensor, Tensor], seed: int = 0) -> Step:
    seen = {}

    def record(_: torch.nn.Module, arguments: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        seen["s_t"], seen["t"], seen["c"] = arguments
        seen["output"] = output.detach()

    hook = model.denoiser.register_forward_hook(record)
    torch.manual_seed(seed)
    losses = training_losses(model, *rows)
    hook.remove()
    alpha_bar = model.schedule.alphas_cumprod[seen["t"], None].double()
    eps = (seen["s_t"] - alpha_bar.sqrt() * rows[1]) / (1 - alpha_bar).sqrt()
    kept = (seen["c"] != model.null).any(-1)
    return Step(losses, seen["s_t"], seen["t"], eps, kept, seen["output"])


def read_output(objective: str, out: Tensor, s_t: Tensor, alpha_bar: float) -> tuple[Tensor, Tensor]:
    """Convert one row of output to the clean vector and the noise (method.md 5.1)."""
    a, b = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    if objective == "v":
        return a * s_t - b * out, b * s_t + a * out
    if objective == "x0":
        return out, (s_t - a * out) / b
    if objective == "eps":
        return (s_t - b * out) / a, out
    return out[:ATTRIBUTES], out[ATTRIBUTES:]


def slow_losses(model: RevCD, step: Step, rows: tuple[Tensor, Tensor, Tensor, Tensor]) -> dict[str, float]:
    """Compute Eq. 10, 13, 15 and 16 in a loop over rows, with explicit weights."""
    _, s_0, labels, prototypes = rows
    loss, objective = model.config.loss, model.config.diffusion.objective
    alpha_bars = [1.0, *(1 - cosine_betas(TIMESTEPS)).cumprod(0).tolist()]
    rec, noise, cls, gap = [], [], [], []
    for k in range(len(s_0)):
        now, before = alpha_bars[int(step.t[k])], alpha_bars[int(step.t[k]) - 1]
        clean, eps = read_output(objective, step.output[k], step.s_t[k], now)
        snr = now / (1 - now)
        if loss.weighting == "exact":
            beta = 1 - now / before
            rec_weight = (before / (1 - before) - snr) / 2
            noise_weight = beta / (2 * (1 - before) * (1 - beta))
        else:
            rec_weight = min(1, 5 * snr) if objective == "eps" else 1
            noise_weight = min(1, 5 / snr) if objective == "x0" else 1
        gap.append(float((step.s_t[k] - math.sqrt(now) * clean - math.sqrt(1 - now) * eps).square().mean()))
        noise.append(noise_weight * float((eps - step.eps[k]).square().mean()))
        if step.kept[k] or loss.rec_rows == "all":
            rec.append(rec_weight * float((clean - s_0[k]).square().mean()))
        if step.kept[k] and labels[k] >= 0:
            cosines = [float(clean @ p / (clean.norm() * p.norm())) / loss.cls_temperature for p in prototypes]
            cross_entropy = math.log(sum(map(math.exp, cosines))) - cosines[int(labels[k])]
            cls.append((now if loss.cls_fade else 1) * cross_entropy)
    means = {"rec": sum(rec) / len(rec), "noise": sum(noise) / len(noise), "cls": sum(cls) / len(cls)}
    total = loss.rec_weight * means["rec"] + loss.noise_weight * means["noise"] + loss.cls_weight * means["cls"]
    if objective == "both":
        total += loss.consistency_weight * sum(gap) / len(gap)
    return means | {"total": total}


@every_objective
@pytest.mark.parametrize("weighting", ["simple", "exact"])
@pytest.mark.parametrize(
    "paper", [{}, {"rec_rows": "photo", "cls_fade": False, "consistency_weight": 0.0}], ids=["default", "paper"]
)
def test_losses_equal_a_loop_over_rows(objective: str, weighting: str, paper: dict[str, Any]) -> None:
    weights = {"rec_weight": 0.7, "noise_weight": 1.3, "cls_weight": 0.2, "consistency_weight": 0.3} | paper
    model, rows = revcd(settings(objective, weighting=weighting, drop_condition=0.3, **weights)), batch()

    step = run_step(model, rows)

    slow = slow_losses(model, step, rows)
    assert 0 < int(step.kept.sum()) < len(rows[0])
    for name in Losses._fields:
        assert float(getattr(step.losses, name).detach()) == pytest.approx(slow[name], rel=1e-5)


@every_objective
def test_two_passes_drop_conditions_for_the_noise_loss_alone(objective: str) -> None:
    def losses(**changed: object) -> Losses:
        return run_step(revcd(settings(objective, cls_weight=0.2, **changed)), batch()).losses

    masked, two_pass = losses(drop_condition=0.3, rec_rows="photo"), losses(drop_condition=0.3, drop="two-pass")
    nothing_dropped = losses(drop_condition=0.0)
    torch.testing.assert_close(two_pass.noise, masked.noise)
    torch.testing.assert_close((two_pass.rec, two_pass.cls), (nothing_dropped.rec, nothing_dropped.cls))
    assert float(two_pass.rec) != float(masked.rec)


@pytest.mark.parametrize("objective", ["v", "x0", "eps"])
def test_with_one_head_the_consistency_loss_is_zero(objective: str) -> None:
    generator = torch.Generator().manual_seed(0)
    output, s_t = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    alpha_bar = torch.rand(6, 1, generator=generator, dtype=torch.float64)
    estimate = to_estimate(objective, output, s_t, alpha_bar)
    assert float(consistency(estimate, s_t, alpha_bar)) < 1e-24


def test_simple_v_loss_is_the_mean_squared_velocity_error_if_no_row_is_dropped() -> None:
    model, rows = revcd(settings("v", drop_condition=0.0)), batch()

    step = run_step(model, rows)

    alpha_bar = model.schedule.alphas_cumprod[step.t, None].double()
    v = alpha_bar.sqrt() * step.eps - (1 - alpha_bar).sqrt() * rows[1]
    torch.testing.assert_close(step.losses.total.detach(), (step.output - v).square().mean())


class Oracle(RevCD):
    """A network that outputs the true clean vectors of its batch."""

    clean: Tensor

    def estimate(self, s_t: Tensor, t: Tensor, c: Tensor) -> Estimate:
        alpha_bar = self.schedule.alpha_bar(t, s_t)
        return Estimate(self.clean, (s_t - alpha_bar.sqrt() * self.clean) / (1 - alpha_bar).sqrt())


@every_objective
@pytest.mark.parametrize("weighting", ["simple", "exact"])
def test_loss_of_a_perfect_prediction_is_zero(objective: str, weighting: str) -> None:
    rows = batch()
    model = Oracle(settings(objective, weighting=weighting), FEATURES, ATTRIBUTES, CLASSES).double()
    model.clean = rows[1]

    losses = training_losses(model, *rows)

    assert float(losses.total) < 1e-18


@pytest.mark.parametrize(("weighting", "first"), [("simple", 1), ("exact", 2)])
def test_times_are_drawn_uniformly_from_those_with_nonzero_weight(weighting: str, first: int) -> None:
    rows = batch(8000)

    t = run_step(revcd(settings(weighting=weighting)), rows).t

    counts = torch.bincount(t, minlength=TIMESTEPS + 1)
    expected = 8000 / (TIMESTEPS - first + 1)
    assert counts[:first].sum() == 0
    assert len(counts) == TIMESTEPS + 1
    assert (counts[first:] - expected).abs().max() < 5 * math.sqrt(expected)


def test_noise_is_standard_normal_and_fresh_for_every_row() -> None:
    rows = batch(8000)

    eps = run_step(revcd(settings()), rows).eps

    assert eps.mean(0).abs().max() < 5 / math.sqrt(8000)
    torch.testing.assert_close(eps.T @ eps / 8000, torch.eye(ATTRIBUTES).double(), rtol=0, atol=0.08)


@pytest.mark.parametrize("drop", [0.0, 0.1, 0.6])
def test_conditions_are_dropped_with_their_probability(drop: float) -> None:
    rows = batch(8000)

    kept = run_step(revcd(settings(drop_condition=drop)), rows).kept

    assert float(kept.double().mean()) == pytest.approx(1 - drop, abs=5 * math.sqrt(drop * (1 - drop) / 8000))


@pytest.mark.parametrize(("rec_rows", "counted"), [("photo", False), ("all", True)])
def test_rows_with_a_dropped_condition_count_in_the_noise_loss_and_as_set_in_the_reconstruction_loss(
    rec_rows: str, counted: bool
) -> None:
    model, rows = revcd(settings(drop_condition=0.5, cls_weight=1.0, rec_rows=rec_rows)), batch()
    step = run_step(model, rows)
    # Another description for the dropped rows, and the same random numbers.
    s_0 = torch.where(step.kept[:, None], rows[1], rows[1] + 3)

    changed = run_step(model, (rows[0], s_0, *rows[2:]))

    assert torch.equal(changed.kept, step.kept)
    assert bool((changed.losses.rec - step.losses.rec).abs() > 1e-3) is counted
    torch.testing.assert_close(changed.losses.cls, step.losses.cls)
    assert (changed.losses.noise - step.losses.noise).abs() > 1e-3


@pytest.mark.parametrize(("drop", "reached"), [(0.0, False), (0.5, True)])
def test_gradient_reaches_the_null_condition_through_dropped_rows_only(drop: float, reached: bool) -> None:
    model = revcd(settings(drop_condition=drop, cls_weight=0.5))

    run_step(model, batch()).losses.total.backward()

    assert bool(model.null.grad.abs().max() > 0) is reached


@pytest.mark.parametrize(("rec_rows", "reached"), [("photo", False), ("all", True)])
def test_null_condition_has_a_gradient_from_the_reconstruction_loss_if_all_rows_count(
    rec_rows: str, reached: bool
) -> None:
    model = revcd(settings(drop_condition=0.5, cls_weight=0.5, noise_weight=0.0, rec_rows=rec_rows))

    run_step(model, batch()).losses.total.backward()

    assert bool(model.null.grad.abs().max() > 0) is reached


def test_a_batch_with_only_dropped_conditions_has_finite_losses() -> None:
    model = revcd(settings(drop_condition=0.99, cls_weight=0.5, rec_rows="photo"))
    x, s_0, labels, prototypes = batch()

    step = run_step(model, (x[:2], s_0[:2], labels[:2], prototypes))

    assert not step.kept.any()
    assert (step.losses.rec, step.losses.cls) == (0, 0)
    assert step.losses.total.isfinite()


@pytest.mark.parametrize("objective", ["x0", "eps"])
def test_the_loss_of_the_implied_estimate_weighs_at_most_five_times_that_of_the_predicted_one(objective: str) -> None:
    model, rows = revcd(settings(objective, drop_condition=0.0)), batch(400)

    losses = run_step(model, rows).losses

    predicted, implied = (losses.rec, losses.noise) if objective == "x0" else (losses.noise, losses.rec)
    assert implied <= 5 * predicted * (1 + 1e-9)


def test_class_loss_equals_a_loop_over_rows() -> None:
    _, s_0, labels, prototypes = batch(20)
    guesses = s_0 + 0.5 * torch.randn(s_0.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    per_row = class_loss(guesses, labels, prototypes, 0.2)

    for k in range(20):
        cosines = [float(torch.cosine_similarity(guesses[k], p, dim=0)) / 0.2 for p in prototypes]
        slow = math.log(sum(map(math.exp, cosines))) - cosines[int(labels[k])] if labels[k] >= 0 else 0.0
        assert float(per_row[k]) == pytest.approx(slow)


def test_the_gradient_of_the_class_loss_adds_the_classifier_to_the_score() -> None:
    """Eq. 14: grad log p(s | x, y) = grad log p(s | x) + grad log p(y | s), for p(s | x, y) normalised on a grid."""
    s = torch.randn(1, ATTRIBUTES, dtype=torch.float64).requires_grad_()
    prototypes, label = torch.randn(CLASSES, ATTRIBUTES, dtype=torch.float64), torch.tensor([2])

    def log_p_given_x(s: Tensor) -> Tensor:
        return -(s**2).sum() / 2

    def gradient(value: Tensor) -> Tensor:
        return torch.autograd.grad(value, s)[0]

    log_probabilities = class_log_probabilities(s, prototypes, 0.2)
    torch.testing.assert_close(log_probabilities.exp().sum(-1), torch.ones(1).double())
    joint = gradient(log_p_given_x(s) + class_log_probabilities(s, prototypes, 0.2)[0, 2])  # up to a constant in s
    of_classifier = -gradient(class_loss(s, label, prototypes, 0.2).sum())
    torch.testing.assert_close(joint, gradient(log_p_given_x(s)) + of_classifier)


def test_class_loss_does_not_depend_on_vector_lengths() -> None:
    _, s_0, labels, prototypes = batch(20)
    factors = torch.tensor([[0.1], [1.0], [7.0], [30.0]]).double()

    torch.testing.assert_close(
        class_loss(5 * s_0, labels, factors * prototypes, 0.1), class_loss(s_0, labels, prototypes, 0.1)
    )


def test_batches_of_mixtures_only_have_no_class_loss() -> None:
    x, s_0, labels, prototypes = batch()

    losses = training_losses(revcd(settings(cls_weight=1.0)), x, s_0, torch.full_like(labels, -1), prototypes)

    assert losses.cls == 0
    assert losses.total.isfinite()


def test_class_loss_is_not_computed_if_its_weight_is_zero() -> None:
    assert training_losses(revcd(settings(cls_weight=0.0)), *batch()).cls == 0


def test_only_the_total_loss_has_gradients() -> None:
    losses = training_losses(revcd(settings(cls_weight=1.0)), *batch())

    assert [part.requires_grad for part in losses] == [True, False, False, False]
