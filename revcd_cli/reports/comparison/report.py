"""A comparison as figures over seeds, and as files: comparison.json, which can be repeated, a table and a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ... import __version__
from ...config import Config
from ...data.datasets.dataset import FeaturedDataset
from ...metrics.summary import METRIC_NAMES, MeanStd, mean_and_std
from ...pipeline.compare.baselines import BOUNDS
from ...pipeline.compare.compare import MethodResult, is_seeded
from ...pipeline.fingerprint import describe_data
from ...system.files import write_bytes
from .page import comparison_page

FILES = ("comparison.json", "comparison.csv", "comparison.html")
_MEASURED = ("test", "plain", "validation")


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
    """Return the comparison as plain JSON values, with all that is needed to repeat it."""
    summaries = {measured: summarise(results, measured) for measured in _MEASURED}
    return {
        "revcd": __version__,
        **describe_data(dataset),
        "config": config.to_dict(),
        "note": comparison_note(config),
        "methods": {
            method: {
                "runs": sum(result.method == method for result in results),
                "seeded": is_seeded(method),
                "bound": method in BOUNDS,
                **{
                    measured: {name: asdict(each) for name, each in summary[method].items()}
                    for measured, summary in summaries.items()
                },
            }
            for method in summaries["test"]
        },
        "results": [asdict(result) for result in results],
    }


def comparison_note(config: Config) -> str:
    """Say in words how the methods were made comparable."""
    settings = config.inference
    chain = "the full ddpm chain" if settings.sampler == "ddpm" else f"ddim, {settings.steps} steps"
    if settings.sampler == "ddim" and settings.steps == 1:
        chain = "one ddim step, which reads the posterior mean"
    return (
        "Same features, split, validation folds and search for the seen penalty for all; validation chooses every "
        "setting, test photos are read once. cvae, gan and revcd-cosine are single networks that answer by the cosine "
        f"rule over {settings.samples} samples of their own (RevCD: {chain}). Methods that depend on no seed run once, "
        "on the folds of the first. linear-probe bounds S (it has the seen classes alone as candidates); "
        "prototype-oracle bounds U: it reads the labels of test photos, each left out of its own class's mean."
    )


def write_comparison(folder: Path, document: dict[str, Any]) -> None:
    """Write all of `FILES` (the CSV has a row for each method and seed), each whole or not at all."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    columns = [f"{measured} {name}" for measured in _MEASURED for name in METRIC_NAMES]
    writer.writerow(["method", "seed", "gamma", *columns, "settings"])
    for result in document["results"]:
        figures = [(result[measured] or {}).get(name) for measured in _MEASURED for name in METRIC_NAMES]
        plain = [result[name] for name in ("method", "seed", "gamma")]
        writer.writerow([*plain, *figures, json.dumps(result["settings"])])
    whole, table, page = (folder / name for name in FILES)
    write_bytes(whole, (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    write_bytes(table, rows.getvalue().encode())
    write_bytes(page, comparison_page(document))
