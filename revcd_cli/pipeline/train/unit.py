"""One training of a model: a cross-validation fold, or the final training on all of trainval.

The trainings of a model are independent, so they run sequentially or concurrently (see `parallel`). A unit holds all of
its inputs, and its results are numbers and tensors that can be sent between processes.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ...config import Config, InferenceConfig
from ...core.trainer import Trainer, TrainingRows
from ...data.datasets.dataset import FeaturedDataset
from ...data.datasets.splits import Split
from ...errors import RevcdError
from ...scoring.model import ZeroShotModel, build_model, has_class_network
from ...scoring.rows import draw_rows
from ...scoring.trainer import ModelTrainer
from ...system.threads import one_thread
from ..evaluate.evaluate import score_split
from ..known_classes.training_rows import class_kinds, training_classes, training_rows
from .photos_given import score_after_photos
from .validation import own_figures, score_unit_rows, validation_candidates

DIVERGED = "The training diverged; nothing is written. Lower train.learning_rate or train.gradient_clip."
_DRAWN_PHOTOS = 16  # photos of each class over which its generated attributes are averaged


@dataclass(frozen=True, kw_only=True)
class EpochInfo:
    """One finished epoch."""

    phase: str  # "validation" | "final"
    epoch: int  # 1..epochs
    epochs: int
    loss: float
    rec: float
    noise: float
    cls: float
    fold: int = 0  # 1..folds in phase "validation"
    folds: int = 0
    validation: dict[str, float | None] | None = None  # S, U, H, T1, AUSUC of this fold, if measured
    rule: str = ""  # of `validation`: the first of `scored_rules`, with the penalty that is best for this fold
    done: int = 0  # finished epochs of all folds and of the final training
    planned: int = 0  # planned epochs of all folds and of the final training

    def record(self) -> dict[str, Any]:
        """Return the epoch as JSON values, without those that depend on the order of the trainings."""
        return {name: value for name, value in asdict(self).items() if name not in ("done", "planned")}


@dataclass(frozen=True)
class EpochResult:
    """The result of one epoch of a unit: losses, outputs, and at times the state to resume from."""

    info: EpochInfo
    found: dict[str, Tensor]  # "fold-N.EPOCH.…": scores and generated attributes; "final.EPOCH.…": weights
    state: dict[str, Tensor] | None  # empty after the last epoch


def unit_name(fold: int) -> str:
    """Return the name of the training of a fold, counted from 1, or of the final training, 0."""
    return f"fold-{fold}" if fold else "final"


def scored_rules(config: Config) -> tuple[str, ...]:
    """Return the scores to compute: those of rules, and "network", of the class network alone.

    Those of the rule "prototype" do not contain the class network here. The rule "joint" is derived from the others.
    """
    rule, has_prototypes = config.inference.rule, config.prototypes.components > 0
    network = ("network",) if has_class_network(config) else ()
    if rule == "auto":
        return ("evidence", "prototype", "cosine", *network) if has_prototypes else ("evidence", "cosine")
    if rule == "joint":
        return ("evidence", "prototype", *network)
    return (rule, *network) if rule == "prototype" else (rule,)


def _scoring(config: InferenceConfig, rule: str) -> InferenceConfig:
    """Return the settings that compute the scores of one of `scored_rules`."""
    if rule == "network":
        return replace(config, rule="prototype", network_share=1.0)
    return replace(config, rule=rule, network_share=0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingUnit:
    """One training on one split of a dataset."""

    dataset: FeaturedDataset
    config: Config
    seed: int
    device: torch.device
    split: Split
    epochs: int
    kept: frozenset[int]  # epochs after which a fold is scored, or the final weights are kept
    fold: int = 0  # 1..folds; 0 is the final training
    folds: int = 0
    ahead: bool = False  # a final training that starts before validation has chosen the number of epochs

    @property
    def name(self) -> str:
        return unit_name(self.fold)

    @property
    def phase(self) -> str:
        return "validation" if self.fold else "final"

    def run(self, done: int, saved: dict[str, Tensor], save_seconds: float) -> Iterator[EpochResult]:
        """Resume after `done` epochs from the state `saved`, and yield the result of each further epoch.

        A result has a state if more than `save_seconds` have passed since the last one. Its tensors are reused by the
        next epoch; clone to keep. Raises `RevcdError` if the loss is not finite; a training `ahead` ends instead.
        """
        if done >= self.epochs:
            return
        with one_thread():
            trainer, last_save = self.make_trainer(), time.monotonic()
        if saved:
            trainer.restore(saved)
        for epoch in range(done, self.epochs):
            with one_thread():
                info, found = self._epoch(trainer, epoch)
            if not math.isfinite(info.loss):
                if self.ahead:
                    return
                raise RevcdError(
                    f"The loss became {info.loss} in epoch {info.epoch} of the {self.phase} phase.", hint=DIVERGED
                )
            state = None
            if time.monotonic() - last_save > save_seconds:
                state, last_save = trainer.state() if info.epoch < self.epochs else {}, time.monotonic()
            yield EpochResult(info, found, state)

    def _epoch(self, trainer: ModelTrainer | Trainer, epoch: int) -> tuple[EpochInfo, dict[str, Tensor]]:
        losses = trainer.run_epoch(epoch, self._epoch_seed(epoch))
        loss, rec, noise, cls = (float(part) for part in losses)
        info = EpochInfo(
            phase=self.phase,
            epoch=epoch + 1,
            epochs=self.epochs,
            loss=loss,
            rec=rec,
            noise=noise,
            cls=cls,
            fold=self.fold,
            folds=self.folds,
        )
        found: dict[str, Tensor] = {}
        if info.epoch not in self.kept or not math.isfinite(loss):
            return info, found
        if self.fold:
            # The unit of a generative baseline has another kind of model, and overrides the methods that need this one.
            model = cast(ZeroShotModel, trainer.ema)
            figures = self.measure(model, info.epoch, found)
            return replace(info, validation=figures, rule=scored_rules(self.config)[0]), found
        weights = trainer.ema.state_dict().items()
        return info, {self.key(info.epoch, name): value.clone() for name, value in weights}

    def key(self, epoch: int, *names: object) -> str:
        """Return the name of an output of an epoch."""
        return ".".join(str(part) for part in (self.name, epoch, *names))

    def measure(self, model: ZeroShotModel, epoch: int, found: dict[str, Tensor]) -> dict[str, float | None]:
        """Add the scores of the fold by every rule to `found`, and return its figures by the first rule."""
        figures: dict[str, float | None] = {}
        self.fit_units(model)
        candidates = validation_candidates(self.dataset, self.config.train)
        for rule in scored_rules(self.config):
            inference = _scoring(self.config.inference, rule)
            scores = score_split(model, self.dataset, self.split, inference, seed=self.seed, candidates=candidates)
            found[self.key(epoch, rule, "seen")] = scores.scores_seen
            found[self.key(epoch, rule, "unseen")] = scores.scores_unseen
            if scores.limits is not None:
                found[self.key(epoch, rule, "limits")] = scores.limits
            figures = figures or own_figures(scores, self.config.train)
        if self.config.inference.rule == "auto" and "prototype" in scored_rules(self.config):
            config = _scoring(self.config.inference, "prototype")
            given = score_after_photos(model, self.dataset, self.split, config, candidates)
            found |= {self.key(epoch, name): value for name, value in given.items()}
        self.draw_attributes(model, epoch, found)
        return figures

    def draw_attributes(self, model: ZeroShotModel, epoch: int, found: dict[str, Tensor]) -> None:
        """Add the mean generated attributes of each held-out class, (U, A), over some of its photos, to `found`."""
        rows, means = self.split.test_unseen, []
        for label in np.unique(self.dataset.labels[rows]):
            some = rows[self.dataset.labels[rows] == label][:_DRAWN_PHOTOS]
            means.append(
                draw_rows(model, self.dataset.features[some], self.config.inference, seed=self.seed).mean.mean(0)
            )
        found[self.key(epoch, "drawn")] = torch.stack(means)

    def fit_units(self, model: ZeroShotModel) -> None:
        """Set the units of the model's scores from its training photos and classes."""
        features = torch.from_numpy(self.dataset.features[score_unit_rows(self.split)]).to(self.device)
        if not len(features):  # known classes alone
            features = self.rows().features
        prototypes = torch.from_numpy(self.dataset.classes.values[self.classes]).to(self.device)
        model.fit_units(features, prototypes, self.config.inference, scored_rules(self.config))

    @property
    def classes(self) -> np.ndarray:
        """Classes to train on (C,): with photos, or known."""
        return training_classes(self.dataset, self.split)

    def untrained(self) -> ZeroShotModel:
        """Return the model with its initial weights, before closed forms are fitted."""
        dataset = self.dataset
        torch.manual_seed(self._epoch_seed(-1))
        n_attributes, n_spatial = len(dataset.classes.attributes), dataset.backbone.tokens
        model = build_model(self.config, dataset.features.shape[1], n_attributes, len(self.classes), n_spatial)
        return model.to(self.device)

    def rows(self) -> TrainingRows:
        """Return the training photos and the pseudo features of known classes, labelled by position in `classes`."""
        rows = training_rows(self.dataset, self.split, self.seed)
        return TrainingRows(rows.features.to(self.device), rows.labels.to(self.device), rows.prototypes.to(self.device))

    def make_trainer(self) -> ModelTrainer | Trainer:
        """Return the trainer of the untrained model, with its closed forms fitted."""
        return ModelTrainer(self.untrained(), self.rows(), class_kinds(self.dataset, self.split))

    def _epoch_seed(self, epoch: int) -> int:
        """Return the seed of an epoch of this unit; epoch -1 stands for the initial weights."""
        phase = f"validation/{self.fold - 1}" if self.fold else "final"
        digest = hashlib.sha256(f"{self.seed}/{phase}/{epoch}".encode()).digest()
        return int.from_bytes(digest[:8], "little") >> 1
