"""Write the results of `revcd study`: plots, denoise.csv, epochs.csv and ladder.json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..config import Config
from ..data.datasets.dataset import FeaturedDataset
from ..pipeline.fingerprint import describe_data
from ..pipeline.study.cls_weight import WeightResult
from ..pipeline.study.denoise import ChainSamples
from ..pipeline.study.epochs import EpochFigures
from ..pipeline.study.ladder import StepResult, summarise_step
from ..system.files import write_bytes
from ..version import __version__
from .documents import csv_bytes, json_bytes
from .plots.denoise import plot_denoise
from .plots.figures import plot_cls_weight, plot_epochs

CLS_WEIGHT_PLOTS = ("cls_weight.png", "cls_weight.svg")
DENOISE_FILES = ("denoise.csv", "denoise.png", "denoise.svg")
EPOCHS_FILES = ("epochs.csv", "epochs.png", "epochs.svg")
LADDER_FILES = ("ladder.json",)


def write_cls_weight_plots(folder: Path, results: Sequence[WeightResult], dataset_name: str) -> None:
    """Write `CLS_WEIGHT_PLOTS`: S, U and H over the weight. results: all of one split, ordered by weight and seed."""
    photos = "test photos" if results[0].split == "test" else "validation part of the seen classes"
    plots = plot_cls_weight([vars(result) for result in results], f"{dataset_name}, {photos}")
    for name, data in zip(CLS_WEIGHT_PLOTS, plots, strict=True):
        write_bytes(folder / name, data)


def write_denoise(folder: Path, samples: ChainSamples, dataset: FeaturedDataset) -> None:
    """Write `DENOISE_FILES`: a table with a row per timestep and photo, and the plot."""
    plots = plot_denoise(samples, dataset.classes.names, dataset.name)
    for name, data in zip(DENOISE_FILES, (_denoise_csv(samples, dataset), *plots), strict=True):
        write_bytes(folder / name, data)


def _denoise_csv(samples: ChainSamples, dataset: FeaturedDataset) -> bytes:
    columns = ("step", "t", "photo", "class", "seen", "x", "y", "cosine")
    return csv_bytes(columns, _denoise_rows(samples, dataset))


def _denoise_rows(samples: ChainSamples, dataset: FeaturedDataset) -> Iterator[list[object]]:
    for step, t in enumerate(samples.times):
        for photo, row in enumerate(samples.rows.tolist()):
            name = dataset.classes.names[dataset.labels[row]]
            seen = str(bool(samples.seen[photo])).lower()
            x, y = samples.points[step, photo].tolist()
            path = dataset.paths[row] or row
            yield [step, t, path, name, seen, f"{x:.6g}", f"{y:.6g}", f"{samples.cosines[step, photo]:.6g}"]


def write_epochs(folder: Path, results: Sequence[EpochFigures], dataset_name: str) -> None:
    """Write `EPOCHS_FILES`: a row per epoch and seed, and S, U and T1 over epochs."""
    metrics = list(results[0].figures)
    rows = [[result.epoch, result.seed, *(result.figures[name] for name in metrics)] for result in results]
    title = f"{dataset_name}, validation part of the seen classes"
    plots = plot_epochs([vars(result) for result in results], title)
    for name, data in zip(EPOCHS_FILES, (csv_bytes(("epoch", "seed", *metrics), rows), *plots), strict=True):
        write_bytes(folder / name, data)


def describe_ladder(
    results: Sequence[StepResult], dataset: FeaturedDataset, base: Config, test: bool
) -> dict[str, Any]:
    """Return the results of the ladder study as JSON values, with everything needed to repeat it.

    base: the settings of the first step; test: whether test photos were measured.
    """
    measured = ("validation", *(("test", "plain") if test else ()))
    return {
        "revcd": __version__,
        **describe_data(dataset),
        "config": base.to_dict(),
        "rows": [
            {
                "name": result.name,
                "overrides": result.overrides,
                **{each: {name: asdict(m) for name, m in summarise_step(result, each).items()} for each in measured},
                "runs": [run.record() for run in result.runs],
            }
            for result in results
        ],
    }


def write_ladder(folder: Path, document: dict[str, Any]) -> None:
    """Write ladder.json atomically. document: of `describe_ladder`."""
    write_bytes(folder / LADDER_FILES[0], json_bytes(document))
