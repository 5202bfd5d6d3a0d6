"""Training of a zero-shot model: its visual prototypes, then all its networks, each independent of the others."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.loss import Losses
from ..core.trainer import Trainer, TrainingRows
from .model import ZeroShotModel
from .prototypes.simulated_classes import SimulatedClasses

# Prefixes of the tensors in a state; that of a network of the diffusion is its number.
_PROTOTYPES, _CLASS_NETWORK = "prototypes", "class_network"


class ModelTrainer:
    """Fits a model's visual prototypes and class network, and trains every network on photos and simulated classes.

    `ema` is the model that is kept.
    """

    def __init__(self, model: ZeroShotModel, rows: TrainingRows, kinds: Tensor | None = None) -> None:
        """kinds: of the classes (C,), see `class_noise`; by default all have photos."""
        self.rows, self.kinds = rows, kinds
        if model.prototypes is not None:
            model.prototypes.fit(rows.features, rows.labels, rows.prototypes, kinds=kinds)
        simulated = self._simulated(model)
        if model.class_network is not None:
            model.class_network.fit(rows, simulated)
        source = simulated if model.config.simulation.share > 0 else None
        self.trainers = [Trainer(network, rows, source) for network in model.networks]
        networks = [trainer.ema for trainer in self.trainers]
        self.ema = ZeroShotModel(model.config, networks, model.prototypes, model.class_network)
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
        if self.ema.class_network is not None:
            states[_CLASS_NETWORK] = self.ema.class_network.state_dict()
        return {f"{part}/{name}": value for part, state in states.items() for name, value in state.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from the tensors that `state` returned."""
        states: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition("/")
            states.setdefault(part, {})[rest] = value
        if self.ema.prototypes is not None:
            self.ema.prototypes.load_state_dict(states[_PROTOTYPES])
        if self.ema.class_network is not None:
            self.ema.class_network.load_state_dict(states[_CLASS_NETWORK])
        simulated = self._simulated(self.ema)
        for number, trainer in enumerate(self.trainers):
            trainer.restore(states[str(number)])
            trainer.source = None if trainer.source is None else simulated

    def _simulated(self, model: ZeroShotModel) -> SimulatedClasses | None:
        """Return the simulated classes of the fitted prototypes; None if there are none, or if nothing needs them."""
        config = model.config
        needed = config.simulation.share > 0 or model.class_network is not None
        if model.prototypes is None or not needed:
            return None
        return SimulatedClasses(config.simulation, model.prototypes, self.rows, self.kinds)
