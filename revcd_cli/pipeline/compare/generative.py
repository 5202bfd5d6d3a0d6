"""RevCD and the generators it is compared with in Table 2, each trained by the protocol of `revcd train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...baselines.cvae import ConditionalVAE
from ...baselines.gan import ConditionalGAN
from ...baselines.generative import GenerativeBaseline
from ...baselines.generative_trainer import GANTrainer, GenerativeTrainer
from ...config import Config
from ...core.trainer import Trainer
from ...data.datasets.dataset import FeaturedDataset
from ...scoring.calibration import score_unit
from ...scoring.model import ZeroShotModel
from ...scoring.rows import score_rows
from ...scoring.trainer import ModelTrainer
from ..evaluate.evaluate import score_split
from ..evaluate.split_scores import SplitScores
from ..train.run import TrainingRun
from ..train.unit import TrainingUnit
from ..train.validation import unit_rows
from .fitted import Fitted

_GENERATIVE: dict[str, tuple[type[GenerativeBaseline], type[GenerativeTrainer]]] = {
    "cvae": (ConditionalVAE, GenerativeTrainer),
    "gan": (ConditionalGAN, GANTrainer),
}
TRAINED = ("revcd", "revcd-cosine", *_GENERATIVE)


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodUnit(TrainingUnit):
    """One training of any method."""

    method: str

    def untrained(self) -> ZeroShotModel | GenerativeBaseline:
        model = super().untrained()
        if self.method not in _GENERATIVE:
            return model
        return _GENERATIVE[self.method][0](model.networks[0]).to(self.device)

    def make_trainer(self) -> ModelTrainer | Trainer:
        if self.method not in _GENERATIVE:
            return super().make_trainer()
        return _GENERATIVE[self.method][1](self.untrained(), self.rows())

    def fit_units(self, model: ZeroShotModel | GenerativeBaseline) -> None:
        if self.method not in _GENERATIVE:
            super().fit_units(model)
            return
        rows, prototypes = unit_rows(self.split), torch.from_numpy(self.dataset.classes.values[self.classes])
        model.unit.fill_(1)
        usual = score_rows(model, self.dataset.features[rows], prototypes, self.config.inference, seed=self.seed)
        model.unit.fill_(score_unit(usual))

    def draw_attributes(self, model: ZeroShotModel | GenerativeBaseline, epoch: int, found: dict[str, Tensor]) -> None:
        """Nothing is told of attributes here: methods are compared by their answers."""


class _MethodRun(TrainingRun):
    """The training of a model, for any method; nothing of it is saved."""

    def __init__(
        self,
        dataset: FeaturedDataset,
        config: Config,
        method: str,
        seed: int,
        device: torch.device,
        processes: int | None,
    ) -> None:
        super().__init__(dataset, config, None, seed, device, processes=processes)
        self.method = method

    def unit(self, fold: int) -> MethodUnit:
        return MethodUnit(**vars(super().unit(fold)), method=self.method)


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
    dataset: FeaturedDataset,
    config: Config,
    method: str,
    seed: int,
    device: torch.device,
    *,
    final: bool = True,
    processes: int | None = 1,
    on_note: Callable[[str], None] | None = None,
) -> Fitted:
    """Train one method with one seed: "revcd" as configured, all others as `single_network` has it.

    final: train on all of trainval too; without it there are the figures of validation alone. Reads no test photo.
    processes: as for `train`.
    """
    if method != "revcd":
        config = single_network(config)
    with torch.random.fork_rng():
        run = _MethodRun(dataset, config, method, seed, device, processes)
        run.validate(on_note or (lambda text: None), ahead=final)
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
