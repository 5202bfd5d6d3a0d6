"""Writers of predictions, one per format. Each yields a function that writes one photo."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ...data.formats.path_encoding import encode_path
from ...errors import RevcdError, UsageError
from ...pipeline.predict.explanations import CandidateDescriptions
from ...pipeline.predict.predictions import (
    COLUMNS,
    NONE_OF_THESE,
    REJECTED,
    SCHEMA,
    OutputFormat,
    Prediction,
    Row,
    Write,
    rounded,
    rows,
)
from ...system.files import atomic_write
from ...version import __version__
from .page import html_writer

_ROW_GROUP = 16_384  # rows of a Parquet file that are held in memory
# Start of a cell that a spreadsheet evaluates as a formula, full-width characters included. A spreadsheet with another
# separator than the comma, or without quoting, may start a cell inside the text.
_FORMULA = re.compile("(^|[,;|\t\r\n])(?=[\\s\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n])")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@contextlib.contextmanager
def csv_writer(stream: BinaryIO, header: dict[str, Any], *, excel: bool = False) -> Iterator[Write]:
    """Write the rows as CSV with a header line. excel: as for `open_writer`."""
    stream.write(b"\xef\xbb\xbf" if excel else b"")
    stream.write(_csv_line(COLUMNS))

    def write(prediction: Prediction) -> None:
        for row in rows(prediction):
            stream.write(_csv_line([_csv_cell(value, excel) for value in row]))

    yield write


def _csv_cell(value: object, excel: bool) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _FORMULA.sub(r"\1'", value) if excel and isinstance(value, str) else value


def _csv_line(cells: Any) -> bytes:
    # csv quotes a carriage return in a cell only if its line terminator contains one, so it is added and removed.
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return f"{line.getvalue()[:-2]}\n".encode()


@contextlib.contextmanager
def tsv_writer(stream: BinaryIO, header: dict[str, Any]) -> Iterator[Write]:
    """Write a line `path<TAB>class<TAB>score` of the best class per photo, with control characters as escapes.

    The class of a failed photo is empty; that of a rejected photo is "none of these".
    """

    def write(prediction: Prediction) -> None:
        best = prediction.best
        instead = NONE_OF_THESE if prediction.status == REJECTED else ""
        cells = (best.name, str(rounded(best.score))) if best else (instead, "")
        line = "\t".join(_CONTROL.sub(_escape, cell) for cell in map(encode_path, (prediction.path, *cells)))
        stream.write(f"{line}\n".encode())
        stream.flush()

    yield write


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


def _candidates(prediction: Prediction) -> list[dict[str, Any]]:
    return [
        {
            "rank": rank,
            "class": encode_path(candidate.name),
            "score": rounded(candidate.score),
            "probability": rounded(candidate.probability),
            "seen": candidate.seen,
            "kind": candidate.kind,
        }
        for rank, candidate in enumerate(prediction.candidates, 1)
    ]


@contextlib.contextmanager
def json_writer(stream: BinaryIO, header: dict[str, Any]) -> Iterator[Write]:
    """Write one JSON document. Results are streamed; only photos without a prediction are kept in memory."""
    for name, value in {"schema": SCHEMA, "revcd": __version__, **header}.items():
        stream.write((b",\n " if name != "schema" else b"{\n ") + _dump(name) + b": " + _dump(value))
    stream.write(b',\n "results": [')
    failures: list[dict[str, str]] = []
    rejected: list[dict[str, str]] = []
    classified = 0

    def write(prediction: Prediction) -> None:
        nonlocal classified
        shared = {"path": encode_path(prediction.path), "status": prediction.status}
        if not prediction.candidates:
            unanswered = rejected if prediction.status == REJECTED else failures
            unanswered.append({**shared, "reason": prediction.reason, "detail": prediction.detail})
            return
        stream.write((b",\n  " if classified else b"\n  ") + _dump({**shared, "candidates": _candidates(prediction)}))
        classified += 1

    yield write
    counts = {"classified": classified, "rejected": len(rejected), "failed": len(failures)}
    for name, unanswered in (("rejected", rejected), ("failures", failures)):
        stream.write(b"\n ],\n " + _dump(name) + b": [" + b",".join(b"\n  " + _dump(each) for each in unanswered))
    stream.write(b'\n ],\n "summary": ' + _dump({"photos": sum(counts.values()), **counts}) + b"\n}\n")


@contextlib.contextmanager
def jsonl_writer(stream: BinaryIO, header: dict[str, Any]) -> Iterator[Write]:
    """Write one JSON object per line and photo. "model" holds the first 12 digits of the model's sha256."""
    model = str(header.get("model", {}).get("sha256", ""))[:12]

    def write(prediction: Prediction) -> None:
        line = {
            "path": encode_path(prediction.path),
            "status": prediction.status,
            "reason": prediction.reason,
            "detail": prediction.detail,
            "model": model,
            "candidates": _candidates(prediction),
        }
        stream.write(_dump(line) + b"\n")
        stream.flush()

    yield write


