"""Training: class-balanced batches, moving average, learning rate, and bitwise equal resuming."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from revcd_cli.config import Config
from revcd_cli.core import trainer as trainer_module
from revcd_cli.core.loss import Losses, training_losses
from revcd_cli.core.model import RevCD
from revcd_cli.core.precondition import class_means, roots
from revcd_cli.core.trainer import ClassBalancedSampler, Trainer, TrainingRows

FEATURES, ATTRIBUTES, CLASSES, ROWS = 8, 5, 3, 24


def rows(n_rows: int = ROWS) -> TrainingRows:
    """Return photos whose features are a linear map of their class's description, plus noise."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(CLASSES, ATTRIBUTES, generator=generator)
    labels = torch.arange(n_rows) % CLASSES
    lift = torch.randn(ATTRIBUTES, FEATURES, generator=generator)
    features = prototypes[labels] @ lift + 0.05 * torch.randn(n_rows, FEATURES, generator=generator)
    return TrainingRows(features, labels, prototypes)


def trainer(
    seed: int = 0,
    norm: str = "layer",
    loss: dict[str, Any] | None = None,
    data: TrainingRows | None = None,
    **train: Any,
) -> Trainer:
    config = Config.from_dict(
        {
            "diffusion": {"timesteps": 20},
            "loss": loss or {},
            "encoder": {"n_tokens": 2, "width": 16, "heads": 2, "feedforward": 16},
            "denoiser": {"width": 16, "time_width": 8, "norm": norm},
            "prototypes": {"components": 4},
            "train": {"epochs": 6, "batch_size": 8} | train,
        }
    )
    torch.manual_seed(seed)
    return Trainer(RevCD(config, FEATURES, ATTRIBUTES, CLASSES), data or rows())


def weights(model: RevCD) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def saved(of: Trainer) -> dict[str, Tensor]:
    """Return a copy of the state, because training changes its tensors in place."""
    return {name: value.clone() for name, value in of.state().items()}


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


