"""One trial of a search for settings: the validation part of a training, its networks scored in several ways."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...config import Config, InferenceConfig
from ...data.datasets.dataset import FeaturedDataset
from ...scoring.model import ZeroShotModel
from ..train.run import TrainingRun
from ..train.unit import EpochInfo, TrainingUnit
from ..train.validation import Verdict
from .search_space import scored_variants


class OutOfBudget(Exception):
    """The budget ended within a trial."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialUnit(TrainingUnit):
    """One fold of a trial, whose networks may be scored in several ways."""

    variants: Sequence[InferenceConfig]
    deadline: float | None  # on the monotonic clock

    def check_budget(self) -> None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise OutOfBudget

    def measure(self, model: ZeroShotModel, epoch: int, found: dict[str, Tensor]) -> dict[str, float | None]:
        # The number of the variant takes the place of the epoch, of which only the last one is measured.
        for number, variant in enumerate(self.variants):
            self.check_budget()
            TrainingUnit.measure(replace(self, config=replace(self.config, inference=variant)), model, number, found)
        return {}


class TrialRun(TrainingRun):
    """The validation of one trial; nothing of it is saved."""

    def __init__(
        self,
        dataset: FeaturedDataset,
        config: Config,
        seed: int,
        device: torch.device,
        deadline: float | None,
        n_folds: int,
        *,
        rescored: bool,
        processes: int | None,
    ) -> None:
        self.variants = scored_variants(config.inference) if rescored else [config.inference]
        self.deadline = deadline
        super().__init__(dataset, config, None, seed, device, self._check_budget, processes)
        self.folds = self.folds[:n_folds]
        self.best: tuple[InferenceConfig, str, Verdict]  # way to score, rule, and the verdict on them; after `validate`

    def unit(self, fold: int) -> TrialUnit:
        return TrialUnit(**vars(super().unit(fold)), variants=self.variants, deadline=self.deadline)

    def _check_budget(self, info: EpochInfo) -> None:
        self.unit(info.fold).check_budget()

    def decide(self) -> None:
        verdicts = {
            (number, *choice): self.verdict(number, *choice)
            for number in range(len(self.variants))
            for choice in self.choices
        }
        chosen = max(verdicts, key=lambda key: verdicts[key].merit)  # the first of equals
        self.best = self.variants[chosen[0]], chosen[1], verdicts[chosen]
