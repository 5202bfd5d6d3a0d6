"""The rows of predictions as a Parquet table, with the settings in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from .predictions import COLUMNS, Row

_TEXT, _NUMBER = pa.string(), pa.float64()
_TYPES = (_TEXT, pa.int32(), _TEXT, _NUMBER, _NUMBER, pa.bool_(), _TEXT, _TEXT, _TEXT)


def prediction_schema(header: Mapping[str, Any]) -> pa.Schema:
    """Return the schema of predictions; its metadata holds the header as JSON under the key `revcd`."""
    about = json.dumps(header, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
    return pa.schema(list(zip(COLUMNS, _TYPES, strict=True)), metadata={"revcd": about})


def rows_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Return a table of the rows of `predictions.rows`."""
    if not rows:
        return schema.empty_table()
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(*pair) for pair in zip(columns, _TYPES, strict=True)], schema=schema)
