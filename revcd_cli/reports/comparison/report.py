"""Summarise a comparison of methods over seeds, and write comparison.json, .csv and .html."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...config import Config
from ...data.datasets.dataset import FeaturedDataset
from ...metrics.bootstrap import SETTINGS, Bootstrap
from ...metrics.summary import METRIC_NAMES, MeanStd, mean_and_std
from ...pipeline.compare.baselines import BOUNDS
from ...pipeline.compare.compare import MethodResult, is_seeded
from ...pipeline.fingerprint import describe_data
from ...system.files import write_bytes
from ...version import __version__
from ..documents import csv_bytes, json_bytes
from .page import comparison_page
from .uncertainty import bootstraps, describe_differences, describe_intervals

COMPARISON_FILES = ("comparison.json", "comparison.csv", "intervals.csv", "differences.csv", "comparison.html")
_MEASURED = ("test", "plain", "validation")
_SPREAD = ("mean", "std", "low", "high")  # of a metric: over seeds, and its interval over classes


def summarise(results: Sequence[MethodResult], measured: str = "test") -> dict[str, dict[str, MeanStd]]:
    """Return S, U, H, T1 and AUSUC of every method over its seeds, in the order of the results.

    measured: "test", "plain" (test photos, no seen penalty) or "validation".
    """
    summary = {}
    for method in dict.fromkeys(result.method for result in results):
        of_method = [getattr(result, measured) or {} for result in results if result.method == method]
        summary[method] = {name: mean_and_std([figures.get(name) for figures in of_method]) for name in METRIC_NAMES}
    return summary


def describe_comparison(results: Sequence[MethodResult], dataset: FeaturedDataset, config: Config) -> dict[str, Any]:
    """Return the comparison as JSON values, with everything needed to repeat it."""
    summaries = {measured: summarise(results, measured) for measured in _MEASURED}
    drawn = {measured: bootstraps(results, measured) for measured in ("test", "plain")}
    return {
        "revcd": __version__,
        **describe_data(dataset),
        "config": config.to_dict(),
        "note": comparison_note(config),
        "bootstrap": SETTINGS,
        "methods": {
            method: {
                "runs": sum(result.method == method for result in results),
                "seeded": is_seeded(method),
                "bound": method in BOUNDS,
                **{
                    measured: _with_intervals(summary[method], drawn.get(measured, {}).get(method))
                    for measured, summary in summaries.items()
                },
            }
            for method in summaries["test"]
        },
        "differences": describe_differences(results),
        "results": [result.record() for result in results],
    }


def _with_intervals(summary: dict[str, MeanStd], drawn: Bootstrap | None) -> dict[str, dict[str, float | None]]:
    intervals = describe_intervals(drawn)
    return {name: asdict(each) | intervals[name] for name, each in summary.items()}


def comparison_note(config: Config) -> str:
    """Return a description of the conditions of the comparison."""
    settings = config.inference
    sampler = "the full ddpm chain" if settings.sampler == "ddpm" else f"ddim, {settings.steps} steps"
    if settings.sampler == "ddim" and settings.steps == 1:
        sampler = "one ddim step, which gives the posterior mean"
    return (
        "All methods use the same features, split, validation folds and search for the seen penalty. All settings are "
        "chosen in validation, and each model is tested once. cvae, gan and revcd-cosine are single networks that "
        f"classify by the cosine rule over {settings.samples} generated samples (RevCD: {sampler}). Methods without a "
        "seed run once, on the folds of the first seed. linear-probe is an upper bound of S: its only candidates are "
        "the seen classes. prototype-oracle is an upper bound of U: it reads the labels of test photos, and leaves out "
        "each photo from the mean of its own class. Intervals are of 95 %, by a bootstrap over the test classes of the "
        "means over seeds; they hold for the trained models, whose own variation the standard deviation shows. "
        "Differences are paired by class, and not corrected for their number. Where the interval of a difference "
        "includes 0, the two methods are not to be told apart."
    )


def write_comparison(folder: Path, document: dict[str, Any]) -> None:
    """Write `COMPARISON_FILES`, each atomically.

    comparison.csv has a row for each method and seed, intervals.csv for each method and metric, differences.csv for
    each two methods and metric.
    """
    rows = []
    for result in document["results"]:
        figures = [(result[measured] or {}).get(name) for measured in _MEASURED for name in METRIC_NAMES]
        settings = json.dumps(result["settings"])
        rows.append([result["method"], result["seed"], result["gamma"], *figures, settings])
    columns = [f"{measured} {name}" for measured in _MEASURED for name in METRIC_NAMES]
    contents = (
        json_bytes(document),
        csv_bytes(["method", "seed", "gamma", *columns, "settings"], rows),
        csv_bytes(["method", "measured", "metric", *_SPREAD], _interval_rows(document)),
        csv_bytes(["method", "minus", "metric", "mean", "low", "high", "apart"], _difference_rows(document)),
        comparison_page(document),
    )
    for name, content in zip(COMPARISON_FILES, contents, strict=True):
        write_bytes(folder / name, content)


def _interval_rows(document: dict[str, Any]) -> Iterator[list[object]]:
    for method, entry in document["methods"].items():
        for measured in _MEASURED:
            for name, figure in entry[measured].items():
                yield [method, measured, name, *(figure[column] for column in _SPREAD)]


def _difference_rows(document: dict[str, Any]) -> Iterator[list[object]]:
    for each in document["differences"]:
        for name, figure in each["metrics"].items():
            yield [each["method"], each["other"], name, *figure.values()]
