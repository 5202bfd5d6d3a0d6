"""One trial of a hyperparameter search: validation without the final training, scored with several settings."""

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
from ..train.validation import ValidationResult
from .rescoring import scored_variants


class OutOfBudget(Exception):
    """The time budget ended within a trial."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialUnit(TrainingUnit):
    """One validation fold of a trial. Its networks are scored with each of `variants`."""

    variants: Sequence[InferenceConfig]
    deadline: float | None  # on the monotonic clock

    def check_budget(self) -> None:
        """Raise `OutOfBudget` after the deadline."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise OutOfBudget

    def measure(self, model: ZeroShotModel, epoch: int, found: dict[str, Tensor]) -> dict[str, float | None]:
        """Score the networks with each variant. Only the last epoch is measured: keys hold the variant's number."""
        for number, variant in enumerate(self.variants):
            self.check_budget()
            TrainingUnit.measure(replace(self, config=replace(self.config, inference=variant)), model, number, found)
        return {}


class TrialRun(TrainingRun):
    """The validation of one trial; it saves nothing.

    deadline: on the monotonic clock; n_folds: the first folds of validation; rescored: try all inference settings.
    """

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
        self.variants = scored_variants(config) if rescored else [config.inference]
        self.deadline = deadline
        super().__init__(dataset, config, None, seed, device, self._check_budget, processes)
        self.folds = self.folds[:n_folds]
        self.best: tuple[InferenceConfig, str, ValidationResult]  # settings, rule, metrics; after `validate`

    def unit(self, fold: int) -> TrialUnit:
        return TrialUnit(**vars(super().unit(fold)), variants=self.variants, deadline=self.deadline)

    def _check_budget(self, info: EpochInfo) -> None:
        self.unit(info.fold).check_budget()

    def decide(self) -> None:
        """Choose the inference settings and the rule with the best validation metrics."""
        verdicts = {
            (number, choice): self.verdict(number, choice)
            for number in range(len(self.variants))
            for choice in self.choices
        }
        number, choice = max(verdicts, key=lambda key: verdicts[key].merit)  # ties: the first
        self.best = self.variants[number], choice.rule, verdicts[number, choice]
