"""The optimisation of Algorithm 1: class-balanced batches, AdamW, learning-rate decay, exponential moving average.

All data are on one device, without a data loader. The random numbers of an epoch depend on its seed alone, so training
that is resumed between two epochs gives the same weights as without the interruption.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from .loss import Losses, training_losses
from .model import ConditionalModel, RevCD

Model = TypeVar("Model", bound=ConditionalModel)
_ROWS_AT_ONCE = 1024  # rows scaled together, which bounds memory


@dataclass(frozen=True)
class TrainingRows:
    """Training photos of the seen classes: features (N, D), labels (N,) into the raw prototypes (C, A)."""

    features: Tensor
    labels: Tensor
    prototypes: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class RowSource(Protocol):
    """A source of further training rows, each with a description of its own, drawn anew for every batch."""

    def draw(self, rows: int) -> tuple[Tensor, Tensor]:
        """Return features (rows, D) and raw descriptions (rows, A), by torch's global generator."""
        ...


class ClassBalancedSampler:
    """Draws a class uniformly, then one of its rows, because the metric is a mean over classes and not over photos."""

    def __init__(self, labels: Tensor) -> None:
        _, inverse, self.counts = labels.unique(return_inverse=True, return_counts=True)
        self.order = inverse.argsort(stable=True)
        self.starts = self.counts.cumsum(0) - self.counts

    def draw(self, rows: int) -> Tensor:
        """Return row numbers (rows,)."""
        device = self.order.device
        group = torch.randint(len(self.counts), (rows,), device=device)
        within = (torch.rand(rows, device=device) * self.counts[group]).long()
        rows_drawn: Tensor = self.order[self.starts[group] + within.minimum(self.counts[group] - 1)]
        return rows_drawn


def learning_rate_factor(schedule: str, progress: float) -> float:
    """Return the factor of the learning rate at a progress of 0..1, from 1 at the start to 0 at the end."""
    return (1 + math.cos(math.pi * progress)) / 2 if schedule == "cosine" else 1 - progress


def moving_tensors(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the tensors that training changes (weights, batch statistics), and the counters of batch normalisation."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    statistics = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None]
    counters = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
    return [*model.parameters(), *statistics], counters


class Trainer(Generic[Model]):
    """Trains one network (Algorithm 1); `ema` is its exponential moving average.

    The learning rate decays over `train.epochs`.

    source: of a share of each batch, `simulation.share`. The paper has none: all rows are photos of seen classes.
    """

    def __init__(self, model: Model, rows: TrainingRows, source: RowSource | None = None) -> None:
        self.model, self.rows, self.source = model.train(), rows, source
        self.settings = model.config.train
        model.fit_preprocessing(rows.features, rows.labels, rows.prototypes)
        self.z = model.precondition(rows.prototypes)
        # The scaler is not trained, so features are scaled once and not at every step.
        self.inputs = torch.cat([model.scaler(part) for part in rows.features.split(_ROWS_AT_ONCE)])
        self.ema = copy.deepcopy(model).eval().requires_grad_(False)
        self._moving, self._averages = moving_tensors(model), moving_tensors(self.ema)
        self.sampler = ClassBalancedSampler(rows.labels)
        self._weights = list(model.parameters())
        # Fused: one pass over the weights instead of eight.
        self.optimizer = torch.optim.AdamW(
            self._weights, lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay, fused=True
        )
        self.steps_per_epoch = max(1, len(rows) // self.settings.batch_size)

    def run_epoch(self, epoch: int, seed: int) -> Losses:
        """Train for one epoch (counted from 0) and return its mean losses, which the caller checks for NaN."""
        torch.manual_seed(seed)
        sums = torch.zeros(len(Losses._fields), device=self.z.device)
        for step in range(self.steps_per_epoch):
            done = epoch * self.steps_per_epoch + step
            progress = done / (self.settings.epochs * self.steps_per_epoch)
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * learning_rate_factor(self.settings.lr_schedule, progress)
            losses = self._losses()
            self._descend(losses.total)
            # EMA warm-up: the first averages must not keep the untrained weights.
            self._update_ema(min(self.settings.ema_decay, (1 + done) / (10 + done)))
            sums += torch.stack([part.detach() for part in losses])
        return Losses(*(sums / self.steps_per_epoch))

    def _losses(self) -> Losses:
        assert isinstance(self.model, RevCD)  # trainers of other models have their own losses
        x, s_0, labels = self._batch()
        return training_losses(self.model, x, s_0, labels, self.z)

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._weights, self.settings.gradient_clip, foreach=True)
        self.optimizer.step()

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return scaled features (B, width), preconditioned descriptions (B, A), and labels (B,), -1 for none."""
        if self.source is None:
            return self._photos(self.settings.batch_size)
        further = round(self.model.config.simulation.share * self.settings.batch_size)
        x, s_0, labels = self._photos(self.settings.batch_size - further)
        features, s = self.source.draw(further)
        return (
            torch.cat([x, self.model.scaler(features)]),
            torch.cat([s_0, self.model.precondition(s)]),
            torch.cat([labels, labels.new_full((further,), -1)]),
        )

    def _photos(self, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `_batch` does, of training photos; with mixup, some are mixtures of two, with the label -1."""
        chosen = self.sampler.draw(rows)
        x, labels = self.inputs[chosen], self.rows.labels[chosen]
        s_0 = self.z[labels]
        if self.settings.mixup == 0:
            return x, s_0, labels
        # Mixup: the same convex combination of two photos and of their descriptions.
        partner = torch.randperm(len(x), device=x.device)
        mixed = torch.rand(len(x), 1, device=x.device) < self.settings.mixup
        share = torch.where(mixed, torch.rand(len(x), 1, device=x.device), 1.0)
        labels = torch.where(mixed[:, 0], -1, labels)
        return torch.lerp(x[partner], x, share), torch.lerp(s_0[partner], s_0, share), labels

    @torch.no_grad()
    def _update_ema(self, decay: float) -> None:
        (kept, kept_counts), (now, counts) = self._averages, self._moving
        torch._foreach_lerp_(kept, now, 1 - decay)
        if counts:
            torch._foreach_copy_(kept_counts, counts)

    def state(self) -> dict[str, Tensor]:
        """Return every tensor that the next epoch depends on, by flat name."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"ema.{name}": value for name, value in self.ema.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from the tensors that `state` returned."""
        sections: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}}
        for name, value in tensors.items():
            section, _, rest = name.partition(".")
            sections[section][rest] = value.clone()  # trainers must not share tensors
        self.model.load_state_dict(sections["model"])
        self.ema.load_state_dict(sections["ema"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in sections["optimizer"].items():
            index, _, kind = name.partition(".")
            moments.setdefault(int(index), {})[kind] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