def batches(of: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return the (x, s_0, labels) of each step of one epoch; the real steps run."""
    seen = []

    def record(model: RevCD, x: Tensor, s_0: Tensor, labels: Tensor, prototypes: Tensor) -> Losses:
        seen.append((x, s_0, labels))
        return training_losses(model, x, s_0, labels, prototypes)

    monkeypatch.setattr(trainer_module, "training_losses", record)
    of.run_epoch(0, seed=1)
    return seen


def test_classes_are_drawn_equally_often_regardless_of_their_size() -> None:
    labels = torch.tensor([7] * 1000 + [2] * 10 + [5] * 1)
    labels = labels[torch.randperm(1011, generator=torch.Generator().manual_seed(0))]
    torch.manual_seed(0)

    drawn = labels[ClassBalancedSampler(labels).draw(30_000)]

    for c in (7, 2, 5):
        assert int((drawn == c).sum()) == pytest.approx(10_000, abs=4 * math.sqrt(30_000 * 2 / 9))


def test_rows_of_a_class_are_drawn_equally_often() -> None:
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, 0])
    torch.manual_seed(0)

    counts = torch.bincount(ClassBalancedSampler(labels).draw(30_000), minlength=8)

    for row in range(8):
        expected = 15_000 / (5 if labels[row] == 0 else 3)
        assert int(counts[row]) == pytest.approx(expected, abs=5 * math.sqrt(expected))


def test_batches_hold_photos_with_their_own_preconditioned_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    one, data = trainer(), rows()
    z = one.ema.precondition(data.prototypes)

    seen = batches(one, monkeypatch)

    assert [len(x) for x, _, _ in seen] == [8] * (ROWS // 8)
    for x, s_0, labels in seen:
        for photo, description, label in zip(x, s_0, labels, strict=True):
            (row,) = (one.inputs == photo).all(-1).nonzero()[:, 0].tolist()
            assert data.labels[row] == label
            assert torch.equal(description, z[label])


def test_an_epoch_has_at_least_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(batches(trainer(batch_size=1000), monkeypatch)) == 1


def test_mixtures_are_convex_combinations_of_two_photos_and_have_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    one, data = trainer(mixup=1.0), rows()
    z = one.ema.precondition(data.prototypes)

    ((x, s_0, labels), *_) = batches(one, monkeypatch)

    assert (labels == -1).all()
    first, second = (index.flatten() for index in torch.meshgrid(torch.arange(ROWS), torch.arange(ROWS), indexing="ij"))
    shares = []
    for photo, description in zip(x, s_0, strict=True):
        # The pair of photos whose segment this mixture lies on, and how far along it.
        along = one.inputs[second] - one.inputs[first]
        share = ((photo - one.inputs[first]) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-9)
        gap = (one.inputs[first] + share[:, None] * along - photo).norm(dim=-1)
        inside = (gap < 1e-4) & (share > -1e-4) & (share < 1 + 1e-4)
        ends, other = z[data.labels[first]], z[data.labels[second]]
        mixed = ends + share[:, None] * (other - ends)
        assert ((mixed - description).norm(dim=-1)[inside] < 1e-3).any()
        shares.append(float(share[inside][0]))
    assert max(shares) - min(shares) > 0.1


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_only_mixtures_have_no_class_and_other_rows_are_unchanged_photos(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = rows(600)
    one = trainer(mixup=share, batch_size=24, data=data)

    seen = batches(one, monkeypatch)

    labels = torch.cat([part for _, _, part in seen])
    assert float((labels == -1).double().mean()) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 600))
    for x, _, part in seen[:3]:
        for photo, label in zip(x, part, strict=True):
            is_photo = (one.inputs == photo).all(-1)
            assert label == -1 or data.labels[is_photo].tolist() == [label]


def test_moving_average_has_its_closed_form() -> None:
    one = trainer(ema_decay=0.3, batch_size=ROWS)
    average = weights(one.model)

    for epoch in range(6):
        one.run_epoch(epoch, seed=epoch)
        decay = min(0.3, (1 + epoch) / (10 + epoch))  # rises from 0.1 and reaches its bound
        for name, now in one.model.state_dict().items():
            average[name] = decay * average[name] + (1 - decay) * now
        for name, value in one.ema.state_dict().items():
            torch.testing.assert_close(value, average[name])


def test_the_moving_average_has_no_gradients_and_is_in_evaluation_mode() -> None:
    one = trainer()
    one.run_epoch(0, seed=1)

    assert one.model.training
    assert not one.ema.training
    assert not any(parameter.requires_grad for parameter in one.ema.parameters())


def test_moving_average_follows_the_statistics_of_batch_norm() -> None:
    one = trainer(norm="batch", ema_decay=0.0)
    one.run_epoch(0, seed=1)

    assert_same(one.ema.state_dict(), one.model.state_dict())
    assert one.ema.denoiser.encoder[0].norm.num_batches_tracked == ROWS // 8


@pytest.mark.parametrize("epochs", [1, 4])
def test_the_learning_rate_follows_a_half_cosine_from_its_full_value(epochs: int) -> None:
    one = trainer(epochs=epochs, batch_size=ROWS, learning_rate=0.01)

    for epoch in range(epochs):
        one.run_epoch(epoch, seed=epoch)
        rate = one.optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(0.01 * math.cos(math.pi * epoch / epochs / 2) ** 2)


def test_the_learning_rate_decreases_within_an_epoch_too() -> None:
    one = trainer(epochs=2, learning_rate=0.01)  # three steps each

    one.run_epoch(1, seed=0)

    assert one.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * (1 + math.cos(math.pi * 5 / 6)) / 2)


def test_gradients_are_clipped_to_the_configured_norm() -> None:
    one = trainer(gradient_clip=1e-3)
    one.run_epoch(0, seed=1)

    norm = torch.stack([p.grad.norm() for p in one.model.parameters() if p.grad is not None]).norm()

    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_epoch_losses_are_means_over_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(*arguments: Any) -> Losses:
        seen.append(training_losses(*arguments))
        return seen[-1]

    monkeypatch.setattr(trainer_module, "training_losses", record)
    losses = trainer(loss={"cls_weight": 0.1}).run_epoch(0, seed=1)

    assert len(seen) == ROWS // 8
    for name in Losses._fields:
        mean = sum(float(getattr(step, name).detach()) for step in seen) / len(seen)
        assert float(getattr(losses, name)) == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_equal_seeds_train_equal_weights_and_other_seeds_do_not(norm: str) -> None:
    runs = [trainer(norm=norm) for _ in range(3)]
    for one, seed in zip(runs, (1, 1, 2), strict=True):
        for epoch in range(2):
            one.run_epoch(epoch, seed=10 * seed + epoch)

    assert_same(runs[0].state(), runs[1].state())
    assert not torch.equal(runs[0].ema.null, runs[2].ema.null)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("stop", [0, 1, 2])
def test_a_restored_training_continues_bit_for_bit(norm: str, stop: int) -> None:
    whole = trainer(norm=norm, mixup=0.3)
    for epoch in range(stop):
        whole.run_epoch(epoch, seed=epoch)
    state = saved(whole)

    resumed = trainer(seed=99, norm=norm, mixup=0.3)
    resumed.restore(state)
    for epoch in range(stop, 4):
        ours, theirs = whole.run_epoch(epoch, seed=epoch), resumed.run_epoch(epoch, seed=epoch)
        assert torch.equal(torch.stack(list(ours)), torch.stack(list(theirs)))

    assert_same(whole.state(), resumed.state())


def test_an_epoch_depends_on_its_seed_and_not_on_earlier_random_numbers() -> None:
    runs = [trainer() for _ in range(2)]
    for one, draws in zip(runs, (0, 17), strict=True):
        torch.randn(draws)
        one.run_epoch(0, seed=3)

    assert_same(runs[0].state(), runs[1].state())


def test_preconditioning_is_fitted_on_the_training_rows() -> None:
    one, data = trainer(), rows()

    torch.testing.assert_close(one.model.preconditioner.mean, data.prototypes.mean(0))
    of_classes = class_means(roots(data.features), data.labels, CLASSES)
    torch.testing.assert_close(one.model.scaler.shift, of_classes.mean(0))
    torch.testing.assert_close(one.inputs, one.model.scaler(data.features))


def test_training_lowers_the_loss_and_the_condition_helps() -> None:
    one, data = trainer(epochs=120, learning_rate=0.01, batch_size=ROWS), rows()

    first, *_, last = [float(one.run_epoch(epoch, seed=epoch).total) for epoch in range(120)]

    assert last < 0.5 * first
    c, s_t = one.ema.encode(data.features), torch.randn(ROWS, ATTRIBUTES, generator=torch.Generator().manual_seed(5))
    s_0, t = one.z[data.labels], torch.tensor(20)
    with_photo, without = (one.ema.estimate(s_t, t, condition).s_0 for condition in (c, one.ema.null))
    assert (with_photo - s_0).square().mean() < 0.3 * (without - s_0).square().mean()
