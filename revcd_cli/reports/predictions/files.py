"""Writers of predictions, one per format. Each yields a function that writes one photo."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ...data.formats.path_encoding import encode_path
from ...data.parts.megadetector import BoxList
from ...errors import RevcdError, UsageError
from ...pipeline.predict.columns import ORIGIN, PLAIN, Layout, origin
from ...pipeline.predict.explanations import CandidateDescriptions
from ...pipeline.predict.predictions import (
    EMPTY,
    FAILED,
    NONE_OF_THESE,
    REJECTED,
    SCHEMA,
    OutputFormat,
    Prediction,
    Write,
    rounded,
)
from ...system.files import atomic_write
from ...version import __version__
from .camera_traps import megadetector_writer, timelapse_writer
from .encoding import csv_line, csv_lines, dump
from .page import html_writer

_ROW_GROUP = 16_384  # rows of a Parquet file that are held in memory
# Start of a cell that a spreadsheet evaluates as a formula, full-width characters included. A spreadsheet with another
# separator than the comma, or without quoting, may start a cell inside the text.
_FORMULA = re.compile("(^|[,;|\t\r\n])(?=[\\s\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n])")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@contextlib.contextmanager
def csv_writer(stream: BinaryIO, header: dict[str, Any], *, excel: bool = False, layout: Layout) -> Iterator[Write]:
    """Write the rows as CSV with a header line. excel: as for `open_writer`."""
    stream.write(b"\xef\xbb\xbf" if excel else b"")
    stream.write(csv_line((*layout.columns, *ORIGIN)))
    made_by = origin(header)

    def write(prediction: Prediction) -> None:
        stream.write(csv_lines(_csv_cells((*row, *made_by), excel) for row in layout.rows(prediction)))

    yield write


def _csv_cells(row: tuple[object, ...], excel: bool) -> list[object]:
    cells = ["true" if value is True else "false" if value is False else value for value in row]
    return [_FORMULA.sub(r"\1'", cell) if isinstance(cell, str) else cell for cell in cells] if excel else cells


@contextlib.contextmanager
def tsv_writer(stream: BinaryIO, header: dict[str, Any]) -> Iterator[Write]:
    """Write a line for each photo: path, best class, score, probability, and the digests of model and class table.

    They are separated by tabs; control characters are written as escapes. The class of a failed photo is empty; that of
    a rejected photo is "none of these".
    """
    made_by = origin(header)

    def write(prediction: Prediction) -> None:
        best = prediction.best
        instead = NONE_OF_THESE if prediction.status == REJECTED else ""
        cells = (best.name, str(rounded(best.score)), str(rounded(best.probability))) if best else (instead, "", "")
        texts = map(encode_path, (prediction.path, *cells, *made_by))
        line = "\t".join(_CONTROL.sub(_escape, text) for text in texts)
        stream.write(f"{line}\n".encode())
        stream.flush()

    yield write


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


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
def json_writer(stream: BinaryIO, header: dict[str, Any], *, layout: Layout) -> Iterator[Write]:
    """Write one JSON document. Results are streamed; only photos without a prediction are kept in memory."""
    for name, value in {"schema": SCHEMA, "revcd": __version__, **header}.items():
        stream.write((b",\n " if name != "schema" else b"{\n ") + dump(name) + b": " + dump(value))
    stream.write(b',\n "results": [')
    names = {REJECTED: "rejected", FAILED: "failures"} | ({EMPTY: "empty"} if layout.boxes else {})
    unanswered: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    classified = 0

    def write(prediction: Prediction) -> None:
        nonlocal classified
        shared = {"path": encode_path(prediction.path), "status": prediction.status, **layout.more(prediction)}
        if not prediction.candidates:
            about = {"reason": prediction.reason, "detail": prediction.detail}
            unanswered[names[prediction.status]].append({**shared, **about})
            return
        stream.write((b",\n  " if classified else b"\n  ") + dump({**shared, "candidates": _candidates(prediction)}))
        classified += 1

    yield write
    counts = {"classified": classified, **{status: len(unanswered[name]) for status, name in names.items()}}
    for name, photos in unanswered.items():
        stream.write(b"\n ],\n " + dump(name) + b": [" + b",".join(b"\n  " + dump(each) for each in photos))
    stream.write(b'\n ],\n "summary": ' + dump({"photos": sum(counts.values()), **counts}) + b"\n}\n")


@contextlib.contextmanager
def jsonl_writer(stream: BinaryIO, header: dict[str, Any], *, layout: Layout) -> Iterator[Write]:
    """Write one JSON object per line and photo. "model" and "table" hold the first 12 digits of their sha256."""
    made_by = dict(zip(ORIGIN, origin(header), strict=True))

    def write(prediction: Prediction) -> None:
        line = {
            "path": encode_path(prediction.path),
            "status": prediction.status,
            "reason": prediction.reason,
            "detail": prediction.detail,
            **layout.more(prediction),
            **made_by,
            "candidates": _candidates(prediction),
        }
        stream.write(dump(line) + b"\n")
        stream.flush()

    yield write


@contextlib.contextmanager
def parquet_writer(stream: BinaryIO, header: dict[str, Any], *, layout: Layout) -> Iterator[Write]:
    """Write the rows, and the header as JSON under the key `revcd` of the file's metadata."""
    import pyarrow.parquet as pq

    from ...pipeline.predict.prediction_table import prediction_schema, rows_table

    made_by = origin(header)
    schema = prediction_schema({"schema": SCHEMA, "revcd": __version__, **header}, layout)
    waiting: list[tuple[Any, ...]] = []

    with pq.ParquetWriter(stream, schema) as parquet:

        def flush() -> None:
            parquet.write_table(rows_table(waiting, schema))
            waiting.clear()

        def write(prediction: Prediction) -> None:
            waiting.extend((*row, *made_by) for row in layout.rows(prediction))
            if len(waiting) >= _ROW_GROUP:
                flush()

        yield write
        if waiting:
            flush()


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
    layout: Layout = PLAIN,
    descriptions: CandidateDescriptions | None = None,
    boxes: BoxList | None = None,
    root: str = "",
) -> Iterator[Writer]:
    """Yield a `Writer` to a file, or to a binary stream such as `sys.stdout.buffer`.

    header: origin of the predictions as JSON values: `model` (name, sha256), `backbone`, `classes` (source, sha256, n)
    and `settings`. JSON, JSON lines, Parquet and HTML contain it.
    excel: write CSV for spreadsheets: with a byte-order mark, and an apostrophe before text that would be evaluated as
    a formula.
    layout: the columns of CSV and Parquet, and what JSON says about each photo.
    descriptions: class descriptions for the HTML page, which compares generated attributes with them.
    boxes: those that were classified, for the format "megadetector". root: the folder of the photos, to which this
    format and "timelapse" give paths.
    """
    if excel and output_format is not OutputFormat.csv:
        raise UsageError(f"--excel requires CSV output, not {output_format.value}.")
    if output_format is OutputFormat.table:
        raise UsageError("A table is for the terminal, not for a file.", hint="Choose csv, json, jsonl, tsv or html.")
    writers: dict[OutputFormat, Callable[..., contextlib.AbstractContextManager[Write]]] = {
        OutputFormat.tsv: tsv_writer,
        OutputFormat.csv: functools.partial(csv_writer, excel=excel, layout=layout),
        OutputFormat.json: functools.partial(json_writer, layout=layout),
        OutputFormat.jsonl: functools.partial(jsonl_writer, layout=layout),
        OutputFormat.parquet: functools.partial(parquet_writer, layout=layout),
        OutputFormat.html: functools.partial(html_writer, descriptions=descriptions),
        OutputFormat.megadetector: functools.partial(megadetector_writer, boxes=boxes, root=root),
        OutputFormat.timelapse: functools.partial(timelapse_writer, root=root, details=layout.details),
    }
    write_to = writers[output_format]
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
