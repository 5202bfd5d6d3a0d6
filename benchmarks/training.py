"""Training against a plain DataLoader loop: python benchmarks/training.py

The plain loop trains the same networks with the same losses, batch size and number of steps the way one writes it
first: a data set that gives one photo at a time, a DataLoader with a weighted sampler, AdamW as it comes, a moving
average weight by weight, and every loss read off at every step. First all that the default model is trained for, five
folds and the final training of two networks each, without the scoring between, by the clock and with all processors:
the plain loops one after the other, with torch's threads and memory as they come, as in a script. Then one epoch of one
network, both on one thread and with kept memory, by processor time.
"""

from __future__ import annotations

import copy
import functools
import math
import statistics
import time
from dataclasses import replace

import torch
from networks import dataset, in_turn, network, ratio, rows
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


class PlainLoop:
    """The plain training loop."""

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
    """Everything that the default model is trained for, over the number of photos."""
    print("| photos | epochs | processes | plain loops, s | revcd, s | ratio |")
    for photos, epochs in ((2000, 20), (8000, 10)):
        config = Config.from_dict({"train": {"epochs": epochs}})
        run = TrainingRun(dataset(photos), config, None, 0, torch.device("cpu"), processes=None)
        units = [replace(unit, kept=frozenset()) for unit in (*run.fold_units, run.final_unit)]
        ways = {"plain": functools.partial(plainly, units), "revcd": functools.partial(trained, units, run.processes)}
        seconds = in_turn(ways, WHOLE_ROUNDS, time.monotonic, warm=False)
        plain_s, ours = (statistics.median(seconds[name]) for name in ways)
        against = ratio(seconds["plain"], seconds["revcd"])
        print(f"| {photos:,} | {epochs} | {run.processes} | {plain_s:.1f} | {ours:.1f} | {against} |", flush=True)


def plainly(units: list[TrainingUnit]) -> None:
    for unit in units:
        for one in unit.untrained().networks:
            loop = PlainLoop(one, unit.rows())
            for _ in range(unit.epochs):
                loop.run_epoch()


def trained(units: list[TrainingUnit], processes: int) -> None:
    for _ in run_units(units, {}, processes, math.inf):
        pass


def one_network() -> None:
    """One epoch over the number of photos."""
    print("| photos | steps | plain loop, s | revcd, s | ratio | revcd, ms a step |")
    for photos in (500, 2000, 8000):
        data = rows(photos)
        plain, trainer = PlainLoop(network(data), data), Trainer(network(data).requires_grad_(True), data)
        ways = {"plain": plain.run_epoch, "revcd": functools.partial(trainer.run_epoch, 0, 0)}
        with one_thread():
            seconds = in_turn(ways, ROUNDS)
        plain_s, ours = (statistics.median(seconds[name]) for name in ways)
        each = 1000 * ours / trainer.steps_per_epoch
        against = ratio(seconds["plain"], seconds["revcd"])
        print(f"| {photos:,} | {trainer.steps_per_epoch} | {plain_s:.2f} | {ours:.2f} | {against} | {each:.0f} |")


def main() -> None:
    whole_model()
    keep_freed_memory()
    one_network()


if __name__ == "__main__":
    main()
