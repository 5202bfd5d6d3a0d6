"""Lines of CSV, and JSON, as bytes."""

from __future__ import annotations

import csv
import io
import json
from typing import Any


def csv_line(cells: Any) -> bytes:
    """Return a line of a CSV file; cells with separators or line ends are quoted."""
    # csv quotes a carriage return in a cell only if its line terminator contains one, so it is added and removed.
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return f"{line.getvalue()[:-2]}\n".encode()


def dump(value: Any) -> bytes:
    """Return a value as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
