"""One epoch of training against a plain loop: OMP_NUM_THREADS=1 python benchmarks/training.py

The plain loop trains the same network with the same losses, batch size and number of steps the way one writes it first:
a data set that gives one photo at a time, a DataLoader with a weighted sampler, AdamW as it comes, a moving average
weight by weight, and every loss read off at every step. Then the cost over the number of photos.
"""

from __future__ import annotations

import copy
import functools
import statistics
import sys

import torch
from networks import in_turn, network, ratio, rows
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from revcd_cli import runtime
from revcd_cli.core.loss import training_losses
from revcd_cli.core.trainer import Trainer, TrainingRows

ROUNDS = 5


class PlainLoop:
    """What one writes first."""

    def __init__(self, data: TrainingRows) -> None:
        self.model, self.data = network(data).requires_grad_(True).train(), data
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
            loss = training_losses(self.model, x, self.z[labels], labels, self.z).total
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
            self.optimizer.step()
            with torch.no_grad():
                for kept, now in zip(self.ema.parameters(), self.model.parameters(), strict=True):
                    kept.copy_(self.settings.ema_decay * kept + (1 - self.settings.ema_decay) * now)
            history.append(loss.item())
        return history


def main() -> None:
    if "--as-it-comes" not in sys.argv:
        runtime.keep_memory()
    print("| photos | steps | plain loop, s | revcd, s | ratio | revcd, ms a step |")
    for photos in (500, 2000, 8000):
        data = rows(photos)
        plain, trainer = PlainLoop(data), Trainer(network(data).requires_grad_(True), data)
        ways = {"plain": plain.run_epoch, "revcd": functools.partial(trainer.run_epoch, 0, 0)}
        seconds = in_turn(ways, ROUNDS)
        plain_s, ours = (statistics.median(seconds[name]) for name in ways)
        each = 1000 * ours / trainer.steps_per_epoch
        against = ratio(seconds["plain"], seconds["revcd"])
        print(f"| {photos} | {trainer.steps_per_epoch} | {plain_s:.2f} | {ours:.2f} | {against} | {each:.0f} |")


if __name__ == "__main__":
    main()
