"""Confidence intervals of a comparison: of each method's metrics, and of the differences between two methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from ...metrics.bootstrap import Bootstrap, bootstrap
from ...metrics.summary import METRIC_NAMES, mean_and_std
from ...pipeline.compare.compare import MethodResult


def bootstraps(results: Sequence[MethodResult], measured: str = "test") -> dict[str, Bootstrap]:
    """Return the resampled metrics of each method that was measured on test photos, on the same draws of classes.

    measured: "test" or "plain" (no seen penalty).
    """
    found = {}
    for method in dict.fromkeys(result.method for result in results):
        runs = [result.by_class[measured] for result in results if result.method == method and result.by_class]
        if runs:
            found[method] = bootstrap(runs)
    return found


def describe_intervals(drawn: Bootstrap | None) -> dict[str, dict[str, float | None]]:
    """Return "low" and "high" of each metric, None where there is no interval."""
    found = dict.fromkeys(METRIC_NAMES) if drawn is None else drawn.intervals()
    return {name: {"low": None, "high": None} if each is None else asdict(each) for name, each in found.items()}


def describe_differences(results: Sequence[MethodResult]) -> list[dict[str, Any]]:
    """Return the differences between every two methods: those of a later method minus an earlier one.

    Each has "method", "other" and "metrics", by name: "mean" over seeds, "low", "high" and "apart": whether the
    interval excludes 0. A metric without an interval is left out.
    """
    drawn = bootstraps(results)
    return [
        {"method": method, "other": other, "metrics": dict(_differences(results, drawn, method, other))}
        for other, method in combinations(drawn, 2)
    ]


def _differences(
    results: Sequence[MethodResult], drawn: dict[str, Bootstrap], method: str, other: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in METRIC_NAMES:
        interval = drawn[method].difference(drawn[other], name)
        means = [
            mean_and_std([(result.test or {}).get(name) for result in results if result.method == each]).mean
            for each in (method, other)
        ]
        if interval is not None and means[0] is not None and means[1] is not None:
            yield name, {"mean": means[0] - means[1], **asdict(interval), "apart": not interval.contains(0.0)}


def differences_from(document: dict[str, Any], method: str) -> dict[str, dict[str, Any]]:
    """Return the differences of each other method minus this one, by name, from the values of comparison.json."""
    found: dict[str, dict[str, Any]] = {}
    for each in document["differences"]:
        if each["other"] == method:
            found[each["method"]] = each["metrics"]
        elif each["method"] == method:
            found[each["other"]] = {name: _opposite(value) for name, value in each["metrics"].items()}
    return found


def _opposite(difference: dict[str, Any]) -> dict[str, Any]:
    signs = {"mean": -difference["mean"], "low": -difference["high"], "high": -difference["low"]}
    return {**signs, "apart": difference["apart"]}
