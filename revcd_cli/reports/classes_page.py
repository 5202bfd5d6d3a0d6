"""The page of `revcd classes suggest`: a map of how alike classes are, the closest pairs, and the attributes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..system.files import check_output
from .pages import page_bytes, page_environment

_NEAREST = 12  # pairs that are shown at least, whether above the bound or not


def check_page_output(path: Path, *, overwrite: bool) -> Path:
    """Raise `UsageError` if a page cannot be written there, before any work is done."""
    if path.suffix.casefold() not in (".html", ".htm"):
        raise UsageError(f"{path}: is no name of a page.", hint="End it in .html.")
    return check_output(path, overwrite=overwrite)


def class_page(document: dict[str, Any]) -> bytes:
    """Return what `pipeline.suggest` found as an HTML file that needs nothing else."""
    above = [pair for pair in document["pairs"] if pair["above"]]
    shown = document["pairs"][: max(len(above), _NEAREST)]
    said_with = {name: group for group in document["redundant"] for name in group}
    template = page_environment().get_template("classes.html.jinja")
    text = template.render(
        report=document, hardly=document["hardly"], pairs=shown, said_with=said_with, data=_script_data(document)
    )
    return page_bytes(text)


def _script_data(document: dict[str, Any]) -> str:
    """Return what the map's script reads: names, cosines in percent, and [row, column, pair] for each known pair."""
    names = document["map"]["classes"]
    place = {name: row for row, name in enumerate(names)}
    pairs = [
        [place[x], place[y], _separation(pair)]
        for pair in document["pairs"]
        for x, y in [pair["classes"]]
        if x in place and y in place
    ]
    cosines = [[round(100 * cosine) for cosine in row] for row in document["map"]["cosines"]]
    data = {"names": names, "cosines": cosines, "bound": 100 * document["bound"], "pairs": pairs}
    # Inside a script only "<" could end it or begin another; JSON may write it as an escape.
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _separation(pair: dict[str, Any]) -> str:
    if not pair["differ"]:
        return "the rows are the same"
    return f"differ most in {', '.join(each['attribute'] for each in pair['apart'][:3])}"
