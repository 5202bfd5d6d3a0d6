"""Lines of CSV, and JSON, as bytes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from typing import Any


class _Lines(list[str]):
    """What `csv.writer` writes: a line at a time, without its end."""

    def write(self, line: str) -> None:
        self.append(line[:-2])


def csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Return a line of a CSV file for each row; cells with separators or line ends are quoted."""
    # csv quotes a carriage return in a cell only if its line terminator contains one, so it is added and removed.
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return "".join(f"{line}\n" for line in lines).encode()


def csv_line(cells: Iterable[Any]) -> bytes:
    """Return one line of a CSV file, as `csv_lines`."""
    return csv_lines([cells])


def dump(value: Any) -> bytes:
    """Return a value as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
