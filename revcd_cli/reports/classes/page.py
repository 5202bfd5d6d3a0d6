"""The page of `revcd classes suggest`: a similarity matrix, the most similar pairs of classes, and the attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...system.files import check_output
from ..pages import render_page

_LEAST_PAIRS = 12  # pairs to show, even if fewer are above the bound


def check_page_output(path: Path, *, overwrite: bool) -> Path:
    """Raise `UsageError` if the page cannot be written to this path."""
    if path.suffix.casefold() not in (".html", ".htm"):
        raise UsageError(f"{path}: is not the name of an HTML page.", hint="End the name in .html.")
    return check_output(path, overwrite=overwrite)


def class_page(document: dict[str, Any]) -> bytes:
    """Return the page. document: of `pipeline.tables.suggest.suggest`."""
    above = [pair for pair in document["pairs"] if pair["above"]]
    shown = document["pairs"][: max(len(above), _LEAST_PAIRS)]
    redundant_with = {name: group for group in document["redundant"] for name in group}
    return render_page(
        "classes",
        report=document,
        hardly=document["hardly"],
        pairs=shown,
        redundant_with=redundant_with,
        data=_script_data(document),
    )


def _script_data(document: dict[str, Any]) -> dict[str, Any]:
    """Return the values for matrix.js: names, cosines in percent, and [row, column, text] for each listed pair."""
    names = document["map"]["classes"]
    place = {name: row for row, name in enumerate(names)}
    pairs = [
        [place[x], place[y], _separation(pair)]
        for pair in document["pairs"]
        for x, y in [pair["classes"]]
        if x in place and y in place
    ]
    cosines = [[round(100 * cosine) for cosine in row] for row in document["map"]["cosines"]]
    return {"names": names, "cosines": cosines, "bound": 100 * document["bound"], "pairs": pairs}


def _separation(pair: dict[str, Any]) -> str:
    if not pair["differ"]:
        return "same row"
    return f"largest differences: {', '.join(each['attribute'] for each in pair['apart'][:3])}"
