"""Measure what a new class gains and costs: python benchmarks/new_classes.py cub|flo|animals [TABLE ...]

Visual prototypes alone, with the default settings or those given as KEY=VALUE, on validation folds: the held-out
classes are the new ones, and the seen penalty is the best for the folds. Test photos are not read. Tables: photos
(given for the new classes), neighbours (photos that the most similar seen class keeps), shares (their closed form, and
real photos), limits (of the penalty, by these shares), sparing (the same with the penalty of `revcd train` for a user's
data, and all classes of the table as candidates), number (the penalty for fewer new classes), settings (chosen on some
folds, measured on the others). Features of the embedded backbone.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch
from common import ANIMALS, print_header, print_row
from torch import Tensor

from revcd_cli.config import Config, PrototypeConfig, TrainConfig
from revcd_cli.core.precondition import class_means
from revcd_cli.data.datasets.dataset import FeaturedDataset, require_features
from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.data.datasets.splits import Split
from revcd_cli.metrics.neighbours import photos_kept
from revcd_cli.metrics.summary import KEPT
from revcd_cli.pipeline.evaluate.evaluate import split_frame
from revcd_cli.pipeline.evaluate.split_scores import SplitScores
from revcd_cli.pipeline.extract.dataset_features import with_features
from revcd_cli.pipeline.train.candidate_numbers import fit_slope
from revcd_cli.pipeline.train.validation import draw_folds, validate_scores
from revcd_cli.scoring.calibration import calibrated
from revcd_cli.scoring.candidate_kinds import CandidateKinds
from revcd_cli.scoring.model import ZeroShotModel
from revcd_cli.scoring.prototypes.photo_shares import PhotoModel
from revcd_cli.scoring.prototypes.visual_prototypes import VisualPrototypes

TRAIN, SEED = Config().train, 0
EDITED = 0.1  # share of the values that an edited copy of a row takes from another class


class Fold:
    """The prototypes of a fold's training classes, and its candidates: these and the held-out classes."""

    def __init__(
        self, dataset: FeaturedDataset, split: Split, settings: PrototypeConfig, whole_table: bool = False
    ) -> None:
        self.dataset, self.split = dataset, split
        trained, labels = np.unique(dataset.labels[split.trainval], return_inverse=True)
        self.candidates = np.arange(len(dataset.classes.names)) if whole_table else np.array(dataset.seen)
        own = np.full(len(dataset.classes.names), -1)
        own[trained] = np.arange(len(trained))
        self.own = torch.from_numpy(own[self.candidates])
        self.rows = torch.from_numpy(dataset.classes.values.astype(np.float64))
        self.frame = split_frame(dataset, split, self.candidates)
        self.model = VisualPrototypes(settings, dataset.features.shape[1], self.rows.shape[1], len(trained)).double()
        self.model.fit(self._photos(split.trainval), torch.from_numpy(labels), self.rows[trained])

    def refitted(self, settings: PrototypeConfig) -> Fold:
        """Return the fold with other settings of the kernel and of the seen classes."""
        other = object.__new__(Fold)
        trained = self.candidates[(self.own >= 0).numpy()]
        other.__dict__ = {**self.__dict__, "model": self.model.with_kernel(settings, self.rows[trained])}
        return other

    def scores(self, given: int = 0, described: bool = True, seed: int = 0) -> SplitScores:
        """Return the scores of the fold's test photos, after `given` photos of each new class, which are left out."""
        unseen, labels = self._photos(self.split.test_unseen), self.frame.labels_unseen
        kinds = CandidateKinds(self.own, described=(self.own >= 0) | described)
        kept = torch.ones(len(labels), dtype=torch.bool)
        if given:
            generator = torch.Generator().manual_seed(seed)
            for label in labels.unique():
                photos = torch.nonzero(labels == label)[:, 0]
                kept[photos[torch.randperm(len(photos), generator=generator)[:given]]] = False
            means = class_means(self.model.photo_components(unseen[~kept]), labels[~kept], len(self.own))
            counts = labels[~kept].bincount(minlength=len(self.own)).double()
            kinds = dataclasses.replace(kinds, photos=means, counts=counts)
        rows = self.rows[self.candidates]
        return dataclasses.replace(
            self.frame,
            scores_seen=self.model(self._photos(self.split.test_seen), rows, kinds),
            scores_unseen=self.model(unseen[kept], rows, kinds),
            labels_unseen=labels[kept],
        )

    def limited(self, scores: SplitScores) -> SplitScores:
        """Return the scores with the limits of the seen penalty by `prototypes.taken_limit`."""
        limits = self.zero_shot.penalty_limits(self.rows[self.candidates], CandidateKinds(self.own), "prototype")
        return dataclasses.replace(scores, limits=limits)

    def one_new_class_kept(self, scores: SplitScores, gamma: float) -> list[float]:
        """Return the share of its photos that each new class alone leaves to its neighbour, with penalty and limit."""
        seen, shares = torch.nonzero(scores.seen)[:, 0], []
        for new in torch.nonzero(~scores.seen)[:, 0].tolist():
            rows = torch.cat([seen, torch.tensor([new])])
            limits = self.zero_shot.penalty_limits(
                self.rows[self.candidates[rows]], CandidateKinds(self.own[rows]), "prototype"
            )
            place = torch.full((len(scores.names),), -1)
            place[rows] = torch.arange(len(rows))
            nearest = torch.where(torch.arange(len(rows)) == len(seen), place[scores.nearest[new]], -1)
            of_rows = calibrated(scores.scores_seen[:, rows], scores.seen[rows], gamma, limits)
            kept = photos_kept(of_rows, place[scores.labels_seen], scores.seen[rows], nearest)
            shares += [] if kept is None else [kept]
        return shares

    @property
    def zero_shot(self) -> ZeroShotModel:
        """The prototypes as a model without networks."""
        return ZeroShotModel(Config(), [], self.model).double()

    def edited_copies(self) -> Tensor:
        """Return for each seen class a copy of its row with some values of another class."""
        generator = torch.Generator().manual_seed(SEED)
        seen = torch.nonzero(self.own >= 0)[:, 0]
        copies = self.rows[self.candidates][seen]
        for row in range(len(seen)):
            other = (row + 1 + int(torch.randint(len(seen) - 1, (1,), generator=generator))) % len(seen)
            columns = torch.randperm(copies.shape[1], generator=generator)[: round(EDITED * copies.shape[1])]
            copies[row, columns] = self.rows[self.candidates][seen[other], columns]
        return copies

    def edited_copies_kept(self, gamma: float) -> float:
        """Return the share of its photos that a seen class keeps next to the copy of its row, one copy at a time."""
        seen, copies = torch.nonzero(self.own >= 0)[:, 0], self.edited_copies()
        rows = torch.cat([self.rows[self.candidates][seen], copies])
        own = torch.cat([self.own[seen], torch.full_like(seen, -1)])
        is_seen, nearest = own >= 0, torch.cat([torch.full_like(seen, -1), torch.arange(len(seen))])
        place = torch.full((len(self.own),), -1)
        place[seen] = torch.arange(len(seen))
        scores = self.model(self._photos(self.split.test_seen), rows, CandidateKinds(own))
        limits = self.zero_shot.penalty_limits(rows, CandidateKinds(own), "prototype")
        values = calibrated(scores, is_seen, gamma, limits)
        return photos_kept(values, place[self.frame.labels_seen], is_seen, nearest) or 0.0

    def _photos(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.dataset.features[rows]).double()


