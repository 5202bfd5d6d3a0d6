"""Training of a zero-shot model: its visual prototypes, then all its networks, each independent of the others."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.loss import Losses
from ..core.trainer import Trainer, TrainingRows
from .model import ZeroShotModel
from .prototypes.simulated_classes import SimulatedClasses

_PROTOTYPES = "prototypes"  # prefix of their tensors in a state; that of a network is its number


class ModelTrainer:
    """Fits a model's visual prototypes, and trains every network on photos and on classes that these simulate.

    `ema` is the model that is kept.
    """

    def __init__(self, model: ZeroShotModel, rows: TrainingRows, kinds: Tensor | None = None) -> None:
        """kinds: of the classes (C,), see `class_noise`; by default all have photos."""
        self.rows = rows
        if model.prototypes is not None:
            model.prototypes.fit(rows.features, rows.labels, rows.prototypes, kinds=kinds)
        source = self._source(model)
        self.trainers = [Trainer(network, rows, source) for network in model.networks]
        self.ema = ZeroShotModel(model.config, [trainer.ema for trainer in self.trainers], model.prototypes)
        self.ema.to(rows.features.device).eval()

    def run_epoch(self, epoch: int, seed: int) -> Losses:
        """Train every network for one epoch (counted from 0) with its own seed; return their mean losses."""
        losses = [trainer.run_epoch(epoch, seed + number) for number, trainer in enumerate(self.trainers)]
        return Losses(*(torch.stack(parts).mean() for parts in zip(*losses, strict=True)))

    def state(self) -> dict[str, Tensor]:
        """Return every tensor that the next epoch depends on, by flat name."""
        states = {str(number): trainer.state() for number, trainer in enumerate(self.trainers)}
        if self.ema.prototypes is not None:
            states[_PROTOTYPES] = self.ema.prototypes.state_dict()
        return {f"{part}/{name}": value for part, state in states.items() for name, value in state.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from the tensors that `state` returned."""
        states: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition("/")
            states.setdefault(part, {})[rest] = value
        if self.ema.prototypes is not None:
            self.ema.prototypes.load_state_dict(states[_PROTOTYPES])
        source = self._source(self.ema)
        for number, trainer in enumerate(self.trainers):
            trainer.restore(states[str(number)])
            trainer.source = source

    def _source(self, model: ZeroShotModel) -> SimulatedClasses | None:
        """Return the source of simulated classes, of which each network draws its own; None without them."""
        settings = model.config.simulation
        if model.prototypes is None or settings.share == 0:
            return None
        return SimulatedClasses(settings, model.prototypes, self.rows)
