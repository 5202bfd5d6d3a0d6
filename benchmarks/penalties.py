"""Compare the kinds of seen penalty on small data sets: python benchmarks/penalties.py animals|cub|flo

Twenty data sets are drawn from the training photos: some seen and some unseen classes, with 15 photos of each seen one
to train on and the rest to test. Visual prototypes alone with the default settings; each penalty is chosen on
the validation folds of the small data set, as `revcd train` does. Printed are means over the data sets of each size:
S, U, H; the share of the seen accuracy (without unseen candidates) that is lost, with the most of any data set; and the
share of correct photos when 10, 50 or 90 % of them show unseen classes. Test photos are not read.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from common import print_header, print_row
from new_classes import TRAIN, open_data

from revcd_cli.config import Config
from revcd_cli.data.datasets.dataset import Dataset, FeaturedDataset
from revcd_cli.data.datasets.splits import Split
from revcd_cli.pipeline.evaluate.evaluate import score_split
from revcd_cli.pipeline.evaluate.split_scores import SplitScores
from revcd_cli.pipeline.train.validation import draw_folds, score_unit_rows, validate_scores
from revcd_cli.scoring.model import build_model

CONFIG = Config.from_dict(  # small networks, which are not trained and not used
    {
        "precondition": {"kind": "standardise"},
        "encoder": {"n_tokens": 4, "width": 16, "heads": 2, "feedforward": 32},
        "denoiser": {"width": 32, "time_width": 16},
        "inference": {"rule": "prototype"},
    }
)
SIZES = ((6, 2), (6, 12), (24, 2), (24, 12))  # seen and unseen classes
DRAWS = 5
PHOTOS = 15  # of each seen class, to train on
MIXTURES = (0.1, 0.5, 0.9)  # shares of photos that show unseen classes
PENALTIES = {
    "harmonic": TRAIN,
    "sparing 0.02": dataclasses.replace(TRAIN, penalty="sparing", give_away=0.02),
    "sparing 0.05": dataclasses.replace(TRAIN, penalty="sparing", give_away=0.05),
    "sparing 0.1": dataclasses.replace(TRAIN, penalty="sparing", give_away=0.1),
    "sparing 0.2": dataclasses.replace(TRAIN, penalty="sparing", give_away=0.2),
}


def draw(source: FeaturedDataset, n_seen: int, n_unseen: int, seed: int) -> FeaturedDataset:
    """Return a data set of some seen classes of `source`, as seen and unseen ones."""
    random = np.random.default_rng([seed, n_seen, n_unseen])
    classes = random.permutation(source.seen)[: n_seen + n_unseen]
    rows, parts = [], []
    for place, label in enumerate(classes):
        own = random.permutation(source.split.trainval[source.labels[source.split.trainval] == label])
        seen = ["trainval" if k < PHOTOS else "test_seen" for k in range(len(own))]
        rows += own.tolist()
        parts += seen if place < n_seen else ["test_unseen"] * len(own)
    names = [source.classes.names[label] for label in source.labels[rows]]
    table = source.classes.select([source.classes.names[label] for label in sorted(classes.tolist())])
    return Dataset.from_arrays(source.features[rows], names, table, parts, name=f"{n_seen}-{n_unseen}-{seed}")


def scores_of(dataset: FeaturedDataset, split: Split) -> SplitScores:
    """Return the scores of a split by prototypes of its training photos, in units of their own spread."""
    trained, labels = np.unique(dataset.labels[split.trainval], return_inverse=True)
    described = torch.from_numpy(dataset.classes.values[trained])
    model = build_model(CONFIG, dataset.features.shape[1], described.shape[1], len(trained), 0)
    assert model.prototypes is not None
    model.prototypes.fit(torch.from_numpy(dataset.features[split.trainval]), torch.from_numpy(labels), described)
    some = torch.from_numpy(dataset.features[score_unit_rows(split)])
    model.fit_units(some, described, CONFIG.inference, ("prototype",))
    everything = np.arange(len(dataset.classes.names))
    return score_split(model, dataset, split, CONFIG.inference, seed=0, candidates=everything)


def penalties(table: Sequence[SplitScores], seen: Sequence[int], n_unseen: int) -> Iterator[tuple[str, str, float]]:
    """Yield the name, the candidates and the value of each kind of penalty, chosen on the folds.

    table: scores of the folds, with all classes as candidates; seen: those that have photos.
    """
    few = [fold.of_classes(torch.tensor(seen)) for fold in table]
    for among, folds in (("seen", few), ("table", table)):
        for name, settings in PENALTIES.items():
            result = validate_scores(folds, settings)
            yield name, among, result.gamma
            if (name, among) == ("harmonic", "seen"):
                yield "harmonic, gamma(K)", among, result.calibration.penalty(n_unseen)
    yield "none", "", 0.0


def measures(scores: SplitScores, gamma: float) -> dict[str, float]:
    report = scores.report(gamma)
    seen, unseen, alone = report.acc_seen or 0.0, report.acc_unseen or 0.0, report.acc_seen_alone or 1.0
    by_photo = report.sample_acc_seen or 0.0, report.sample_acc_unseen or 0.0
    mixed = {f"{share:.0%} unseen": (1 - share) * by_photo[0] + share * by_photo[1] for share in MIXTURES}
    return {"S": seen, "U": unseen, "H": report.harmonic_mean or 0.0, "lost": 1 - seen / alone, **mixed}


def main() -> None:
    source = open_data(sys.argv[1])
    found: dict[tuple[str, str, str], list[dict[str, float]]] = defaultdict(list)
    for n_seen, n_unseen in SIZES:
        for seed in range(DRAWS):
            dataset = draw(source, n_seen, n_unseen, seed)
            folds = [scores_of(dataset, split) for split in draw_folds(dataset, TRAIN, 0)]
            tested = scores_of(dataset, dataset.split)
            for name, among, gamma in penalties(folds, dataset.seen, n_unseen):
                for size in (f"{n_seen} seen, {n_unseen} unseen", "all"):
                    found[size, name, among].append(measures(tested, gamma))
    columns = ("S", "U", "H", "seen lost (most)", *(f"{share:.0%} unseen" for share in MIXTURES))
    print_header("data sets", "penalty", "candidates of validation", *columns)
    for (size, name, among), values in sorted(found.items(), key=lambda item: item[0][0] == "all"):
        mean = {key: 100 * np.mean([each[key] for each in values]) for key in values[0]}
        lost = f"{mean.pop('lost'):.1f} ({100 * max(each['lost'] for each in values):.0f})"
        shown = [f"{value:.1f}" for value in mean.values()]
        print_row(size, name, among, *shown[:3], lost, *shown[3:])


if __name__ == "__main__":
    main()
