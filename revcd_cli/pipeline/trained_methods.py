"""RevCD and the generators it is compared with in Table 2, each trained by the protocol of `revcd train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..config import Config
from ..core.calibrate import score_unit
from ..core.cvae import ConditionalVAE
from ..core.ensemble import Ensemble
from ..core.gan import ConditionalGAN
from ..core.model import RevCD
from ..core.rival_trainer import GANTrainer, RivalTrainer
from ..core.rivals import Rival
from ..core.trainer import Trainer
from ..data.dataset import Dataset
from ..data.splits import Split
from .evaluate import score_split
from .fitted import Fitted
from .scoring import score_rows
from .split_scores import SplitScores
from .training_run import EpochInfo, TrainingRun
from .validation import unit_rows

_RIVALS: dict[str, tuple[type[Rival], type[RivalTrainer]]] = {
    "cvae": (ConditionalVAE, RivalTrainer),
    "gan": (ConditionalGAN, GANTrainer),
}
TRAINED = ("revcd", "revcd-cosine", *_RIVALS)


class _MethodRun(TrainingRun):
    """The training of a model, for any method; nothing of it is saved."""

    def __init__(self, dataset: Dataset, config: Config, method: str, seed: int, device: torch.device) -> None:
        super().__init__(dataset, config, Path(), seed, device, lambda info: None)
        self.method = method

    def make_trainer(self, split: Split) -> Trainer:
        trainer = super().make_trainer(split)
        if self.method not in _RIVALS:
            return trainer
        rival, trained_by = _RIVALS[self.method]
        return trained_by(rival(trainer.model).to(self.device), trainer.rows)

    def fit_units(self, model: RevCD | Ensemble | Rival, split: Split) -> None:
        if not isinstance(model, Rival):
            super().fit_units(model, split)
            return
        rows, classes = unit_rows(split), np.unique(self.dataset.labels[split.trainval])
        prototypes = torch.from_numpy(self.dataset.classes.values[classes])
        model.unit.fill_(1)
        usual = score_rows(model, self.dataset.features[rows], prototypes, self.config.inference, seed=self.seed)
        model.unit.fill_(score_unit(usual))

    def draw_attributes(self, fold: int, model: RevCD | Ensemble | Rival, epoch: int) -> None:
        """Nothing is told of attributes here: methods are compared by their answers."""

    def finish_epoch(self, trainer: Trainer, info: EpochInfo) -> None:
        self.progress.epochs_done = info.epoch


def single_network(config: Config) -> Config:
    """Return the settings of one diffusion of one view that answers by the cosine rule: what Table 2 compares."""
    return replace(
        config,
        precondition=replace(config.precondition, kind=config.precondition.views[0]),
        prototypes=replace(config.prototypes, components=0),
        inference=replace(config.inference, rule="cosine"),
        train=replace(config.train, members=1),
    )


def fit_trained(
    dataset: Dataset,
    config: Config,
    method: str,
    seed: int,
    device: torch.device,
    *,
    final: bool = True,
    on_note: Callable[[str], None] | None = None,
) -> Fitted:
    """Train one method with one seed: "revcd" as configured, all others as `single_network` has it.

    final: train on all of trainval too; without it there are the figures of validation alone. Reads no test photo.
    """
    if method != "revcd":
        config = single_network(config)
    with torch.random.fork_rng():
        run = _MethodRun(dataset, config, method, seed, device)
        run.validate(on_note or (lambda text: None))
        model = run.finish() if final else None
    progress = run.progress
    inference = replace(config.inference, rule=progress.rule, prototype_share=progress.prototype_share)
    settings = {"rule": progress.rule, "epochs": run.epochs}
    if progress.rule == "joint":
        settings["prototype_share"] = progress.prototype_share

    def scores(candidates: np.ndarray) -> SplitScores:
        return score_split(model, dataset, dataset.split, inference, seed=seed, candidates=candidates)

    return Fitted(
        settings=settings,
        gamma=progress.calibrations.get(progress.rule, {}).get("gamma", 0.0),
        validation={name: value for name, value in progress.best.items() if name != "folds"},
        scores=scores,
        model=model,
    )
