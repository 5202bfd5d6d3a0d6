"""Measure how well few answers describe a new class: python benchmarks/new_classes_questions.py cub|animals|time [DATA]

Visual prototypes are fitted on the training classes of each validation fold; the held-out classes are the new ones.
Their rows are described by a part of their true values, the others are imputed from the rows of the training classes.
Printed: T1 of the held-out classes (top-1 accuracy among them, mean over classes and folds), for several ways to choose
and to give the answers. Test photos are not read. DATA is the folder of the benchmarks, or the animals folder. "time"
prints the processor time of a step of `classes new`, from one answer to the next question, with the included model.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import ANIMALS, print_header, print_row

from revcd_cli.config import Config
from revcd_cli.data.classes.attributes import ClassAttributes
from revcd_cli.data.classes.imputation import RowDistribution, error_factor
from revcd_cli.data.classes.levels import level_values
from revcd_cli.data.datasets.dataset import FeaturedDataset, require_features
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.pipeline.extract.dataset_features import with_features
from revcd_cli.pipeline.tables.description_space import own_units, read_description_space
from revcd_cli.pipeline.tables.new_class.session import NewClass
from revcd_cli.pipeline.train.validation import draw_folds
from revcd_cli.scoring.prototypes.visual_prototypes import VisualPrototypes

COUNTS = (10, 20, 40, 80)
QUESTIONS = 20
SEED = 0


class Fold:
    """The prototypes of a fold's training classes, and the photos of its held-out classes."""

    def __init__(self, dataset: FeaturedDataset, train: np.ndarray, held: np.ndarray, config: Config) -> None:
        seen, place = np.unique(dataset.labels[train], return_inverse=True)
        self.new, labels = np.unique(dataset.labels[held], return_inverse=True)
        self.classes = dataset.classes
        self.known = dataset.classes.values[seen].astype(np.float64)
        self.known_names = [dataset.classes.names[row] for row in seen]
        self.full = dataset.classes.values[self.new].astype(np.float64)
        self.rows = RowDistribution.of(self.known)
        self.model = VisualPrototypes(config.prototypes, dataset.features.shape[1], self.known.shape[1], len(seen))
        self.model.double().fit(
            torch.from_numpy(dataset.features[train]), torch.from_numpy(place), torch.from_numpy(self.known)
        )
        self.photos, self.labels = torch.from_numpy(dataset.features[held]).double(), labels

    @torch.no_grad()
    def t1(self, described: np.ndarray) -> float:
        """Return T1 in percent with these descriptions of the held-out classes (K, A)."""
        best = self.model(self.photos, torch.from_numpy(described)).argmax(1).numpy()
        return float(100 * np.mean([np.mean(best[self.labels == k] == k) for k in range(len(described))]))

    def imputed(self, columns: list[int], given: np.ndarray | None = None) -> np.ndarray:
        """Return rows of which only these columns are given. given: (K, A) answers, by default the true values."""
        answers = (self.full if given is None else given)[:, columns]
        found = self.rows.given(columns, answers).values
        inside = found.clip(self.known.min(axis=0), self.known.max(axis=0))
        inside[:, columns] = answers
        return inside

    def mean_filled(self, columns: list[int]) -> np.ndarray:
        """Return rows of which the columns that are not given have the mean of the training classes."""
        rows = np.tile(self.rows.mean, (len(self.full), 1))
        rows[:, columns] = self.full[:, columns]
        return rows

    def in_words(self, levels: np.ndarray) -> np.ndarray:
        """Return the true rows, each value replaced by the nearest of its column's levels (L, A)."""
        nearest = np.abs(self.full[None] - levels[:, None]).argmin(axis=0)
        return np.take_along_axis(levels, nearest, axis=0)

    def relatives(self) -> list[list[int]]:
        """Return the two most similar training classes of each held-out class, by their standardised values."""
        units = own_units(np.concatenate([self.known, self.full]))
        cosines = units[len(self.known) :] @ units[: len(self.known)].T
        return [np.argsort(-row, kind="stable")[:2].tolist() for row in cosines]

    def asked(self) -> tuple[np.ndarray, float]:
        """Return the rows after the questions of `revcd classes new`, which end by themselves, and the mean number."""
        names = tuple(self.known_names)
        table = ClassAttributes(names, self.classes.attributes, self.known.astype(np.float32), "", "")
        described, counts = [], []
        for true in self.full:
            new = NewClass.start("new class", table)
            while len(new.draft.answers) < QUESTIONS and new.could_move():
                column = new.draft.next_column()
                assert column is not None
                new.give(column, float(true[column]))
            described.append(new.draft.estimate().values)
            counts.append(len(new.draft.answers))
        return np.stack(described), float(np.mean(counts))