def main() -> None:
    name, *rest = sys.argv[1:]
    values = dict(each.split("=") for each in rest if "=" in each)
    settings = PrototypeConfig(**{key: float(value) for key, value in values.items()}).fixed()
    dataset = open_data(name)
    folds = [Fold(dataset, split, settings) for split in draw_folds(dataset, TRAIN, SEED)]
    print(f"{name}: {len(folds)} folds of {int((folds[0].own < 0).sum())} new classes; {settings}")
    chosen = [each for each in rest if "=" not in each] or list(TABLES)
    for table in chosen:
        print(f"\n{table}")
        TABLES[table](folds, settings)


def photos(folds: Sequence[Fold], settings: PrototypeConfig) -> None:
    plain = validate_scores([fold.scores() for fold in folds], TRAIN).gamma
    print_header("photos of each new class", "description", "S", "U", "H", "T1", "AUSUC", "H by the penalty for none")
    for given, described in ((0, True), (1, True), (2, True), (5, True), (1, False), (5, False)):
        scores = [fold.scores(given, described) for fold in folds]
        result = validate_scores(scores, TRAIN).figures
        same = np.mean([each.report(plain).harmonic_mean for each in scores])
        print_row(given, "yes" if described else "no", *_percent(result), f"{100 * same:.1f}")


