"""One training, from its first epoch or from a saved state to its end: the folds of validation, then all of trainval.

In phase "validation" each fold trains a model on a part of trainval and tests it on the rest, some seen classes playing
unseen. What all folds say together fixes the number of epochs, the rule and its calibration. Phase "final" trains anew
on all of trainval for that many epochs.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import runtime
from ..checkpoint import Calibration
from ..config import Config
from ..core.ensemble import Ensemble, EnsembleTrainer, build_model, build_trainer, round_weights
from ..core.model import RevCD
from ..core.scores import fit_units
from ..core.semantics import attribute_reliability
from ..core.trainer import Trainer, TrainingRows
from ..data.dataset import Dataset
from ..data.splits import Split
from ..errors import RevcdError, UsageError
from .evaluate import score_split, split_frame
from .scoring import draw_rows
from .train_state import Progress, load_state, save_state, state_path
from .validation import Verdict, draw_folds, judge, own_figures, unit_rows

DIVERGED = "Training diverged. Train anew with a lower train.learning_rate or train.gradient_clip; nothing is written."
SAVE_SECONDS = 15  # between two saves of the state, so that saving stays a small part of the time
SHARES = (0.33, 0.5, 0.67, 0.8, 0.9)  # of the prototypes in the rule "joint", to choose from
_MEASURED = "measured."  # of names in the saved state
_DRAWN_PHOTOS = 16  # of each class, from which its drawn attributes are averaged

OnEpoch = Callable[["EpochInfo"], None]


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
    validation: dict[str, float | None] | None = None  # S, U, H, T1, AUSUC of this fold alone, where measured


class TrainingRun:
    """One training from its first epoch, or from a saved state, to the end."""

    def __init__(
        self, dataset: Dataset, config: Config, output: Path, seed: int, device: torch.device, on_epoch: OnEpoch
    ) -> None:
        self.dataset, self.config, self.output, self.seed = dataset, config, output, seed
        self.device, self.on_epoch = device, on_epoch
        self.folds = draw_folds(dataset, config.train, seed)
        self.progress = Progress(
            fingerprint=self._fingerprint(),
            phase="validation" if self.folds else "final",
            epochs=config.train.epochs,
            rule=self.choices[0][0],
            prototype_share=config.inference.prototype_share,
        )
        self.measured: dict[str, torch.Tensor] = {}  # scores of finished validations, by "fold.epoch.rule.part"
        self.saved: dict[str, torch.Tensor] | None = None

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that photos are scored by; "joint" follows from two of them."""
        rule, has_prototypes = self.config.inference.rule, self.config.prototypes.components > 0
        if rule == "auto":
            return ("evidence", "prototype", "cosine") if has_prototypes else ("evidence", "cosine")
        return ("evidence", "prototype") if rule == "joint" else (rule,)

    @property
    def choices(self) -> tuple[tuple[str, float], ...]:
        """The rules, with the share of the prototypes, that validation chooses from; of equals the first."""
        rule, share = self.config.inference.rule, self.config.inference.prototype_share
        shares = SHARES if rule == "auto" and "prototype" in self.rules else [share] if rule == "joint" else []
        single = [] if rule == "joint" else [(each, share) for each in self.rules]
        return (*single, *(("joint", each) for each in shares))

    @property
    def epochs(self) -> int:
        return self.progress.epochs

    def _fingerprint(self) -> dict[str, Any]:
        trainval = self.dataset.features[self.dataset.split.trainval]
        return {
            "config": self.config.to_dict(),
            "seed": self.seed,
            "device": self.device.type,
            "split": self.dataset.split_sha256,
            "validation_classes": self.dataset.split.val_unseen_classes,
            "backbone": self.dataset.backbone.to_dict(),
            "features": hashlib.sha256(np.ascontiguousarray(trainval)).hexdigest(),
            "classes": hashlib.sha256(np.ascontiguousarray(self.dataset.classes.values)).hexdigest(),
        }

    def take_over(self, resume: bool) -> bool:
        """Load the saved state if there is one and it is wanted."""
        if not resume and state_path(self.output).exists():
            raise UsageError(
                f"{state_path(self.output)}: an earlier training of this output was interrupted.",
                hint="Add --resume to go on with it, or delete that file to begin again.",
            )
        found = load_state(self.output, self.progress.fingerprint) if resume else None
        if found:
            self.progress, tensors = found
            self.measured = {name.removeprefix(_MEASURED): tensors.pop(name) for name in _measured_names(tensors)}
            self.saved = tensors or None
        return found is not None

    def validate(self, note: Callable[[str], None]) -> None:
        """Train every fold, and fix what has the best H over all of them; earlier wins a tie."""
        if not self.folds:
            note("Too few seen classes for validation (or it is off): all epochs are used, unchecked.")
            return
        if self.progress.phase != "validation":
            return
        every = self.config.train.evaluate_every
        for number in range(self.progress.folds_done, len(self.folds)):
            for trainer, info in self._epochs(self.folds[number], self.config.train.epochs):
                if info.epoch % every == 0 or info.epoch == info.epochs:
                    info = replace(info, validation=self._measure(number, trainer.ema, info.epoch))
                self.finish_epoch(trainer, info)
            self.progress.folds_done, self.progress.epochs_done, self.saved = number + 1, 0, None
        self._decide()
        self.progress.phase, self.measured = "final", {}

    def _measure(self, fold: int, model: RevCD | Ensemble, epoch: int) -> dict[str, float | None]:
        """Keep the fold's scores by every rule, and return its figures by the first."""
        split, figures = self.folds[fold], {}
        self.fit_units(model, split)
        candidates = np.array(self.dataset.seen)
        for rule in self.rules:
            inference = replace(self.config.inference, rule=rule)
            scores = score_split(model, self.dataset, split, inference, seed=self.seed, candidates=candidates)
            key = f"{fold}.{epoch}.{rule}"
            self.measured |= {f"{key}.seen": scores.scores_seen, f"{key}.unseen": scores.scores_unseen}
            figures = figures or own_figures(scores, self.config.train)
        self.draw_attributes(fold, model, epoch)
        return figures

    def draw_attributes(self, fold: int, model: RevCD | Ensemble, epoch: int) -> None:
        """Keep what the model draws from some photos of each class that plays unseen: a mean for each class, (U, A)."""
        rows, means = self.folds[fold].test_unseen, []
        for label in np.unique(self.dataset.labels[rows]):
            some = rows[self.dataset.labels[rows] == label][:_DRAWN_PHOTOS]
            means.append(
                draw_rows(model, self.dataset.features[some], self.config.inference, seed=self.seed).mean.mean(0)
            )
        self.measured[f"{fold}.{epoch}.drawn"] = torch.stack(means)

    def fit_units(self, model: RevCD | Ensemble, split: Split) -> None:
        """Set the units of this model's scores, from photos and classes that trained it, test photos never."""
        features = torch.from_numpy(self.dataset.features[unit_rows(split)]).to(self.device)
        classes = np.unique(self.dataset.labels[split.trainval])
        prototypes = torch.from_numpy(self.dataset.classes.values[classes]).to(self.device)
        fit_units(model, features, prototypes, self.config.inference, self.rules)

    def _decide(self) -> None:
        """Fix the number of epochs and the rule by H over all folds, and a calibration for every rule."""
        epochs = sorted({int(key.split(".")[1]) for key in self.measured})
        verdicts = {(epoch, *choice): self._verdict(epoch, *choice) for epoch in epochs for choice in self.choices}
        chosen = max(verdicts, key=lambda key: verdicts[key].merit)  # the first of equals
        progress = self.progress
        progress.epochs, progress.rule, progress.prototype_share = chosen
        progress.best = {**verdicts[chosen].figures, "folds": list(verdicts[chosen].folds)}
        at_chosen = {choice: verdicts[(chosen[0], *choice)] for choice in self.choices}
        joint = [choice for choice in self.choices if choice[0] == "joint"]
        if chosen[1] != "joint" and joint:
            progress.prototype_share = max(joint, key=lambda choice: at_chosen[choice].merit)[1]
        kept = {
            rule: verdict
            for (rule, share), verdict in at_chosen.items()
            if rule != "joint" or share == progress.prototype_share
        }
        progress.calibrations = {rule: asdict(verdict.calibration) for rule, verdict in kept.items()}
        progress.by_rule = {rule: verdict.figures for rule, verdict in kept.items()}
        progress.attributes = self._attributes(chosen[0])

    def _attributes(self, epoch: int) -> dict[str, float | None]:
        """Return for each attribute how well photos show it (`attribute_reliability`), over all that played unseen.

        Within each fold: what a fold's training lacks pulls everything it draws away from just that, and across folds
        this would look like drawing the opposite.
        """
        drawn = [self.measured.get(f"{fold}.{epoch}.drawn") for fold in range(len(self.folds))]
        if any(means is None for means in drawn):
            return {}
        tables = [self.dataset.classes.values[np.unique(self.dataset.labels[fold.test_unseen])] for fold in self.folds]
        means, table = (
            torch.cat([torch.as_tensor(each) - torch.as_tensor(each).mean(0) for each in parts])
            for parts in (drawn, tables)
        )
        shares = attribute_reliability(means, torch.arange(len(table)), table).tolist()
        named = zip(self.dataset.classes.attributes, shares, strict=True)
        return {name: None if math.isnan(share) else round(share, 4) for name, share in named}

    def _verdict(self, epoch: int, rule: str, share: float) -> Verdict:
        """Judge one rule after `epoch` epochs by the scores of all folds."""

        def scores(fold: int, part: str) -> torch.Tensor:
            if rule != "joint":
                return self.measured[f"{fold}.{epoch}.{rule}.{part}"]
            evidence, prototype = (self.measured[f"{fold}.{epoch}.{each}.{part}"] for each in ("evidence", "prototype"))
            return torch.lerp(evidence, prototype, share)

        frames = [split_frame(self.dataset, fold, np.array(self.dataset.seen)) for fold in self.folds]
        return judge(
            [
                replace(frame, scores_seen=scores(number, "seen"), scores_unseen=scores(number, "unseen"))
                for number, frame in enumerate(frames)
            ],
            self.config.train,
        )

    def finish(self) -> RevCD | Ensemble:
        """Train on all of trainval and return the averaged model, its scores in their units."""
        trainer = None
        for trainer, info in self._epochs(self.dataset.split, self.progress.epochs):
            self.finish_epoch(trainer, info)
        model = (trainer or self.make_trainer(self.dataset.split)).ema
        round_weights(model)
        self.fit_units(model, self.dataset.split)
        return model

    @property
    def calibrations(self) -> dict[str, Calibration]:
        """What turns scores into answers, for every rule that validation tried."""
        return {rule: Calibration(**values) for rule, values in self.progress.calibrations.items()}

    def _epochs(self, split: Split, epochs: int) -> Iterator[tuple[Trainer | EnsembleTrainer, EpochInfo]]:
        """Yield (trainer, info) after each epoch that is still to be done in this phase."""
        trainer, phase, fold = self.make_trainer(split), self.progress.phase, self.progress.folds_done
        numbers = {"fold": fold + 1, "folds": len(self.folds)} if phase == "validation" else {}
        self._last_save = time.monotonic()
        for epoch in range(self.progress.epochs_done, epochs):
            with runtime.one_thread():
                losses = trainer.run_epoch(epoch, self._epoch_seed(epoch))
            loss, rec, noise, cls = (float(part) for part in losses)
            if not math.isfinite(loss):
                raise RevcdError(f"The loss became {loss} in epoch {epoch + 1} of the {phase} phase.", hint=DIVERGED)
            yield (
                trainer,
                EpochInfo(
                    phase=phase, epoch=epoch + 1, epochs=epochs, loss=loss, rec=rec, noise=noise, cls=cls, **numbers
                ),
            )

    def make_trainer(self, split: Split) -> Trainer | EnsembleTrainer:
        dataset = self.dataset
        seen = np.unique(dataset.labels[split.trainval])
        position = np.full(len(dataset.classes.names), -1)
        position[seen] = np.arange(len(seen))
        rows = TrainingRows(
            torch.from_numpy(dataset.features[split.trainval]).to(self.device),
            torch.from_numpy(position[dataset.labels[split.trainval]]).to(self.device),
            torch.from_numpy(dataset.classes.values[seen]).to(self.device),
        )
        torch.manual_seed(self._epoch_seed(-1))
        n_attributes, n_spatial = len(dataset.classes.attributes), dataset.backbone.tokens
        model = build_model(self.config, dataset.features.shape[1], n_attributes, len(seen), n_spatial)
        with runtime.one_thread():
            trainer = build_trainer(model.to(self.device), rows)
        if self.saved:
            trainer.restore(self.saved)
        return trainer

    def finish_epoch(self, trainer: Trainer | EnsembleTrainer, info: EpochInfo) -> None:
        self.progress.epochs_done = info.epoch
        self.progress.history.append(asdict(info))
        self.on_epoch(info)
        if time.monotonic() - self._last_save > SAVE_SECONDS:
            measured = {_MEASURED + name: scores for name, scores in self.measured.items()}
            save_state(self.output, self.progress, trainer.state() | measured)
            self._last_save = time.monotonic()

    def _epoch_seed(self, epoch: int) -> int:
        """Return the seed of an epoch of this phase and fold; -1 is that of the first weights."""
        phase = f"{self.progress.phase}/{self.progress.folds_done}" if self.progress.phase == "validation" else "final"
        digest = hashlib.sha256(f"{self.seed}/{phase}/{epoch}".encode()).digest()
        return int.from_bytes(digest[:8], "little") >> 1


def _measured_names(tensors: dict[str, torch.Tensor]) -> list[str]:
    return [name for name in tensors if name.startswith(_MEASURED)]
