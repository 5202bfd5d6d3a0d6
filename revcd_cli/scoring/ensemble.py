"""Several RevCD networks as one model: one for each view of the descriptions, and more of each with other seeds.

Networks that see the same descriptions standardised and whitened make different mistakes on classes without photos,
far more so than networks that differ by their seed alone (docs/results.md).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..config import Config
from ..core.model import RevCD
from ..core.trainer import Losses, Trainer, TrainingRows


class Ensemble(nn.Module):
    """Members whose scores are averaged; each has its own preconditioning and weights."""

    def __init__(self, config: Config, members: list[RevCD]) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(members)


def member_configs(config: Config) -> list[Config]:
    """Return the settings of each network: every view of the descriptions, `train.members` times.

    Visual prototypes depend on neither view nor seed, so the first network has them for all.
    """
    views = [
        replace(config, precondition=replace(config.precondition, kind=kind)) for kind in config.precondition.views
    ]
    first, *others = views * config.train.members
    without = replace(config.prototypes, components=0)
    rule = replace(config.inference, rule="auto")  # the ensemble's own decides
    return [first, *(replace(other, prototypes=without, inference=rule) for other in others)]


def build_model(
    config: Config, feature_dim: int, n_attributes: int, n_classes: int, n_spatial: int = 0
) -> RevCD | Ensemble:
    """Return the untrained model that the settings describe: one network, or an ensemble of several (see `RevCD`)."""
    members = [RevCD(each, feature_dim, n_attributes, n_classes, n_spatial) for each in member_configs(config)]
    return members[0] if len(members) == 1 else Ensemble(config, members)


def members_of(model: RevCD | Ensemble) -> list[RevCD]:
    """Return the networks of a model, one or several."""
    return list(model.members) if isinstance(model, Ensemble) else [model]


@torch.no_grad()
def round_weights(model: nn.Module) -> None:
    """Round weight matrices to what 16 bits hold, which halves a model's file and is less than training's own noise."""
    for parameter in model.parameters():
        rounded = parameter.half().to(parameter)
        if parameter.ndim > 1 and rounded.isfinite().all():
            parameter.copy_(rounded)


class EnsembleTrainer:
    """Trains the members of an ensemble side by side, epoch by epoch. `ema` is the ensemble that is kept."""

    def __init__(self, model: Ensemble, rows: TrainingRows) -> None:
        self.trainers = [Trainer(member, rows) for member in model.members]
        self.ema = Ensemble(model.config, [trainer.ema for trainer in self.trainers])

    def run_epoch(self, epoch: int, seed: int) -> Losses:
        """Train every member for one epoch (counted from 0) with a seed of its own; return their mean losses."""
        losses = [trainer.run_epoch(epoch, seed + number) for number, trainer in enumerate(self.trainers)]
        return Losses(*(torch.stack(parts).mean() for parts in zip(*losses, strict=True)))

    def state(self) -> dict[str, Tensor]:
        """Return every tensor that the next epoch depends on, by flat name."""
        return {
            f"{number}/{name}": value
            for number, trainer in enumerate(self.trainers)
            for name, value in trainer.state().items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        for number, trainer in enumerate(self.trainers):
            prefix = f"{number}/"
            own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            trainer.restore(own)


def build_trainer(model: RevCD | Ensemble, rows: TrainingRows) -> Trainer | EnsembleTrainer:
    """Return what trains a model of this kind."""
    return EnsembleTrainer(model, rows) if isinstance(model, Ensemble) else Trainer(model, rows)