def print_step_times() -> None:
    """Print the mean and the largest processor time of a step, and the time from reading the model to the row."""
    started, steps = time.process_time(), []
    known = read_description_space("animals")
    base = known.classes.select([name for name in known.classes.names if name != "moose"])
    true = known.classes.values[known.classes.index("moose")]
    new = NewClass.start("moose", base, known)
    for _ in range(QUESTIONS):
        begin = time.process_time()
        question = new.question()
        assert question is not None
        new.could_move()
        new.give(question.column, float(true[question.column]))
        (new.nearest(), new.verdict(), new.taken_photos())
        steps.append(1000 * (time.process_time() - begin))
    row, seconds = new.row(), time.process_time() - started
    print(f"step: {np.mean(steps):.1f} ms, {max(steps):.1f} at most; to the row of {len(row)} values: {seconds:.2f} s")


def main() -> None:
    if sys.argv[1:] == ["time"]:
        print_step_times()
        return
    dataset, config = _open(*sys.argv[1:])
    folds = [
        Fold(dataset, split.trainval, split.test_unseen, config) for split in draw_folds(dataset, config.train, SEED)
    ]
    measure = _measure(folds)
    full = measure(lambda fold: fold.full)
    print(f"{len(folds)} folds; T1 with all {len(dataset.classes.attributes)} true values: {full:.1f}\n")
    print_header("answers", "random, rest = mean", "random, imputed", "by variance, imputed", "the same, in five words")
    for count in [count for count in COUNTS if count < len(dataset.classes.attributes)]:
        random = np.random.default_rng(SEED).permutation(len(dataset.classes.attributes))[:count].tolist()
        print_row(
            count,
            f"{measure(lambda fold, k=random: fold.mean_filled(k)):.1f}",
            f"{measure(lambda fold, k=random: fold.imputed(k)):.1f}",
            f"{measure(lambda fold, n=count: fold.imputed(fold.rows.question_order(n))):.1f}",
            f"{measure(lambda fold, n=count: fold.imputed(fold.rows.question_order(n), _words(fold))):.1f}",
        )
    print()
    print_header("description", "T1", "share of all true values")
    stopped, counts = zip(*(fold.asked() for fold in folds), strict=True)
    ways = {
        "all values in five words": measure(_words),
        "all values, yes or no (quantiles 0.25 and 0.9)": measure(
            lambda fold: fold.in_words(np.quantile(fold.known, (0.25, 0.9), axis=0))
        ),
        "mean of the two most similar classes": measure(_relatives),
        f"the same with the {QUESTIONS} largest differences put right": measure(_put_right),
        f"at most {QUESTIONS} questions that end by themselves ({np.mean(counts):.1f} asked)": float(
            np.mean([fold.t1(rows) for fold, rows in zip(folds, stopped, strict=True)])
        ),
    }
    for name, found in ways.items():
        print_row(name, f"{found:.1f}", f"{100 * found / full:.0f} %")
    _print_errors(folds)


def _open(name: str, data: str = "") -> tuple[FeaturedDataset, Config]:
    if name == "cub":
        root = Path(data) if data else ANIMALS.parent / "xlsa17"
        dataset = open_dataset("cub", data_root=root, features="vgg19.mat")
        return require_features(dataset), Config.from_dict({"train": {"validation_folds": 1}})
    folder = open_dataset(data or str(ANIMALS), missing="mean", write_split=False)
    return with_features(folder, backbone="embedded", precision="float32"), Config()


def _measure(folds: list[Fold]) -> Callable[[Callable[[Fold], np.ndarray]], float]:
    return lambda describe: float(np.mean([fold.t1(describe(fold)) for fold in folds]))


def _words(fold: Fold) -> np.ndarray:
    return fold.in_words(level_values(fold.known))


def _relatives(fold: Fold) -> np.ndarray:
    return np.stack([fold.known[rows].mean(axis=0) for rows in fold.relatives()])


def _put_right(fold: Fold) -> np.ndarray:
    rows = _relatives(fold)
    unit = fold.known.std(axis=0)
    largest = np.argsort(-np.abs(fold.full - rows) / np.where(unit > 0, unit, 1), axis=1, kind="stable")[:, :QUESTIONS]
    np.put_along_axis(rows, largest, np.take_along_axis(fold.full, largest, axis=1), axis=1)
    return rows


def _print_errors(folds: list[Fold]) -> None:
    """Print the typical error of imputed values that the program states, and the real one."""
    stated, real = [], []
    for fold in folds:
        columns = fold.rows.question_order(QUESTIONS)
        given = np.isin(np.arange(len(fold.rows.mean)), columns)
        unit = fold.classes.values.std(axis=0)
        rest = ~given & (fold.known.std(axis=0) > 0)
        found = fold.rows.given(columns, fold.full[:, columns])
        factor = error_factor(fold.known, given[None])
        stated.append((factor * found.spread[rest] / unit[rest]) ** 2)
        real.append((((fold.imputed(columns) - fold.full) / unit)[:, rest] ** 2).ravel())
    errors = [f"{np.sqrt(np.concatenate(part).mean()):.2f}" for part in (stated, real)]
    print(
        f"\nTypical error of imputed values after {QUESTIONS} answers: stated {errors[0]}, real {errors[1]} deviations"
    )


if __name__ == "__main__":
    main()
