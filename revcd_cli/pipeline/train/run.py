"""Train a model: k-fold validation, then the final training on all of trainval; resumable.

Each fold trains on a part of trainval and tests on the rest, which includes all photos of its held-out classes. The
scores of all folds determine the number of epochs, the scoring rule and its calibration. The final training uses all of
trainval and that number of epochs. If trainings run concurrently, it starts before the number is known.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...checkpoint.calibration import Calibration
from ...config import Config, InferenceConfig
from ...data.datasets.dataset import FeaturedDataset
from ...errors import UsageError
from ...scoring.model import ZeroShotModel, round_weights
from ...system.threads import one_thread
from ..evaluate.evaluate import split_frame
from .attributes import shown_attributes
from .parallel import choose_processes, run_units
from .photos_given import choose_photo_share
from .prototype_search import choose_prototypes
from .state import Progress, load_state, save_state, state_path
from .unit import EpochInfo, EpochResult, TrainingUnit, scored_rules, unit_name
from .validation import ValidationResult, draw_folds, validate_scores, validation_candidates

SAVE_SECONDS = 15  # between two saves of the state, so that saving takes a small part of the time
SHARES = (0.33, 0.5, 0.67, 0.8, 0.9)  # candidate weights of the prototypes in the rule "joint"
NETWORK_SHARES = (0.0, 0.15, 0.3, 0.5)  # candidate weights of the class network in the rules "prototype" and "joint"
_FOUND, _STATE = "found.", "state."  # prefixes of names in the saved state

OnEpoch = Callable[[EpochInfo], None]


class Choice(NamedTuple):
    """A scoring rule, and the weights of the prototypes and of the class network in it, where it has them."""

    rule: str
    prototype_share: float
    network_share: float

    @property
    def has_prototypes(self) -> bool:
        """Whether the rule has scores of the prototypes, which may contain the class network."""
        return self.rule in ("prototype", "joint")


class TrainingRun:
    """The training of one model, from its first epoch or from a saved state.

    output: the model file, next to which the state is saved; None saves nothing. processes: number of trainings that
    run concurrently; None chooses it.
    """

    def __init__(
        self,
        dataset: FeaturedDataset,
        config: Config,
        output: Path | None,
        seed: int,
        device: torch.device,
        on_epoch: OnEpoch = lambda info: None,
        processes: int | None = 1,
    ) -> None:
        self.dataset, self.given, self.output, self.seed = dataset, config, output, seed
        self.device, self.on_epoch = device, on_epoch
        self.folds = draw_folds(dataset, config.train, seed)
        self.processes = choose_processes(dataset, config, device, len(self.folds)) if processes is None else processes
        self.progress = Progress(
            fingerprint=self._fingerprint(),
            epochs=config.train.epochs,
            rule=self.choices[0].rule,
            prototype_share=config.inference.prototype_share,
            network_share=config.inference.network_share,
            photo_share=config.inference.photo_share,
        )
        self.found: dict[str, Tensor] = {}  # scores of folds and weights of the final training, see `EpochResult`
        self.states: dict[str, dict[str, Tensor]] = {}  # by the names in `progress.done`
        self.reached: dict[str, int] = {}  # last epoch of each unit, saved or not
        self.is_saved, self.last_save = True, time.monotonic()

    @functools.cached_property
    def config(self) -> Config:
        """The settings, with numbers in place of "auto" for the prototypes."""
        return choose_prototypes(self.dataset, self.given, self.folds, self.seed, self.device)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The rules and shares that validation chooses from; ties: the first."""
        inference, rules = self.given.inference, scored_rules(self.given)
        rule, share = inference.rule, inference.prototype_share
        shares = SHARES if rule == "auto" and "prototype" in rules else [share] if rule == "joint" else []
        of_network: Sequence[float] = [inference.network_share]
        if rule == "auto":
            of_network = NETWORK_SHARES if "network" in rules else [0.0]
        single = [] if rule == "joint" else [Choice(each, share, of_network[0]) for each in rules if each != "network"]
        mixed = [Choice("prototype", share, each) for each in of_network[1:]]
        joint = [Choice("joint", each, network) for network in of_network for each in shares]
        return (*single, *mixed, *joint)

    @property
    def inference(self) -> InferenceConfig:
        """The settings of scoring with the rule and the shares that validation chose."""
        chosen = self.progress
        return replace(
            self.given.inference,
            rule=chosen.rule,
            prototype_share=chosen.prototype_share,
            network_share=chosen.network_share,
            photo_share=chosen.photo_share,
        )

    @property
    def epochs(self) -> int:
        """The number of epochs of the final training."""
        return self.progress.epochs

    @property
    def kept(self) -> frozenset[int]:
        """Epochs after which the folds are scored."""
        settings = self.given.train
        return frozenset({*range(settings.evaluate_every, settings.epochs, settings.evaluate_every), settings.epochs})

    @property
    def fold_units(self) -> list[TrainingUnit]:
        """The training of each fold."""
        return [self.unit(number) for number in range(1, len(self.folds) + 1)]

    @property
    def final_unit(self) -> TrainingUnit:
        """The training on all of trainval; before validation has chosen, for all candidate numbers of epochs."""
        if self.folds and not self.progress.decided:
            return replace(self.unit(0), ahead=True)
        return replace(self.unit(0), epochs=self.epochs, kept=frozenset({self.epochs}))

    def unit(self, fold: int) -> TrainingUnit:
        """Return the training of a fold, counted from 1, or the final training, 0."""
        return TrainingUnit(
            dataset=self.dataset,
            config=self.config,
            seed=self.seed,
            device=self.device,
            split=self.folds[fold - 1] if fold else self.dataset.split,
            epochs=self.given.train.epochs,
            kept=self.kept,
            fold=fold,
            folds=len(self.folds) if fold else 0,
        )

    def _fingerprint(self) -> dict[str, Any]:
        trainval = self.dataset.features[self.dataset.split.trainval]
        return {
            "config": self.given.to_dict(),
            "seed": self.seed,
            "device": self.device.type,
            "split": self.dataset.split_sha256,
            "validation_classes": self.dataset.split.val_unseen_classes,
            "backbone": self.dataset.backbone.to_dict(),
            "features": hashlib.sha256(np.ascontiguousarray(trainval).data).hexdigest(),
            "classes": hashlib.sha256(np.ascontiguousarray(self.dataset.classes.values).data).hexdigest(),
            **({} if self.dataset.known is None else {"known": self.dataset.known.sha256()}),
        }

    def load_saved_state(self, resume: bool) -> bool:
        """Load the saved state if `resume` is set; return whether there was one."""
        if self.output is None:
            return False
        if not resume and state_path(self.output).exists():
            raise UsageError(
                f"{state_path(self.output)}: an earlier training of this output was interrupted.",
                hint="Add --resume to resume it, or delete that file to start over.",
            )
        found = load_state(self.output, self.progress.fingerprint) if resume else None
        if found:
            self.progress, tensors = found
            self.found = _section(tensors, _FOUND)
            self.states = {name: _section(tensors, f"{_STATE}{name}/") for name in self.progress.done}
            self.reached = dict(self.progress.done)
        return found is not None

    def validate(self, note: Callable[[str], None], *, ahead: bool = True) -> None:
        """Train every fold, and choose the epoch and rule with the best H over all folds; ties: the earliest.

        ahead: whether the final training may start meanwhile if a process is idle.
        """
        if not self.folds:
            note("No validation, because it is off or there are too few seen classes: all epochs are used.")
            return
        if self.progress.decided:
            return
        if names := self.given.prototypes.searched:
            chosen = ", ".join(f"{name} {getattr(self.config.prototypes, name):g}" for name in names)
            note(f"Settings of the visual prototypes, chosen in validation: {chosen}.")
        units = self.fold_units
        self._train([*units, self.final_unit] if ahead and self.processes > 1 else units)
        self.decide()
        self.progress.decided = True
        self.progress.history = [
            entry | {"epochs": self.epochs} if entry["phase"] == "final" else entry
            for entry in sorted(self.progress.history, key=lambda entry: (entry["fold"] or math.inf, entry["epoch"]))
            if entry["phase"] == "validation" or entry["epoch"] <= self.epochs
        ]
        weights = self.final_unit.key(self.epochs)
        self.found = {name: value for name, value in self.found.items() if name.startswith(f"{weights}.")}

    def finish(self) -> ZeroShotModel:
        """Train on all of trainval and return the model: averaged weights (EMA), with the units of its scores set."""
        unit = self.final_unit
        weights = f"{unit.key(self.epochs)}."
        if not any(name.startswith(weights) for name in self.found):
            self._train([unit])
        model = unit.untrained().eval().requires_grad_(False)
        model.load_state_dict(_section(self.found, weights))
        if self.progress.network_share == 0:
            model.class_network = None
        round_weights(model)
        with one_thread():
            unit.fit_units(model)
        return model

    def _train(self, units: Sequence[TrainingUnit]) -> None:
        starts = {name: (done, self.states.get(name, {})) for name, done in self.progress.done.items()}
        save_seconds = SAVE_SECONDS if self.output else math.inf
        with contextlib.closing(run_units(units, starts, self.processes, save_seconds)) as results:
            for unit, result in results:
                self._take(unit, result)

    def _take(self, unit: TrainingUnit, result: EpochResult) -> None:
        """Report an epoch, and keep its outputs."""
        self.found |= result.found
        self.progress.history.append(result.info.record())
        self.reached[unit.name] = result.info.epoch
        planned = len(self.folds) * self.given.train.epochs + self.epochs
        self.on_epoch(replace(result.info, done=sum(self.reached.values()), planned=planned))
        if result.state is not None or result.info.epoch == unit.epochs:
            self.progress.done[unit.name] = result.info.epoch
            self.states[unit.name] = {name: value.clone() for name, value in (result.state or {}).items()}
            self.is_saved = self.output is None
        # Each process sends a state every `SAVE_SECONDS`, and each save holds those of all processes.
        if not self.is_saved and time.monotonic() - self.last_save > SAVE_SECONDS / self.processes:
            self._save()

    def _save(self) -> None:
        """Save the state of every unit, without the outputs of later epochs."""
        if self.output is None:
            return
        done = self.progress.done
        known = [entry for entry in self.progress.history if entry["epoch"] <= done.get(unit_name(entry["fold"]), 0)]
        tensors = {_FOUND + name: value for name, value in self.found.items()}
        tensors |= {f"{_STATE}{unit}/{name}": v for unit, state in self.states.items() for name, v in state.items()}
        save_state(self.output, replace(self.progress, history=known), tensors)
        self.is_saved, self.last_save = True, time.monotonic()

    def decide(self) -> None:
        """Choose the number of epochs and the rule by H over all folds, and calibrate every rule."""
        tried = [(epoch, choice) for epoch in sorted(self.kept) for choice in self.choices]
        verdicts = {(epoch, choice): self.verdict(epoch, choice) for epoch, choice in tried}
        epochs, chosen = max(verdicts, key=lambda key: verdicts[key].merit)  # ties: the first
        progress, best = self.progress, verdicts[epochs, chosen]
        progress.epochs, progress.rule = epochs, chosen.rule
        progress.best = {**best.figures, "folds": list(best.folds)}

        def merit(choice: Choice) -> float:
            return verdicts[epochs, choice].merit

        # The rules that were not chosen keep their best shares. One share of the class network holds for all rules.
        mixed = [choice for choice in self.choices if choice.has_prototypes]
        if mixed:
            progress.network_share = (chosen if chosen in mixed else max(mixed, key=merit)).network_share
        joint = [each for each in mixed if each.rule == "joint" and each.network_share == progress.network_share]
        if joint:
            progress.prototype_share = (chosen if chosen in joint else max(joint, key=merit)).prototype_share
        kept = {
            choice.rule: verdicts[epochs, choice]
            for choice in self.choices
            if not (choice in mixed and choice.network_share != progress.network_share)
            and not (choice.rule == "joint" and choice.prototype_share != progress.prototype_share)
        }
        progress.calibrations = {rule: asdict(verdict.calibration) for rule, verdict in kept.items()}
        progress.by_rule = {rule: verdict.figures for rule, verdict in kept.items()}
        drawn = [self.found.get(unit.key(epochs, "drawn")) for unit in self.fold_units]
        progress.attributes = shown_attributes(self.dataset, self.folds, drawn)
        outputs = [_section(self.found, f"{unit.key(epochs)}.") for unit in self.fold_units]
        for rule, share in (("joint", progress.prototype_share), ("evidence", 0.0)):
            if rule in kept and (rule == chosen.rule or chosen.rule not in ("joint", "evidence")):
                found = choose_photo_share(kept[rule].scores, outputs, kept[rule].gamma, share)
                progress.photo_share = progress.photo_share if found is None else found
                break

    def verdict(self, epoch: int, choice: Choice) -> ValidationResult:
        """Return the validation result of one choice after `epoch` epochs, from the scores of all folds."""

        def scores(unit: TrainingUnit, part: str) -> Tensor:
            def of(rule: str) -> Tensor:
                return self.found[unit.key(epoch, rule, part)]

            if not choice.has_prototypes:
                return of(choice.rule)
            prototype, share = of("prototype"), choice.network_share
            if share > 0:
                prototype = torch.lerp(prototype, of("network"), share)
            if choice.rule == "prototype":
                return prototype
            return torch.lerp(of("evidence"), prototype, choice.prototype_share)

        candidates = validation_candidates(self.dataset, self.given.train)
        return validate_scores(
            [
                replace(
                    split_frame(self.dataset, unit.split, candidates),
                    scores_seen=scores(unit, "seen"),
                    scores_unseen=scores(unit, "unseen"),
                    limits=self.found.get(unit.key(epoch, "prototype", "limits")) if choice.has_prototypes else None,
                )
                for unit in self.fold_units
            ],
            self.given.train,
        )

    @property
    def calibrations(self) -> dict[str, Calibration]:
        """The calibration of each rule that validation tried."""
        return {rule: Calibration.from_json(values) for rule, values in self.progress.calibrations.items()}


def _section(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
