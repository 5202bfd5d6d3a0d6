"""The page of a comparison: methods side by side, a point for each training, from comparison.json's values alone."""

from __future__ import annotations

import json
from typing import Any

from ... import __version__
from ...metrics.summary import METRIC_NAMES
from ..pages import page_bytes, page_environment


def comparison_page(document: dict[str, Any]) -> bytes:
    """Return the page. document: of `comparison_report.describe_comparison`."""
    results = document["results"]
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
    text = (
        page_environment()
        .get_template("evaluation_comparison.html.jinja")
        .render(
            version=__version__,
            document=document,
            methods=methods,
            figures=METRIC_NAMES,
            candidates=next((each["candidates"] for each in results if (each["candidates"] or {}).get("unseen")), None),
            runs=[result | {"settings": json.dumps(result["settings"])} for result in results],
        )
    )
    return page_bytes(text)


def _best(methods: dict[str, Any], name: str) -> set[str]:
    """Return the methods with the highest mean of a figure, bounds aside."""
    means = {
        method: entry["test"][name]["mean"]
        for method, entry in methods.items()
        if not entry["bound"] and entry["test"][name]["mean"] is not None
    }
    return {method for method, mean in means.items() if mean == max(means.values())}


def _points(results: list[dict[str, Any]], method: str, measured: str, name: str) -> list[dict[str, Any]]:
    """Return the figure of each training of a method, where it is defined, with the seed."""
    values = [(result["seed"], (result[measured] or {}).get(name)) for result in results if result["method"] == method]
    return [{"seed": seed, "share": share} for seed, share in values if share is not None]
