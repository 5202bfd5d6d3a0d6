"""Bars and sparklines made of characters, and the colours of seen and unseen classes.

Green is a class with photos in training, cyan a known class, magenta one that is only described, red a failure, yellow
a warning or a rejection.
Charts can be read without colours, and are ASCII where the stream has no Unicode. A pipe gets the figures alone. Rich
is imported when something is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import streams

if TYPE_CHECKING:
    from rich.text import Text

SEEN, KNOWN, UNSEEN, FAILED, WARNING, TRACK = "green", "cyan", "magenta", "red", "yellow", "bright_black"

_BAR, _ASCII_BAR = ("━", "─"), ("#", ".")  # the filled part and the rest, distinct without colours too
_BAR_WIDTHS = ((80, 12), (60, 8), (0, 0))  # (least width of the terminal, length of a bar)
_LEVELS, _ASCII_LEVELS = "▁▂▃▄▅▆▇█", ".:-=+*%#"


def bar_width() -> int:
    """Return the length of a bar in a table on stdout, by the terminal's width; 0 if there is no room for bars."""
    return next(length for least, length in _BAR_WIDTHS if streams.width() >= least)


def bar(share: float, width: int, style: str = "") -> Text:
    """Return a share of 1 as a bar of `width` characters. The share is clipped to 0..1."""
    from rich.text import Text

    full, empty = _BAR if streams.supports_unicode() else _ASCII_BAR
    filled = round(min(max(share, 0.0), 1.0) * width)
    return Text.assemble((full * filled, style), (empty * (width - filled), TRACK))


def bar_cell(share: float | None, figure: str, style: str = "") -> str | Text:
    """Return a table cell that shows a share of 1 as a bar and a figure; in a pipe as the figure alone."""
    from rich.text import Text

    width = bar_width() if sys.stdout.isatty() else 0
    if share is None or not width:
        return figure
    return Text.assemble(bar(share, width, style), f" {figure}", no_wrap=True)


def kind_label(kind: str) -> Text:
    """Return "photos", "known" or "described" in its colour."""
    from rich.text import Text

    return Text(kind, kind_colour(kind))


def kind_colour(kind: str) -> str:
    """Return the colour of a class by how the model knows it, see `data.classes.kinds`."""
    return {"photos": SEEN, "known": KNOWN}.get(kind, UNSEEN)


def seen_label(seen: bool) -> Text:
    """Return "seen" or "unseen" in its colour."""
    from rich.text import Text

    return Text("seen" if seen else "unseen", seen_colour(seen))


def seen_colour(seen: bool) -> str:
    """Return the colour of a seen or an unseen class."""
    return SEEN if seen else UNSEEN


def sparkline(values: Sequence[float]) -> str:
    """Return values as a line of characters of different heights for stderr, scaled from the lowest to the highest.

    Returns "" where stderr is not a terminal, and for fewer than two values.
    """
    if len(values) < 2 or not sys.stderr.isatty():
        return ""
    levels = _LEVELS if streams.supports_unicode(stderr=True) else _ASCII_LEVELS
    low, high = min(values), max(values)
    if low == high:
        return levels[len(levels) // 2] * len(values)
    return "".join(levels[round((value - low) / (high - low) * (len(levels) - 1))] for value in values)


def plus_minus(*, stderr: bool = False) -> str:
    """Return the sign between a mean and its standard deviation, in the character set of stdout or stderr."""
    return "±" if streams.supports_unicode(stderr=stderr) else "+-"


def interval(low: float | None = None, high: float | None = None, **others: object) -> str:
    """Format a confidence interval of a share of 1 in percent, "-" if there is none."""
    return "-" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"


def shortened(text: str, longest: int) -> str:
    """Return a text of at most `longest` characters. A longer one, such as a path, loses its middle."""
    if len(text) <= longest:
        return text
    gap = "…" if streams.supports_unicode() else "..."
    kept = max(longest - len(gap), 2)
    return f"{text[: kept // 3]}{gap}{text[kept // 3 - kept :]}"
