"""Estimate how long a training, a comparison or a search takes, from a few epochs that are timed on this machine."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import torch

from ..backbones.backbone import load_backbone
from ..config import Config
from ..data.datasets.dataset import Dataset, FeaturedDataset, add_features, attach_features
from ..errors import WeightsError
from ..system.device import choose_device
from ..system.offline import offline
from .compare.generative import TRAINED, MethodRun, settings_of
from .extract.feature_cache import find_cached, photos_of
from .extract.stream import stream_features
from .known_classes.resolve import with_known_classes
from .train.run import TrainingRun
from .train.unit import TrainingUnit
from .train.validation import settings_for
from .tune.tune import REDUCTION, STAGES

_WARM_UP, _TIMED = 8, 24  # photos
_EPOCHS = 3  # of the timed training; the second one is scored
_LONGEST = 10.0  # seconds after which no further epoch is timed

OnNote = Callable[[str], None]


@dataclass(frozen=True)
class UnitSeconds:
    """The seconds of one training: before its first epoch, of an epoch, and of a scoring of the validation photos."""

    setup: float
    epoch: float
    scoring: float

    def of(self, epochs: int, scorings: int) -> float:
        """Return the seconds of a training with so many epochs and scorings."""
        return self.setup + epochs * self.epoch + scorings * self.scoring


@dataclass(frozen=True)
class Estimate:
    """The estimated seconds of some work, and what it is in words."""

    seconds: float
    what: str


def stand_in_features(
    dataset: Dataset, *, backbone: str, weights: Path | None, device: str, precision: str, tokens: bool, note: OnNote
) -> tuple[FeaturedDataset, Estimate | None] | None:
    """Return the dataset with its features, or with random ones and how long it would take to extract the true ones.

    The time of a training does not depend on the values of features. Opens no connection. None if there are neither
    features nor photos, or if the weights of the backbone would have to be downloaded.
    """
    if isinstance(dataset, FeaturedDataset):
        return with_known_classes(dataset, weights=weights), None
    if dataset.images_root is None or not len(dataset.paths):
        return None
    try:
        with offline():
            model = load_backbone(backbone, weights=weights, device=device, precision=precision, tokens=tokens)
    except WeightsError:
        return None
    photos = functools.partial(photos_of, dataset.images_root, dataset.paths)
    _, found = find_cached(dataset.name, dataset.images_root, photos, model.record, precision, note)
    if found is not None:
        return with_known_classes(attach_features(dataset, found), weights=weights), None
    count = len(dataset.paths)
    sources = photos()
    for _ in stream_features(model, islice(sources, min(_WARM_UP, count))):
        pass
    some, started = list(islice(photos(), min(_TIMED, count))), time.monotonic()
    for _ in stream_features(model, iter(some)):
        pass
    seconds = (time.monotonic() - started) / len(some) * count
    features = np.random.default_rng(0).normal(size=(count, model.record.feature_dim)).astype(np.float32)
    featured = with_known_classes(add_features(dataset, features, model.record), weights=weights)
    return featured, Estimate(seconds, f"extract the features of {count:,} photos")


def time_unit(unit: TrainingUnit) -> UnitSeconds:
    """Train a few epochs and return the seconds of the parts of a training."""
    marks = [time.monotonic()]
    for _ in replace(unit, epochs=_EPOCHS, kept=frozenset({2})).run(0, {}, math.inf):
        marks.append(time.monotonic())
        if marks[-1] - marks[0] > _LONGEST:
            break
    spans = [later - earlier for earlier, later in pairwise(marks)]
    if len(spans) < _EPOCHS:  # long epochs: the setup counts little
        return UnitSeconds(0.0, min(spans), 0.0)
    first, scored, plain = spans
    return UnitSeconds(max(first - plain, 0.0), plain, max(scored - plain, 0.0))


def training_estimate(dataset: FeaturedDataset, config: Config, *, seed: int, device: str) -> Estimate:
    """Estimate `train`: validation with all folds and the final training, for as many epochs as are allowed."""
    run = TrainingRun(dataset, settings_for(dataset, config), None, seed, choose_device(device).value, processes=None)
    return _estimate(run)


def comparison_estimate(
    dataset: FeaturedDataset, config: Config, methods: Sequence[str], seeds: int, *, device: str
) -> list[Estimate]:
    """Estimate each method that trains networks like RevCD's; the others are not timed."""
    found = []
    for method in methods:
        if method in TRAINED:
            run = MethodRun(dataset, settings_of(method, config), method, 0, choose_device(device).value, None)
            each = _estimate(run)
            found.append(Estimate(seeds * each.seconds, f"{method}: {seeds} times {each.what}"))
    return found


def search_estimate(dataset: FeaturedDataset, config: Config, trials: int, *, seed: int, device: str) -> Estimate:
    """Estimate `tune` with settings that take as long as the starting point."""
    run = TrainingRun(dataset, config, None, seed, choose_device(device).value)
    unit, folds = time_unit(run.unit(1 if run.folds else 0)), max(1, len(run.folds))
    seconds, left = 0.0, float(trials)
    for stage in STAGES:
        epochs = max(1, round(stage.epochs * config.train.epochs))
        seconds += max(1.0, left) * max(1, round(stage.folds * folds)) * unit.of(epochs, 1)
        left /= REDUCTION
    return Estimate(seconds, f"run {trials} trials, a third of them on more folds")


def _estimate(run: TrainingRun) -> Estimate:
    started = time.monotonic()
    with torch.random.fork_rng():
        _ = run.config  # chooses settings of the prototypes, which takes time
        chosen = time.monotonic() - started
        unit = time_unit(run.unit(1 if run.folds else 0))
    epochs = run.given.train.epochs
    fold, final = unit.of(epochs, len(run.kept)), unit.of(epochs, 0)
    total = len(run.folds) * fold + final
    seconds = chosen + max(fold, total / run.processes)
    at_once = f", {run.processes} at once" if run.processes > 1 else ""
    return Estimate(seconds, f"train {len(run.folds)} validation folds and the model, {epochs} epochs each{at_once}")