@contextlib.contextmanager
def parquet_writer(stream: BinaryIO, header: dict[str, Any]) -> Iterator[Write]:
    """Write the rows, and the header as JSON under the key `revcd` of the file's metadata."""
    import pyarrow.parquet as pq

    from ...pipeline.predict.prediction_table import prediction_schema, rows_table

    schema = prediction_schema({"schema": SCHEMA, "revcd": __version__, **header})
    waiting: list[Row] = []

    with pq.ParquetWriter(stream, schema) as parquet:

        def flush() -> None:
            parquet.write_table(rows_table(waiting, schema))
            waiting.clear()

        def write(prediction: Prediction) -> None:
            waiting.extend(rows(prediction))
            if len(waiting) >= _ROW_GROUP:
                flush()

        yield write
        if waiting:
            flush()


WRITERS = {
    OutputFormat.tsv: tsv_writer,
    OutputFormat.csv: csv_writer,
    OutputFormat.json: json_writer,
    OutputFormat.jsonl: jsonl_writer,
    OutputFormat.parquet: parquet_writer,
    OutputFormat.html: html_writer,
}


@dataclass(frozen=True)
class Writer:
    """An open output; `write` adds one prediction."""

    write: Write


@contextlib.contextmanager
def open_writer(
    target: Path | BinaryIO,
    output_format: OutputFormat,
    header: dict[str, Any],
    *,
    excel: bool = False,
    descriptions: CandidateDescriptions | None = None,
) -> Iterator[Writer]:
    """Yield a `Writer` to a file, or to a binary stream such as `sys.stdout.buffer`.

    header: origin of the predictions as JSON values: `model` (name, sha256), `backbone`, `classes` (source, sha256, n)
    and `settings`. JSON, JSON lines, Parquet and HTML contain it.
    excel: write CSV for spreadsheets: with a byte-order mark, and an apostrophe before text that would be evaluated as
    a formula.
    descriptions: class descriptions for the HTML page, which compares generated attributes with them.
    """
    if excel and output_format is not OutputFormat.csv:
        raise UsageError(f"--excel requires CSV output, not {output_format.value}.")
    if output_format is OutputFormat.table:
        raise UsageError("A table is for the terminal, not for a file.", hint="Choose csv, json, jsonl, tsv or html.")
    write_to = functools.partial(csv_writer, excel=True) if excel else WRITERS[output_format]
    if output_format is OutputFormat.html:
        write_to = functools.partial(html_writer, descriptions=descriptions)
    with contextlib.ExitStack() as stack:
        if isinstance(target, Path):
            opened = _written_through(target) if output_format is OutputFormat.jsonl else atomic_write(target)
            stream = stack.enter_context(opened)
        else:
            stream = target
        yield Writer(stack.enter_context(write_to(stream, header)))


@contextlib.contextmanager
def _written_through(path: Path) -> Iterator[BinaryIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            yield stream
    except OSError as error:
        raise RevcdError(f"{path}: cannot be written ({error.strerror or error}).") from error
