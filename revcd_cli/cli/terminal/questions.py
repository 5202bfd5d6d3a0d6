"""Questions on a terminal or in a pipe: the text goes to stderr, one answer per line comes from stdin."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from . import console, streams
from .charts import shortened

_INDENT = 6  # characters
_GAP = 3  # characters between columns
_LEAST_ELIDED = 8  # characters that a shortened text keeps at least


def ask(prompt: str) -> str | None:
    """Return the next line of stdin, stripped, or None at its end. A prompt is written to stderr."""
    sys.stderr.write(f"{' ' * _INDENT}{console.safe(prompt)} ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        sys.stderr.write(f"{console.safe(line.strip())}\n")  # so that the record of a run shows the answers
    return line.strip() if line else None


def show(text: str, *, style: str = "", first: str = "") -> None:
    """Print an indented text on stderr, broken to the width of the terminal. first: put into the indentation."""
    from rich.text import Text

    screen = streams.rich_console(stderr=True)
    lines = textwrap.wrap(console.safe(text), max(min(screen.width, 100) - _INDENT - 1, 20)) or [""]
    for index, line in enumerate(lines):
        start = first if index == 0 else ""
        screen.print(Text.assemble((f"{start:<{_INDENT}}", "bold"), (line, style)), soft_wrap=True)


def show_columns(columns: Sequence[tuple[str, str]]) -> None:
    """Print columns of two lines side by side on stderr, in as many rows as the terminal needs.

    Texts of the second line lose their middle where the columns do not fit otherwise.
    """
    room = streams.rich_console(stderr=True).width - _INDENT - 1
    cells = [(console.safe(upper), console.safe(lower)) for upper, lower in columns]
    if sum(max(map(len, cell)) + _GAP for cell in cells) - _GAP > room:
        longest = max(room // len(cells) - _GAP, _LEAST_ELIDED)
        cells = [(upper, shortened(lower, max(longest, len(upper)))) for upper, lower in cells]
    row: list[tuple[str, str]] = []
    for cell in cells:
        if row and len(_joined([*row, cell])[0]) > room:
            _print_lines(_joined(row))
            row = []
        row.append(cell)
    _print_lines(_joined(row))


def _joined(cells: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return the two lines of columns, padded to the same length except for the last column."""
    widths = [max(map(len, cell)) for cell in cells]
    upper, lower = (
        (" " * _GAP).join(f"{cell[line]:<{width}}" for cell, width in zip(cells, widths, strict=True))
        for line in (0, 1)
    )
    return upper, lower


def _print_lines(lines: tuple[str, str]) -> None:
    from rich.text import Text

    screen = streams.rich_console(stderr=True)
    for line, style in zip(lines, ("", "dim"), strict=True):
        screen.print(Text(f"{' ' * _INDENT}{line.rstrip()}", style), soft_wrap=True)
