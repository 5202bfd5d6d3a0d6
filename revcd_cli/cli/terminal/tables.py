"""Tables for a terminal of a given width. Rich lays them out; figures are never broken over two lines.

Rich alone would crop figures on a narrow terminal, cut paths at their end, and keep every column. So columns of figures
get their full width here, paths lose their middle, and optional columns are left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .charts import shortened

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

_UNLIMITED = 10_000  # characters; rich measures within the width that it is given
_LEAST_ELIDED = 16  # characters that a shortened path keeps at least


@dataclass(frozen=True)
class ElidedCell:
    """A cell whose text loses its middle where its column is too narrow, instead of being broken."""

    text: Text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        length = self.text.cell_len
        return Measurement(min(length, _LEAST_ELIDED), length).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        yield Text(shortened(self.text.plain, options.max_width), self.text.style)


def fitted_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Text]],
    console: Console,
    *,
    right: Sequence[str] = (),
    optional: Sequence[str] = (),
    elided: Sequence[str] = (),
) -> list[Table]:
    """Return what to print for a table on this console: one table, or a small one for each row if it is too narrow.

    right: columns that are aligned to the right and never broken, like columns with a cell of `no_wrap`. optional:
    columns to leave out where the table is too wide, the first one first. elided: columns of paths, see `ElidedCell`.
    """
    from rich.measure import Measurement

    for left_out in (None, *optional):
        if left_out is not None:
            place = columns.index(left_out)
            columns = [*columns[:place], *columns[place + 1 :]]
            rows = [[*row[:place], *row[place + 1 :]] for row in rows]
        table = _table(columns, rows, right, elided)
        if Measurement.get(console, console.options.update(width=_UNLIMITED), table).minimum <= console.width:
            return [table]
    return [_row_as_list(columns, row, console.width) for row in rows]


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[Text]], right: Sequence[str], elided: Sequence[str]
) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        cells = [row[place] for row in rows]
        if name not in right and not any(cell.no_wrap for cell in cells):
            table.add_column(Text(name), overflow="fold")
            continue
        # A figure is not broken; its heading is, between words.
        widest = max([1, *map(len, name.split()), *(cell.cell_len for cell in cells)])
        heading = Text(textwrap.fill(name, widest))
        table.add_column(heading, justify="right" if name in right else "left", no_wrap=True, min_width=widest)
    for row in rows:
        table.add_row(*(ElidedCell(cell) if name in elided else cell for name, cell in zip(columns, row, strict=True)))
    return table


def _row_as_list(columns: Sequence[str], row: Sequence[Text], available: int) -> Table:
    """Return one row as lines of "column  cell" and an empty line. Empty cells are left out."""
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
