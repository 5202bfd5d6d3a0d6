"""Read the answers of `revcd predict` back: CSV, JSON, JSON lines or Parquet, by the suffix."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...data.formats.path_encoding import decode_path
from ...errors import InputFileError, UsageError, brief
from ...pipeline.apply.answers import Answer

NEEDED = ("path", "class", "probability", "status")
OPTIONAL = ("rank", "box", "time")  # without ranks, a file of --wide has one row for each photo
_LISTS = ("results", "rejected", "failures")  # of a JSON document; "empty" only with boxes
_HINT = "Write it with: revcd predict PHOTOS -o answers.csv"
_STATUSES = ("ok", "rejected", "failed", "empty")
# The apostrophe that `--excel` writes before text that a spreadsheet would evaluate; see `files`.
_GUARD = re.compile("(^|[,;|\t\r\n])'(?=[\\s\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20])|^'(?=[\t\r\n])")


def read_answers(path: Path) -> list[Answer]:
    """Return the best class of each photo, box or frame, in order; other ranks are left out.
    Raises `UsageError` for another suffix, and `InputFileError` for a file that `revcd predict` did not write.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UsageError(
            f"{path}: answers are read from {', '.join(_READERS)}.", hint="Write one: revcd predict PHOTOS -o FILE"
        )
    if not path.is_file():
        raise InputFileError(path, "is a folder." if path.is_dir() else "there is no such file.", hint=_HINT)
    try:
        return list(read(path))
    except UnicodeDecodeError as error:
        raise InputFileError(path, "is not UTF-8 text.", hint=_HINT) from error
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror or error}).") from error


def _from_csv(path: Path) -> Iterator[Answer]:
    data = path.read_bytes()
    text = data.decode("utf-8-sig")
    is_guarded = data.startswith(b"\xef\xbb\xbf")  # --excel writes both the mark and the apostrophes
    head = text.split("\n", 1)[0].rstrip("\r")
    delimiter = max(",;\t", key=head.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(rows, [])
        _check_columns(path, header)
        for cells in rows:
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise InputFileError(
                    path, f"has {len(cells)} cells where the header has {len(header)}.", line=rows.line_num
                )
            row: dict[str, Any] = dict(zip(header, cells, strict=True))
            if is_guarded:
                row.update({name: _GUARD.sub(lambda match: match[1] or "", row[name]) for name in ("path", "class")})
            yield from _of_row(path, row, line=rows.line_num)
    except csv.Error as error:
        raise InputFileError(path, f"is not valid CSV: {brief(error)}.", line=rows.line_num) from error


def _from_parquet(path: Path) -> Iterator[Answer]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            names = [name for name in file.schema_arrow.names if name in (*NEEDED, *OPTIONAL)]
            for batch in file.iter_batches(columns=names):
                for row in batch.to_pylist():
                    yield from _of_row(path, row)
    except pa.ArrowException as error:
        raise InputFileError(path, f"is not a valid Parquet file: {brief(error)}.") from error


def _from_json(path: Path) -> Iterator[Answer]:
    document = _parse(path, path.read_text("utf-8"))
    if not isinstance(document, dict) or not all(isinstance(document.get(name), list) for name in _LISTS):
        raise InputFileError(path, "is not a document of revcd predict.", hint=_HINT)
    for name in (*_LISTS, "empty"):
        for photo in document.get(name) or ():
            yield _of_photo(path, photo)


def _from_jsonl(path: Path) -> Iterator[Answer]:
    with path.open(encoding="utf-8") as lines:
        for number, text in enumerate(lines, 1):
            if text.strip():
                yield _of_photo(path, _parse(path, text, line=number), line=number)


def _parse(path: Path, text: str, *, line: int | None = None) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputFileError(path, f"is not valid JSON: {brief(error)}.", line=line, hint=_HINT) from error


def _of_photo(path: Path, photo: Any, *, line: int | None = None) -> Answer:
    """Return the answer of one photo of a JSON form."""
    try:
        best = photo["candidates"][0] if photo.get("candidates") else {"rank": None, "class": "", "probability": None}
        row = {
            "path": photo["path"],
            "status": photo["status"],
            **{name: photo.get(name) for name in ("box", "time")},
            **best,
        }
        (answer,) = _of_row(path, row, line=line)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise InputFileError(path, "has an entry that is not a prediction.", line=line, hint=_HINT) from error
    return answer


def _of_row(path: Path, row: Mapping[str, Any], *, line: int | None = None) -> Iterator[Answer]:
    """Yield the answer of a row of rank 1 or of a row without a class; other ranks yield nothing."""
    if row["status"] not in _STATUSES:
        raise InputFileError(path, f'status is "{row["status"]}"; it must be one of {", ".join(_STATUSES)}.', line=line)
    is_ok = row["status"] == "ok"
    if is_ok and str(row.get("rank", 1)) != "1":
        return
    if not isinstance(row["path"], str) or not row["path"] or (is_ok and not row["class"]):
        raise InputFileError(path, f"has an empty {'class' if row['path'] else 'path'}.", line=line)
    yield Answer(
        decode_path(row["path"]),
        row["status"],
        str(row["class"]) if is_ok else None,
        _probability(path, row["probability"], line) if is_ok else None,
        is_part=any(row.get(name) not in (None, "") for name in ("box", "time")),
    )


def _probability(path: Path, value: Any, line: int | None) -> float | None:
    if value in ("", None):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1 + 1e-6:  # also NaN
        raise InputFileError(path, f'probability is "{value}"; expected a number from 0 to 1.', line=line)
    return number


def _check_columns(path: Path, header: Iterable[str]) -> None:
    missing = [name for name in NEEDED if name not in set(header)]
    if missing:
        raise InputFileError(path, f"has no column {', '.join(missing)}.", line=1, hint=_HINT)


_READERS: dict[str, Callable[[Path], Iterator[Answer]]] = {
    ".csv": _from_csv,
    ".json": _from_json,
    ".jsonl": _from_jsonl,
    ".parquet": _from_parquet,
}