def neighbours(folds: Sequence[Fold], settings: PrototypeConfig) -> None:
    print_header(
        "own_share", "penalty", "S", "U", "H", "T1", "AUSUC", "kept next to new classes", "next to edited copies"
    )
    for share in (0.0, settings.own_share, 0.3, 1.0):
        some = [fold.refitted(dataclasses.replace(settings, own_share=share)) for fold in folds]
        scores = [fold.scores() for fold in some]
        for kind, train in (("best", TRAIN), ("none", dataclasses.replace(TRAIN, penalty="none"))):
            result = validate_scores(scores, train)
            copies = 100 * np.mean([fold.edited_copies_kept(result.gamma) for fold in some])
            kept = 100 * (result.figures[KEPT] or 0.0)
            print_row(share, kind, *_percent(result.figures), f"{kept:.1f}", f"{copies:.1f}")


def shares(folds: Sequence[Fold], settings: PrototypeConfig) -> None:
    """Compare the shares of photos that new classes take, by the closed form, with those of real photos."""
    scores = [fold.scores() for fold in folds]
    best = validate_scores(scores, TRAIN).gamma
    print_header("penalty", "new classes", "pairs", "mean share", "closed form", "mean error", "correlation")
    for name, gamma in (("best", best), ("half of it", best / 2)):
        for kind in ("held-out", "edited copies"):
            found = [
                pair for fold, each in zip(folds, scores, strict=True) for pair in _shares(fold, each, gamma, kind)
            ]
            expected, real = np.array(found).T
            print_row(
                name, kind, len(found), f"{100 * real.mean():.1f}", f"{100 * expected.mean():.1f}",
                f"{100 * np.abs(expected - real).mean():.1f}", f"{np.corrcoef(expected, real)[0, 1]:.2f}",
            )  # fmt: skip


def _shares(fold: Fold, scores: SplitScores, gamma: float, kind: str) -> list[tuple[float, float]]:
    """Return the expected and the real share of each new class and the seen classes that it resembles most."""
    state = {name: value.numpy() for name, value in fold.model.named_buffers()}
    model = PhotoModel.of(state, fold.model.config, 1.0)
    seen = torch.nonzero(scores.seen)[:, 0]
    rows = fold.rows[fold.candidates]
    new = rows[~scores.seen] if kind == "held-out" else fold.edited_copies()
    pairs, expected = model.taken(new.numpy(), rows[seen].numpy(), fold.own[seen].numpy(), gamma)
    of_seen = scores.scores_seen[:, seen]
    of_new = fold.model(fold._photos(fold.split.test_seen), new)
    right = seen[of_seen.argmax(1)] == scores.labels_seen
    found = []
    for k, (classes, values) in enumerate(zip(pairs, expected, strict=True)):
        for place, value in list(zip(classes.tolist(), values.tolist(), strict=True))[: 3 if kind == "held-out" else 1]:
            photos = right & (scores.labels_seen == seen[place])
            if photos.any():
                real = (of_new[photos, k] > of_seen[photos, place] - gamma).double().mean()
                found.append((value, float(real)))
    return found


def limits(folds: Sequence[Fold], settings: PrototypeConfig) -> None:
    print_limits(folds, settings, TRAIN, (1.0, 0.5, 0.4, 0.3, 0.2, 0.1))


def sparing(folds: Sequence[Fold], settings: PrototypeConfig) -> None:
    some = [Fold(fold.dataset, fold.split, settings, whole_table=True) for fold in folds]
    print_limits(some, settings, dataclasses.replace(TRAIN, penalty="sparing"), (1.0, 0.5, 0.3, 0.2, 0.1, 0.05))


