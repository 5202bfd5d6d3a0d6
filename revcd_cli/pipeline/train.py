"""Training: choose the number of epochs on a validation split of the seen classes, then train on all of trainval.

Test rows are never read. Phase "validation" trains on a part of trainval and tests on the rest of it, some seen
classes playing unseen; it fixes the number of epochs, the seen penalty and the temperature. Phase "final" trains anew
on all of trainval for that many epochs.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import files
from ..checkpoint import Calibration, Checkpoint, save_checkpoint
from ..config import Config
from ..core.calibrate import fit_seen_penalty, fit_temperature
from ..core.model import RevCD
from ..core.scores import calibrated
from ..core.trainer import Trainer, TrainingRows
from ..data.dataset import Dataset
from ..data.splits import Split, validation_fold
from ..errors import RevcdError, UsageError
from ..runtime import choose_device
from .evaluate import SplitScores, score_split
from .settings import save_config
from .train_state import Progress, load_state, save_state, state_path

_DIVERGED = "Training diverged. Train anew with a lower train.learning_rate or train.gradient_clip; nothing is written."
SAVE_SECONDS = 15  # between two saves of the state, so that saving stays a small part of the time

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
    validation: dict[str, float | None] | None = None  # S, U, H, T1 as shares, where they were measured
    is_best: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainSummary:
    """What a training came to."""

    output: Path
    epochs: int  # of the final model
    validation: dict[str, Any]  # S, U, H, T1 at that epoch, {} without validation
    history: list[dict[str, Any]]
    photos: int
    seconds: float
    sha256: str


def train(
    dataset: Dataset,
    config: Config,
    output: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    on_epoch: OnEpoch | None = None,
    on_note: Callable[[str], None] | None = None,
) -> TrainSummary:
    """Train on a data set that has features, write the model to `output` and its configuration beside it.

    The state is saved on the way. `resume` goes on from it and ends with the same bytes as an uninterrupted run;
    without it, a state that is there makes the run stop rather than be lost. Equal seeds give equal models (on a CPU).
    """
    note = on_note or (lambda text: None)
    _check_features(dataset)
    output = check_model_output(output, resume=resume, overwrite=overwrite)
    started = time.monotonic()
    with files.exclusive(output), torch.random.fork_rng():
        run = TrainingRun(dataset, config, output, seed, choose_device(device).value, on_epoch or (lambda info: None))
        if run.take_over(resume):
            note(f"Going on after epoch {run.progress.epochs_done} of the {run.progress.phase} phase.")
        run.validate(note)
        model = run.finish()
        _check_weights(model)
        checkpoint = Checkpoint(
            model=model.cpu(),
            classes=dataset.classes,
            seen=frozenset(dataset.classes.names[c] for c in dataset.seen),
            backbone=dataset.backbone,
            calibration=Calibration(**run.progress.calibration),
            dataset={
                "name": dataset.name,
                "split_sha256": dataset.split_sha256,
                "photos": len(dataset.split.trainval),
            },
            metrics={"validation": run.progress.best, "epochs": run.epochs},
            seed=seed,
        )
        save_checkpoint(output, checkpoint)
        save_config(config, config_path(output))
        state_path(output).unlink(missing_ok=True)
    return TrainSummary(
        output=output,
        epochs=run.epochs,
        validation=run.progress.best,
        history=run.progress.history,
        photos=len(dataset.split.trainval),
        seconds=time.monotonic() - started,
        sha256=files.file_sha256(output),
    )


def config_path(output: Path) -> Path:
    """Return where a model's settings are written: beside it."""
    return output.with_suffix(".config.toml")


def check_model_output(output: Path, *, resume: bool, overwrite: bool) -> Path:
    """Return the path of the model to write, or raise `UsageError` if it, or its settings, must not be written."""
    if output.suffix == ".toml":
        raise UsageError(f"{output}: a model's name cannot end in .toml.", hint="Call it NAME.safetensors.")
    overwrite = overwrite or (resume and state_path(output).exists())
    files.check_output(config_path(output), overwrite=overwrite)
    return files.check_output(output, overwrite=overwrite)


def _check_features(dataset: Dataset) -> None:
    if dataset.features is None or dataset.backbone is None:
        raise UsageError("The data set has no features yet; extract them first.")
    bad = ~np.isfinite(dataset.features[dataset.split.trainval]).all(axis=1)
    if bad.any():
        raise RevcdError(
            f"{dataset.name}: {int(bad.sum()):,} of {len(bad):,} training photos have features that are not finite.",
            hint="Extract the features again.",
        )


def _check_weights(model: RevCD) -> None:
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise RevcdError("The weights are not finite after the last step.", hint=_DIVERGED)


