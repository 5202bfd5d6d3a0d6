"""Tables drawn so that they fit their terminal, and no figure is broken over two lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .drawing import shortened

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

GAP, EDGES = 3, 2  # characters between two columns, and at both ends together
_NARROWEST, _ELIDED = 10, 22  # characters that a column of text keeps at least, and one that loses its middle


def column_widths(natural: Sequence[int], least: Sequence[int], available: int) -> list[int] | None:
    """Return a width for every column, or None if there is no way to fit them.

    natural: what each column's longest cell needs; least: what it must have, if it needs as much. The widest columns
    give way first.
    """
    widths = list(natural)
    for _ in range(sum(widths) + GAP * (len(widths) - 1) + EDGES - available):
        yielding = [k for k, width in enumerate(widths) if width > least[k]]
        if not yielding:
            return None
        widths[max(yielding, key=lambda k: widths[k])] -= 1
    return widths


def drawn_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Text]],
    available: int,
    *,
    right: Sequence[str] = (),
    optional: Sequence[str] = (),
    elided: Sequence[str] = (),
) -> list[Table]:
    """Return what to print for a table on a terminal of `available` characters.

    right: the columns that are aligned to the right and never broken, as no cell with `no_wrap` is. optional: those
    that are left out if need be, the first one first. elided: those whose cells lose their middle instead of being
    broken. A table that is still too wide becomes a list of its rows.
    """
    for left_out in (None, *optional):
        if left_out is not None:
            place = columns.index(left_out)
            columns = [*columns[:place], *columns[place + 1 :]]
            rows = [[*row[:place], *row[place + 1 :]] for row in rows]
        cells = [[row[k] for row in rows] for k in range(len(columns))]
        fixed = [name in right or any(cell.no_wrap for cell in of) for name, of in zip(columns, cells, strict=True)]
        needed = [_needed(name, of, whole) for name, of, whole in zip(columns, cells, fixed, strict=True)]
        least = [
            width if whole else min(width, _ELIDED if name in elided else _NARROWEST)
            for name, width, whole in zip(columns, needed, fixed, strict=True)
        ]
        widths = column_widths(needed, least, available)
        if widths is not None:
            keep = [width if name in elided else None for name, width in zip(columns, widths, strict=True)]
            rows = [[_elided(cell, longest) for cell, longest in zip(row, keep, strict=True)] for row in rows]
            return [_table(columns, rows, right, widths)]
    return [_entry(columns, row, available) for row in rows]


def _elided(cell: Text, longest: int | None) -> Text:
    from rich.text import Text

    return cell if longest is None else Text(shortened(cell.plain, longest), cell.style)


def _needed(column: str, cells: Sequence[Text], whole: bool) -> int:
    """Return how wide a column is; the heading of one that is not broken may itself be broken between words."""
    from rich.cells import cell_len

    heading = max(map(cell_len, column.split() if whole else [column]), default=0)
    return max([heading, *(cell.cell_len for cell in cells)])


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[Text]], right: Sequence[str], widths: Sequence[int]
) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        table.add_column(Text(column), justify="right" if column in right else "left", overflow="fold", width=width)
    for row in rows:
        table.add_row(*row)
    return table


def _entry(columns: Sequence[str], row: Sequence[Text], available: int) -> Table:
    """Draw a row as lines of its own, "column  cell", and an empty line; cells without text are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", width=min(max(map(len, columns)), available // 3))
    table.add_column(overflow="fold")
    for column, cell in zip(columns, row, strict=True):
        if cell.plain:
            table.add_row(Text(column, "bold"), cell)
    table.add_row("", "")
    return table
