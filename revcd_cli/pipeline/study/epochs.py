"""Study of the length of training: S, U, H and T1 on validation after 1, 2, 4, ... epochs of one training per seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ...config import Config
from ...data.datasets.dataset import FeaturedDataset
from ...errors import UsageError
from ...system.device import choose_device
from ..extract.extract import OnProgress
from ..train.run import TrainingRun


@dataclass(frozen=True)
class EpochFigures:
    """The mean over the folds after some epochs. figures: S, U, H, T1, AUSUC as shares of 1; None without photos."""

    epoch: int
    seed: int
    figures: dict[str, float | None]


class _EpochsRun(TrainingRun):
    """Validation that is measured after 1, 2, 4, ... epochs; it saves nothing."""

    by_epoch: dict[int, dict[str, float | None]]

    @property
    def kept(self) -> frozenset[int]:
        return frozenset(measured_epochs(self.config.train.epochs))

    def decide(self) -> None:
        """Keep the figures of every epoch measured, by the first of the rules."""
        self.by_epoch = {epoch: self.verdict(epoch, self.choices[0]).figures for epoch in sorted(self.kept)}


def measured_epochs(epochs: int) -> list[int]:
    """Return 1, 2, 4, ... below `epochs`, and `epochs`."""
    return [*(1 << power for power in range(epochs.bit_length()) if 1 << power < epochs), epochs]


def study_epochs(
    dataset: FeaturedDataset,
    config: Config,
    *,
    seeds: Sequence[int],
    device: str = "auto",
    processes: int | None = 1,
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[EpochFigures]:
    """Train the folds of each seed once and measure them after 1, 2, 4, ... epochs, ordered by epoch and seed.

    Test photos are not read. The learning rate decays over `train.epochs`, as in any training. With the rule "auto",
    the first rule is measured. Raises `UsageError` if there are no validation photos.
    """
    results = []
    for done, seed in enumerate(seeds):
        if on_progress:
            on_progress(done, len(seeds), 0)
        with torch.random.fork_rng():
            run = _EpochsRun(dataset, config, None, seed, choose_device(device).value, processes=processes)
            if not run.folds:
                raise UsageError(
                    "There are no validation photos: validation needs three seen classes and train.validation_classes "
                    "> 0."
                )
            run.validate(on_note or (lambda text: None), ahead=False)
        results += [EpochFigures(epoch, seed, figures) for epoch, figures in run.by_epoch.items()]
    return sorted(results, key=lambda result: (result.epoch, result.seed))
