"""The page of `revcd classes glossary`: a card for each attribute, with its scale and its extreme classes."""

from __future__ import annotations

from typing import Any

from ..pages import render_page

_MARKS = 200  # classes whose values are marked on a scale, at most


def glossary_page(document: dict[str, Any]) -> bytes:
    """Return the page. document: of `pipeline.tables.glossary.glossary`."""
    attributes = [each | {"marks": _marks(each), "search": _search_text(each)} for each in document["attributes"]]
    return render_page("glossary", report=document | {"attributes": attributes})


def _marks(each: dict[str, Any]) -> list[float]:
    """Return the places of the classes' values on the scale, in percent, without repetition."""
    low, span = each["lowest"], each["highest"] - each["lowest"]
    return sorted({round(100 * (value - low) / span, 1) for value in each["values"]})[:_MARKS] if span > 0 else []


def _search_text(each: dict[str, Any]) -> str:
    names = [found["class"] for found in (*each["most"], *each["least"])]
    return "\n".join((each["name"], each["meaning"], *names)).lower()
