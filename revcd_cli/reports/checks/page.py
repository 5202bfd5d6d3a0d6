"""The page of `revcd data check`: the contents of an input, and its findings by rank with all names concerned."""

from __future__ import annotations

from ...data.findings import RANKS, of_rank
from ...pipeline.tables.check import CheckReport
from ...version import __version__
from ..pages import render_page

_SHOWN_ITEMS = 500  # names that the page lists for a finding
_HEADINGS = {
    "error": ("Errors", "Other commands refuse the input for these."),
    "warning": ("Warnings", "These may give wrong answers."),
    "note": ("Notes", "What revcd decided or mended."),
}


def check_page(report: CheckReport) -> bytes:
    """Return the page of a report."""
    found = report.all_findings()
    groups = [
        {"rank": rank, "heading": _HEADINGS[rank][0], "lead": _HEADINGS[rank][1], "findings": of_rank(found, rank)}
        for rank in RANKS
    ]
    return render_page(
        "checks",
        version=__version__,
        report=report,
        facts=[(name.replace("_", " "), shown_fact(value)) for name, value in report.facts.items()],
        groups=groups,
        most=_SHOWN_ITEMS,
    )


def shown_fact(value: object) -> str:
    """Return a fact of a report as text; "unknown" if it is empty."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown_fact(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list):
        return " to ".join(dict.fromkeys(map(shown_fact, value))) or "none"  # one number if both ends are equal
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value or "unknown")
