"""Train RevCD or a generative baseline of Table 2 (cvae, gan) with the validation protocol of `revcd train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

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
from ...scoring.rows import score_rows
from ...scoring.trainer import ModelTrainer
from ..evaluate.evaluate import score_split
from ..evaluate.split_scores import SplitScores
from ..known_classes.training_rows import class_kinds
from ..train.run import TrainingRun
from ..train.unit import TrainingUnit
from ..train.validation import score_unit_rows
from .fitted import Fitted
from .simulated_rows import PROTOTYPES, SIMULATION, SUFFIX, simulated_classes

_GENERATIVE: dict[str, tuple[type[GenerativeBaseline], type[GenerativeTrainer]]] = {
    "cvae": (ConditionalVAE, GenerativeTrainer),
    "gan": (ConditionalGAN, GANTrainer),
}
_SINGLE = ("revcd-cosine", *_GENERATIVE)
TRAINED = ("revcd", *_SINGLE, *(name + SUFFIX for name in _SINGLE))


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodUnit(TrainingUnit):
    """One training of RevCD or of a generative baseline."""

    method: str

    @property
    def generative(self) -> tuple[type[GenerativeBaseline], type[GenerativeTrainer]] | None:
        """The classes of a generative baseline and of its trainer."""
        return _GENERATIVE.get(self.method.removesuffix(SUFFIX))

    # The model is a `ZeroShotModel`, or a `GenerativeBaseline` made from its first network.
    def untrained(self) -> Any:
        model = super().untrained()
        return model if self.generative is None else self.generative[0](model.networks[0]).to(self.device)

    def make_trainer(self) -> ModelTrainer | Trainer:
        if self.generative is None:
            return super().make_trainer()
        rows, source = self.rows(), None
        if self.config.simulation.share > 0:
            kinds, tokens = class_kinds(self.dataset, self.split), self.dataset.backbone.tokens
            source = simulated_classes(rows, kinds, max(tokens, 1))
        return self.generative[1](self.untrained(), rows, source)

    def fit_units(self, model: Any) -> None:
        if self.generative is None:
            super().fit_units(model)
            return
        rows, prototypes = score_unit_rows(self.split), torch.from_numpy(self.dataset.classes.values[self.classes])
        model.unit.fill_(1)
        usual = score_rows(model, self.dataset.features[rows], prototypes, self.config.inference, seed=self.seed)
        model.unit.fill_(score_unit(usual))

    def draw_attributes(self, model: Any, epoch: int, found: dict[str, Tensor]) -> None:
        """Skip the sampled attributes: a comparison does not use them."""


class MethodRun(TrainingRun):
    """A training of any method; it saves nothing."""

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


def settings_of(method: str, config: Config) -> Config:
    """Return the settings with which a method is trained: for all but "revcd", those of a single network."""
    return config if method == "revcd" else single_network(config, simulated=method.endswith(SUFFIX))


def single_network(config: Config, simulated: bool = False) -> Config:
    """Return the settings of a single network with the cosine rule, as compared in Table 2.

    simulated: a share of each batch are photos of simulated classes.
    """
    return replace(
        config,
        precondition=replace(config.precondition, kind=config.precondition.views[0]),
        prototypes=PROTOTYPES if simulated else replace(config.prototypes, components=0),
        simulation=SIMULATION if simulated else replace(config.simulation, share=0.0),
        class_network=replace(config.class_network, width=0),
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
    """Train one method with one seed, with `settings_of` it.

    final: also train on all of trainval; without it, only validation metrics are returned. Reads no test photos.
    processes: as for `train`.
    """
    config = settings_of(method, config)
    with torch.random.fork_rng():
        run = MethodRun(dataset, config, method, seed, device, processes)
        run.validate(on_note or (lambda text: None), ahead=final)
        model = run.finish() if final else None
    progress = run.progress
    inference = run.inference
    settings: dict[str, Any] = {"rule": progress.rule, "epochs": run.epochs}
    if progress.rule == "joint":
        settings["prototype_share"] = progress.prototype_share
    if progress.rule in ("prototype", "joint"):
        settings["network_share"] = progress.network_share

    def scores(candidates: np.ndarray) -> SplitScores:
        if model is None:
            raise ValueError("test scores need the final training")
        return score_split(model, dataset, dataset.split, inference, seed=seed, candidates=candidates)

    return Fitted(
        settings=settings,
        gamma=progress.calibrations.get(progress.rule, {}).get("gamma", 0.0),
        validation={name: value for name, value in progress.best.items() if name != "folds"},
        scores=scores,
        model=model,
    )
