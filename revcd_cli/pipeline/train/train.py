"""Train a model and write it with its settings; an interrupted training resumes from its saved state.

Test photos are never read. `pipeline.train.run` chooses the epochs, the rule and the calibration.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...checkpoint.model_file import Checkpoint, save_checkpoint
from ...config import Config
from ...data.datasets.dataset import FeaturedDataset, require_features
from ...errors import RevcdError, UsageError
from ...scoring.model import ZeroShotModel
from ...system import files
from ...system.device import choose_device
from ..known_classes.training_rows import label_evidence, usable_known
from ..settings import save_config
from .run import OnEpoch, TrainingRun
from .state import state_path
from .unit import DIVERGED, EpochInfo
from .validation import settings_for

__all__ = ["EpochInfo", "TrainSummary", "check_model_output", "config_path", "curves_path", "train"]


@dataclass(frozen=True, kw_only=True)
class TrainSummary:
    """The result of a training."""

    output: Path
    epochs: int  # of the final model
    rule: str  # of the final model
    validation: dict[str, Any]  # S, U, H, T1, AUSUC over the folds at that epoch, {} without validation
    penalty: str  # kind of seen penalty, chosen in validation
    candidates: str  # of validation: "seen" or "table"
    history: list[dict[str, Any]]  # `EpochInfo.record` of every epoch, in order
    photos: int
    seconds: float
    sha256: str


def train(
    dataset: FeaturedDataset,
    config: Config,
    output: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    processes: int | None = 1,
    resume: bool = False,
    overwrite: bool = False,
    on_epoch: OnEpoch | None = None,
    on_note: Callable[[str], None] | None = None,
) -> TrainSummary:
    """Train a model, write it to `output`, and its settings next to it.

    The state is saved regularly. With `resume`, the training continues from it and ends with the same bytes as an
    uninterrupted run; without `resume`, an existing state is an error. Equal seeds give equal models on processors of
    one vendor (on Intel's, torch draws dropout masks with another library). processes: number of folds that train
    concurrently, each in a worker process, with the same resulting model; None chooses it (see `parallel`). Workers
    import the main script, so a script that uses them needs `if __name__ == "__main__":`.
    """
    note = on_note or (lambda text: None)
    check_features(dataset)
    output = check_model_output(output, resume=resume, overwrite=overwrite)
    started = time.monotonic()
    related = (state_path(output), config_path(output), curves_path(output))
    with files.exclusive(output, *related), torch.random.fork_rng():
        where = choose_device(device).value
        settings = settings_for(dataset, config)
        run = TrainingRun(dataset, settings, output, seed, where, on_epoch or (lambda info: None), processes)
        if run.load_saved_state(resume):
            done = sum(run.reached.values())
            note(f"Resuming after {done} epoch{'s' * (done != 1)}.")
        if run.processes > 1:
            note(f"{len(run.folds)} validation folds and the final training, {run.processes} processes.")
        checkpoint = _fit(run, note)
        save_checkpoint(output, checkpoint)
        save_config(config, config_path(output))
        state_path(output).unlink(missing_ok=True)
    return TrainSummary(
        output=output,
        epochs=run.epochs,
        rule=run.progress.rule,
        validation=run.progress.best,
        penalty=settings.train.penalty,
        candidates=settings.train.candidates,
        history=run.progress.history,
        photos=len(dataset.split.trainval),
        seconds=time.monotonic() - started,
        sha256=files.file_sha256(output),
    )


def train_in_memory(
    dataset: FeaturedDataset,
    config: Config,
    *,
    seed: int = 0,
    device: str = "auto",
    processes: int | None = 1,
    on_epoch: OnEpoch | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Checkpoint:
    """Train a model as `train` does, and return it without writing a file. The parameters are those of `train`."""
    check_features(dataset)
    with torch.random.fork_rng():
        settings, where = settings_for(dataset, config), choose_device(device).value
        run = TrainingRun(dataset, settings, None, seed, where, on_epoch or (lambda info: None), processes)
        return _fit(run, on_note or (lambda text: None))


def _fit(run: TrainingRun, note: Callable[[str], None]) -> Checkpoint:
    """Run the validation and the final training, from the saved state if one was loaded, and return the model."""
    run.validate(note)
    model, dataset = run.finish(), run.dataset
    _check_weights(model)
    # The model holds the chosen rule, shares, penalty and candidates instead of "auto".
    model.config = replace(run.config, inference=run.inference)
    return Checkpoint(
        model=model.cpu(),
        classes=dataset.classes,
        seen=frozenset(dataset.classes.names[c] for c in dataset.seen),
        known=_known_labels(dataset),
        labels=label_evidence(dataset, dataset.split),
        backbone=dataset.backbone,
        calibrations=run.calibrations,
        dataset={
            "name": dataset.name,
            "split_sha256": dataset.split_sha256,
            "photos": len(dataset.split.trainval),
        },
        metrics={
            "validation": run.progress.best,
            "validation_by_rule": run.progress.by_rule,
            "attributes": run.progress.attributes,
            "epochs": run.epochs,
        },
        seed=run.seed,
    )


def _known_labels(dataset: FeaturedDataset) -> dict[str, list[str]]:
    """Return the labels of each known class of the final training, by its name."""
    if dataset.known is None:
        return {}
    used = set(usable_known(dataset, dataset.split).tolist())
    found = zip(dataset.known.rows.tolist(), dataset.known.labels, strict=True)
    return {dataset.classes.names[row]: list(labels) for row, labels in found if row in used}


def config_path(output: Path) -> Path:
    """Return the file that holds a model's settings: NAME.config.toml, next to the model."""
    return output.with_suffix(".config.toml")


def curves_path(output: Path) -> Path:
    """Return the file for a model's learning curves: NAME.curves.png, next to the model.

    `train` does not draw them; `reports.plots.training.write_learning_curves` does.
    """
    return output.with_suffix(".curves.png")


def check_model_output(output: Path, *, resume: bool, overwrite: bool) -> Path:
    """Return the path of the model to write. Raise `UsageError` if it, its settings or curves may not be written."""
    if output.suffix in (".toml", ".png"):
        raise UsageError(f"{output}: a model's name cannot end in {output.suffix}.", hint="Call it NAME.safetensors.")
    overwrite = overwrite or (resume and state_path(output).exists())
    for related in (config_path(output), curves_path(output)):
        files.check_output(related, overwrite=overwrite)
    return files.check_output(output, overwrite=overwrite)


def check_features(dataset: FeaturedDataset) -> None:
    """Raise `UsageError` if there are no features, `RevcdError` if those of training photos are not finite."""
    require_features(dataset)
    bad = ~np.isfinite(dataset.features[dataset.split.trainval]).all(axis=1)
    if bad.any():
        raise RevcdError(
            f"{dataset.name}: {int(bad.sum()):,} of {len(bad):,} training photos have features that are not finite.",
            hint="Extract the features again.",
        )


def _check_weights(model: ZeroShotModel) -> None:
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise RevcdError("The weights are not finite after the last step.", hint=DIVERGED)
