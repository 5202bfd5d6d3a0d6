"""Compare training with a standard DataLoader loop: python benchmarks/training.py

The standard loop trains the same networks with the same losses, batch size and number of steps. It is not optimised: a
dataset that yields single photos, a DataLoader with a weighted sampler, AdamW with its default implementation, an
exponential moving average updated tensor by tensor, and the value of the loss read after every step.

First table: wall-clock time of all trainings of the default model (5 folds and the final training, two networks each)
without scoring. The standard loops run sequentially with torch's default threads; revcd uses all processors. Second
table: processor time of one epoch of one network, both on one thread and with freed memory kept by the process.
"""

from __future__ import annotations

import copy
import functools
import math
import statistics
import time
from dataclasses import replace

import torch
from common import print_header, print_row, speed_up, time_in_rounds
from networks import dataset, network, rows
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from revcd_cli.config import Config
from revcd_cli.core.loss import training_losses
from revcd_cli.core.model import RevCD
from revcd_cli.core.trainer import Trainer, TrainingRows
from revcd_cli.pipeline.train.parallel import run_units
from revcd_cli.pipeline.train.run import TrainingRun
from revcd_cli.pipeline.train.unit import TrainingUnit
from revcd_cli.system.memory import keep_freed_memory
from revcd_cli.system.threads import one_thread

ROUNDS, WHOLE_ROUNDS = 5, 2


class StandardLoop:
    """A training loop without optimisations, for one network."""

    def __init__(self, model: RevCD, data: TrainingRows) -> None:
        self.model, self.data = model.requires_grad_(True).train(), data
        model.fit_preprocessing(data.features, data.labels, data.prototypes)
        self.ema = copy.deepcopy(self.model)
        self.settings = self.model.config.train
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.settings.learning_rate)
        self.z = self.model.precondition(data.prototypes)
        share = 1.0 / torch.bincount(data.labels)[data.labels]
        sampler = WeightedRandomSampler(share.tolist(), len(data))
        dataset = TensorDataset(data.features, data.labels)
        self.loader = DataLoader(dataset, self.settings.batch_size, sampler=sampler, drop_last=True)

    def run_epoch(self) -> list[float]:
        history = []
        for x, labels in self.loader:
            loss = training_losses(self.model, self.model.scaler(x), self.z[labels], labels, self.z).total
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
            self.optimizer.step()
            with torch.no_grad():
                for kept, now in zip(self.ema.parameters(), self.model.parameters(), strict=True):
                    kept.copy_(self.settings.ema_decay * kept + (1 - self.settings.ema_decay) * now)
            history.append(loss.item())
        return history


def whole_model() -> None:
    """Time all trainings of the default model, for growing numbers of photos."""
    print_header("photos", "epochs", "processes", "standard loops, s", "revcd, s", "speed-up")
    for photos, epochs in ((2000, 20), (8000, 10)):
        config = Config.from_dict({"train": {"epochs": epochs}})
        run = TrainingRun(dataset(photos), config, None, 0, torch.device("cpu"), processes=None)
        units = [replace(unit, kept=frozenset()) for unit in (*run.fold_units, run.final_unit)]
        variants = {
            "standard": functools.partial(train_by_loops, units),
            "revcd": functools.partial(train_by_revcd, units, run.processes),
        }
        seconds = time_in_rounds(variants, WHOLE_ROUNDS, time.monotonic, warm_up=False)
        loop_s, ours = (statistics.median(seconds[name]) for name in variants)
        faster = speed_up(seconds["standard"], seconds["revcd"])
        print_row(f"{photos:,}", epochs, run.processes, f"{loop_s:.1f}", f"{ours:.1f}", faster)


def train_by_loops(units: list[TrainingUnit]) -> None:
    for unit in units:
        for one in unit.untrained().networks:
            loop = StandardLoop(one, unit.rows())
            for _ in range(unit.epochs):
                loop.run_epoch()


def train_by_revcd(units: list[TrainingUnit], processes: int) -> None:
    for _ in run_units(units, {}, processes, math.inf):
        pass


def one_network() -> None:
    """Time one epoch of one network, for growing numbers of photos."""
    print_header("photos", "steps", "standard loop, CPU s", "revcd, CPU s", "speed-up", "revcd, CPU ms/step")
    for photos in (500, 2000, 8000):
        data = rows(photos)
        loop, trainer = StandardLoop(network(data), data), Trainer(network(data).requires_grad_(True), data)
        variants = {"standard": loop.run_epoch, "revcd": functools.partial(trainer.run_epoch, 0, 0)}
        with one_thread():
            seconds = time_in_rounds(variants, ROUNDS)
        loop_s, ours = (statistics.median(seconds[name]) for name in variants)
        each = 1000 * ours / trainer.steps_per_epoch
        faster = speed_up(seconds["standard"], seconds["revcd"])
        print_row(f"{photos:,}", trainer.steps_per_epoch, f"{loop_s:.2f}", f"{ours:.2f}", faster, f"{each:.0f}")


def main() -> None:
    whole_model()
    keep_freed_memory()
    one_network()


if __name__ == "__main__":
    main()
