"""Small drawings made of characters: bars, sparklines, and words in the one colour that they always have.

Green is a class that was seen in training and magenta one that was not; red is a failure, yellow a warning or a
rejection. Every drawing can be read without its colours, and is ASCII where the stream can carry no more. A pipe gets
the bare figures. Rich is imported when something is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import console

if TYPE_CHECKING:
    from rich.text import Text

SEEN, UNSEEN, FAILED, WARNING, TRACK = "green", "magenta", "red", "yellow", "bright_black"

_BAR, _ASCII_BAR = "━─", "#."  # what is filled, and the rest of the track: told apart without colours too
_WIDTHS = ((80, 12), (60, 8), (0, 0))  # of the terminal from which on a bar has so many characters
_LEVELS, _ASCII_LEVELS = "▁▂▃▄▅▆▇█", ".:-=+*%#"


def bar_width() -> int:
    """Return how long bars in a table on stdout may be, by the width of the terminal; 0 where there is no room."""
    return next(length for least, length in _WIDTHS if console.width() >= least)


def bar(share: float, width: int, style: str = "") -> Text:
    """Draw a share of 1 as a bar of `width` characters; what lies outside 0 and 1 is drawn as the nearer of them."""
    from rich.text import Text

    full, empty = _BAR if console.draws_unicode() else _ASCII_BAR
    filled = round(min(max(share, 0.0), 1.0) * width)
    return Text.assemble((full * filled, style), (empty * (width - filled), TRACK))


def bar_cell(share: float | None, figure: str, style: str = "") -> str | Text:
    """Return the cell of a table on stdout that shows a share of 1 as bar and figure; in a pipe as figure."""
    from rich.text import Text

    width = bar_width() if sys.stdout.isatty() else 0
    if share is None or not width:
        return figure
    return Text.assemble(bar(share, width, style), f" {figure}", no_wrap=True)


def standing(seen: bool) -> Text:
    """Return "seen" or "unseen" in its colour."""
    from rich.text import Text

    return Text("seen", SEEN) if seen else Text("unseen", UNSEEN)


def colour_of(seen: bool) -> str:
    """Return the colour of what belongs to a seen or an unseen class."""
    return SEEN if seen else UNSEEN


def sparkline(values: Sequence[float]) -> str:
    """Draw values as a row of rising and falling characters for stderr, from their lowest to their highest.

    Nothing where stderr is not a terminal, or where fewer than two values leave nothing to follow.
    """
    if len(values) < 2 or not sys.stderr.isatty():
        return ""
    levels = _LEVELS if console.draws_unicode(stderr=True) else _ASCII_LEVELS
    low, high = min(values), max(values)
    if low == high:
        return levels[len(levels) // 2] * len(values)
    return "".join(levels[round((value - low) / (high - low) * (len(levels) - 1))] for value in values)


def plus_minus() -> str:
    """Return the sign between a mean and its spread, as stdout can carry it."""
    return "±" if console.draws_unicode() else "+-"


def shortened(text: str, longest: int) -> str:
    """Leave out the middle of a text of more characters than that, such as a path, whose end tells most."""
    if len(text) <= longest:
        return text
    gap = "…" if console.draws_unicode() else "..."
    kept = max(longest - len(gap), 2)
    return f"{text[: kept // 3]}{gap}{text[kept // 3 - kept :]}"
