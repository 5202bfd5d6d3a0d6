"""The rows of predictions as a Parquet table, with the settings in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from .columns import ORIGIN, PLAIN, TYPES, Layout

_KINDS = {"int": pa.int32(), "float": pa.float64(), "bool": pa.bool_()}


def prediction_schema(header: Mapping[str, Any], layout: Layout = PLAIN) -> pa.Schema:
    """Return the schema of predictions; its metadata holds the header as JSON under the key `revcd`."""
    about = json.dumps(header, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
    names = (*layout.columns, *ORIGIN)
    types = [_KINDS[TYPES[name]] if name in TYPES else pa.string() for name in names]
    return pa.schema(list(zip(names, types, strict=True)), metadata={"revcd": about})


def rows_table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """Return a table of rows of `Layout.rows`, each followed by the values of `columns.origin`."""
    if not rows:
        return schema.empty_table()
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(*pair) for pair in zip(columns, schema.types, strict=True)], schema=schema)
