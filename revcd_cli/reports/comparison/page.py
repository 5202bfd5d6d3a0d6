"""The page of a comparison of methods, from the values of comparison.json."""

from __future__ import annotations

import json
from typing import Any

from ...metrics.summary import METRIC_NAMES
from ...version import __version__
from ..pages import render_page
from .uncertainty import differences_from


def comparison_page(document: dict[str, Any]) -> bytes:
    """Return the page. document: of `report.describe_comparison`."""
    results = document["results"]
    first = next(iter(document["methods"]), "")
    best = {name: _best(document["methods"], name) for name in METRIC_NAMES}
    methods = [
        {
            "name": method,
            **entry,
            "figures": [
                {
                    "name": name,
                    **entry["test"][name],
                    "points": _points(results, method, "test", name),
                    "best": method in best[name],
                }
                for name in METRIC_NAMES
            ],
            "validated": entry["validation"]["H"] | {"points": _points(results, method, "validation", "H")},
        }
        for method, entry in document["methods"].items()
    ]
    return render_page(
        "comparison",
        version=__version__,
        document=document,
        methods=methods,
        figures=METRIC_NAMES,
        first=first,
        differences=differences_from(document, first),
        candidates=next((each["candidates"] for each in results if (each["candidates"] or {}).get("unseen")), None),
        runs=[result | {"settings": json.dumps(result["settings"])} for result in results],
    )


def _best(methods: dict[str, Any], name: str) -> set[str]:
    """Return the methods with the highest mean of a figure, except the bounds."""
    means = {
        method: entry["test"][name]["mean"]
        for method, entry in methods.items()
        if not entry["bound"] and entry["test"][name]["mean"] is not None
    }
    return {method for method, mean in means.items() if mean == max(means.values())}


def _points(results: list[dict[str, Any]], method: str, measured: str, name: str) -> list[dict[str, Any]]:
    """Return seed and figure of each training of a method, where the figure is defined."""
    values = [(result["seed"], (result[measured] or {}).get(name)) for result in results if result["method"] == method]
    return [{"seed": seed, "share": share} for seed, share in values if share is not None]
