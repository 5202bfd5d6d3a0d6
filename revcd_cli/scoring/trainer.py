"""Training of a zero-shot model: all its networks, epoch by epoch, each independent of the others."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.loss import Losses
from ..core.trainer import Trainer, TrainingRows
from .model import ZeroShotModel

_PROTOTYPES = "prototypes"  # prefix of their tensors in a state; that of a network is its number


class ModelTrainer:
    """Trains every network of a model and fits its visual prototypes. `ema` is the model that is kept."""

    def __init__(self, model: ZeroShotModel, rows: TrainingRows) -> None:
        self.trainers = [Trainer(network, rows) for network in model.networks]
        if model.prototypes is not None:
            model.prototypes.fit(rows.features, rows.labels, rows.prototypes)
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
        for number, trainer in enumerate(self.trainers):
            trainer.restore(states[str(number)])