def print_limits(folds: Sequence[Fold], settings: PrototypeConfig, train: TrainConfig, tried: Sequence[float]) -> None:
    plain = [fold.scores() for fold in folds]
    gamma, whole = validate_scores(plain, train).gamma, int((folds[0].own < 0).sum())
    slope = 0.0 if train.penalty == "sparing" else fit_slope(plain, gamma)
    alone = gamma + slope * math.log(max(1 / whole, 0.1))  # as `Calibration.penalty`
    print_header(
        "taken_limit", "S", "U", "H", "kept next to new classes", "next to a single one", "next to edited copies"
    )
    for limit in tried:
        some = [fold.refitted(dataclasses.replace(settings, taken_limit=limit)) for fold in folds]
        reports = [fold.limited(scores).report(gamma) for fold, scores in zip(some, plain, strict=True)]
        figures = [
            100 * np.mean([getattr(report, name) for report in reports])
            for name in ("acc_seen", "acc_unseen", "harmonic_mean", "neighbour_photos_kept")
        ]
        one = [
            share for fold, scores in zip(some, plain, strict=True) for share in fold.one_new_class_kept(scores, alone)
        ]
        copies = np.mean([fold.edited_copies_kept(gamma) for fold in some])
        print_row(limit, *(f"{value:.1f}" for value in (*figures, 100 * np.mean(one), 100 * copies)))


def number(folds: Sequence[Fold], settings: PrototypeConfig) -> None:
    scores = [fold.scores() for fold in folds]
    gamma, whole = validate_scores(scores, TRAIN).gamma, int((folds[0].own < 0).sum())
    slope = fit_slope(scores, gamma)
    print(f"gamma {gamma:.2f}, slope {slope:.2f}")
    print_header("new classes", "H, fixed penalty", "H, gamma(K)", "best possible")
    for count in [count for count in (1, 2, 5, 10, 20) if count < whole]:
        some = [_subset(each, count, seed) for each in scores for seed in range(5)]
        fitted = gamma + slope * math.log(count / whole)
        best = validate_scores(some, TRAIN).gamma
        means = (100 * np.mean([each.report(g).harmonic_mean for each in some]) for g in (gamma, fitted, best))
        print_row(count, *(f"{mean:.1f}" for mean in means))


def settings_of(folds: Sequence[Fold], settings: PrototypeConfig) -> None:
    grid = itertools.product((1.0, 2.0, 4.0, 8.0), (0.05, 0.1, 0.2, 0.5), (0.0, 0.1, 0.3, 1.0))
    results = {}
    for length, noise, share in grid:
        tried = dataclasses.replace(settings, length=length, noise=noise, own_share=share)
        results[length, noise, share] = validate_scores([fold.refitted(tried).scores() for fold in folds], TRAIN)
    figure = {key: [100 * fold["H"] for fold in result.folds] for key, result in results.items()}
    best = max(figure, key=lambda key: np.mean(figure[key]))
    print_header("length, noise, own_share", "H, mean of the folds", "AUSUC")
    for key in sorted(figure, key=lambda key: -np.mean(figure[key]))[:5]:
        print_row(key, f"{np.mean(figure[key]):.1f}", f"{100 * results[key].figures['AUSUC']:.1f}")
    nested = []
    for held in range(len(folds)):
        others = [k for k in range(len(folds)) if k != held]
        choice = max(figure, key=lambda key: np.mean([figure[key][k] for k in others]))
        nested.append(figure[choice][held])
    print(f"H of the best settings {np.mean(figure[best]):.1f}; chosen on the other folds {np.mean(nested):.1f}")


TABLES: dict[str, Callable[[Sequence[Fold], PrototypeConfig], None]] = {
    "photos": photos,
    "neighbours": neighbours,
    "shares": shares,
    "limits": limits,
    "sparing": sparing,
    "number": number,
    "settings": settings_of,
}


def _subset(scores: SplitScores, count: int, seed: int) -> SplitScores:
    unseen = torch.nonzero(~scores.seen)[:, 0]
    kept = unseen[torch.randperm(len(unseen), generator=torch.Generator().manual_seed(seed))[:count]]
    return scores.of_classes(torch.cat([torch.nonzero(scores.seen)[:, 0], kept]).sort().values)


def _percent(figures: dict[str, float | None]) -> list[str]:
    return [f"{100 * (figures[name] or 0.0):.1f}" for name in ("S", "U", "H", "T1", "AUSUC")]


def open_data(name: str) -> FeaturedDataset:
    if name in ("cub", "flo"):
        return require_features(open_dataset(name, data_root=ANIMALS.parent / "xlsa17", features="embedded.mat"))
    folder = open_dataset(str(ANIMALS), missing="mean", write_split=False)
    return with_features(folder, backbone="embedded", precision="float32")


if __name__ == "__main__":
    main()