class TrainingRun:
    """One training from its first epoch, or from a saved state, to the end."""

    def __init__(
        self, dataset: Dataset, config: Config, output: Path, seed: int, device: torch.device, on_epoch: OnEpoch
    ) -> None:
        self.dataset, self.config, self.output, self.seed = dataset, config, output, seed
        self.device, self.on_epoch = device, on_epoch
        self.fold = self._fold()
        phase = "final" if self.fold is None else "validation"
        self.progress = Progress(fingerprint=self._fingerprint(), phase=phase, best_epochs=config.train.epochs)
        self.saved: dict[str, torch.Tensor] | None = None

    @property
    def epochs(self) -> int:
        return self.progress.best_epochs

    def _fold(self) -> Split | None:
        settings, dataset = self.config.train, self.dataset
        if settings.validation_classes == 0 or len(dataset.seen) < 3:
            return None
        return validation_fold(
            dataset.labels,
            dataset.split,
            dataset.split.val_unseen_classes,
            self.seed,
            settings.validation_classes,
            settings.validation_rows,
            keys=dataset.keys,
        )

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
            self.progress, self.saved = found
        return found is not None

    def validate(self, note: Callable[[str], None]) -> None:
        """Find the number of epochs with the best validation H; earlier wins a tie."""
        if self.fold is None:
            note("Too few seen classes for validation (or it is off): all epochs are used, unchecked.")
            return
        if self.progress.phase != "validation":
            return
        candidates = np.array(self.dataset.seen)
        for trainer, info in self._epochs(self.fold, self.config.train.epochs):
            if info.epoch % self.config.train.evaluate_every and info.epoch != info.epochs:
                self.finish_epoch(trainer, info)
                continue
            scores = score_split(
                trainer.ema, self.dataset, self.fold, self.config.inference, seed=self.seed, candidates=candidates
            )
            calibration = self._calibrate(scores)
            figures = scores.report(calibration["gamma"]).headline()
            is_best = _merit(figures) > _merit(self.progress.best)
            if is_best:
                self.progress.best, self.progress.calibration = figures, calibration
                self.progress.best_epochs = info.epoch
            self.finish_epoch(trainer, replace(info, validation=figures, is_best=is_best))
        self.progress.phase, self.progress.epochs_done, self.saved = "final", 0, None

    def _calibrate(self, scores: SplitScores) -> dict[str, float]:
        settings = self.config.train
        seen_rows = scores.scores_seen, scores.labels_seen, scores.seen
        gamma = fit_seen_penalty(*seen_rows, settings.give_away) if settings.calibrate else 0.0
        everything = torch.cat([scores.scores_seen, scores.scores_unseen])
        labels = torch.cat([scores.labels_seen, scores.labels_unseen])
        return {"gamma": gamma, "temperature": fit_temperature(calibrated(everything, scores.seen, gamma), labels)}

    def finish(self) -> RevCD:
        """Train on all of trainval and return the averaged model."""
        trainer = None
        for trainer, info in self._epochs(self.dataset.split, self.epochs):
            self.finish_epoch(trainer, info)
        return (trainer or self.make_trainer(self.dataset.split)).ema

    def _epochs(self, split: Split, epochs: int):
        """Yield (trainer, info) after each epoch that is still to be done in this phase."""
        trainer = self.make_trainer(split)
        self._last_save = time.monotonic()
        for epoch in range(self.progress.epochs_done, epochs):
            losses = trainer.run_epoch(epoch, _epoch_seed(self.seed, self.progress.phase, epoch))
            loss, rec, noise, cls = (float(part) for part in losses)
            if not math.isfinite(loss):
                raise RevcdError(
                    f"The loss became {loss} in epoch {epoch + 1} of the {self.progress.phase} phase.", hint=_DIVERGED
                )
            yield (
                trainer,
                EpochInfo(
                    phase=self.progress.phase, epoch=epoch + 1, epochs=epochs, loss=loss, rec=rec, noise=noise, cls=cls
                ),
            )

    def make_trainer(self, split: Split) -> Trainer:
        dataset = self.dataset
        seen = np.unique(dataset.labels[split.trainval])
        position = np.full(len(dataset.classes.names), -1)
        position[seen] = np.arange(len(seen))
        rows = TrainingRows(
            torch.from_numpy(dataset.features[split.trainval]).to(self.device),
            torch.from_numpy(position[dataset.labels[split.trainval]]).to(self.device),
            torch.from_numpy(dataset.classes.values[seen]).to(self.device),
        )
        torch.manual_seed(_epoch_seed(self.seed, self.progress.phase, -1))
        n_attributes, n_spatial = len(dataset.classes.attributes), dataset.backbone.tokens
        model = RevCD(self.config, dataset.features.shape[1], n_attributes, n_spatial)
        trainer = Trainer(model.to(self.device), rows)
        if self.saved:
            trainer.restore(self.saved)
        return trainer

    def finish_epoch(self, trainer: Trainer, info: EpochInfo) -> None:
        self.progress.epochs_done = info.epoch
        self.progress.history.append(asdict(info))
        self.on_epoch(info)
        if time.monotonic() - self._last_save > SAVE_SECONDS:
            save_state(self.output, self.progress, trainer.state())
            self._last_save = time.monotonic()


def _merit(figures: dict[str, Any]) -> float:
    """Return what validation maximises: H, or S where there is nothing unseen to validate on."""
    if not figures:
        return -1.0
    return next((figures[name] for name in ("H", "S", "T1") if figures[name] is not None), 0.0)


def _epoch_seed(seed: int, phase: str, epoch: int) -> int:
    digest = hashlib.sha256(f"{seed}/{phase}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
