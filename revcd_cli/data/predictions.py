"""Predictions, and the files they are written to: one row per (photo, rank), in the order in which they come.

Rules of every format:
- Columns: path, rank, class, score, probability, seen, status, reason. A photo that could not be read has one row, with
  its reason and no class.
- Numbers have 6 significant digits, which is what float32 can hold, in Python's shortest notation. A value that is not
  finite is an empty cell, or null.
- Text is UTF-8. A file name that is not is written as in `paths.py`, whose `decode_path` gives it back exactly.
- A file appears whole or not at all; only JSON lines are written through, photo by photo, so that they can be followed
  and survive a crash.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import RevcdError, UsageError, did_you_mean
from ..files import atomic_write
from .paths import encode_path

COLUMNS = ("path", "rank", "class", "score", "probability", "seen", "status", "reason")

Row = tuple[str, "int | None", str, "float | None", "float | None", "bool | None", str, str]
Write = Callable[["Prediction"], None]


@dataclass(frozen=True)
class Candidate:
    """A class that a photo may show."""

    name: str
    score: float  # what the model ranks by; comparable between the classes of one photo
    probability: float  # relative to the given classes only
    seen: bool  # whether the model was trained on photos of it


@dataclass(frozen=True)
class Prediction:
    """What is known of one photo: its candidates, best first, or why there are none."""

    path: str
    status: str = "ok"  # "ok" | "failed"
    reason: str = ""  # one of `images.REASONS` if failed
    detail: str = ""  # a sentence for people if failed
    candidates: tuple[Candidate, ...] = ()
    thumbnail: bytes | None = None  # JPEG, for the contact sheet

    @property
    def best(self) -> Candidate | None:
        """The first candidate; None if the photo could not be read."""
        return self.candidates[0] if self.candidates else None


class OutputFormat(str, Enum):
    """How predictions are printed or written."""

    table = "table"
    tsv = "tsv"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"
    html = "html"

    @classmethod
    def named(cls, name: str) -> OutputFormat:
        """Return the format of that name, or raise `UsageError`."""
        known = [form.value for form in cls]
        if name not in known:
            raise UsageError(
                f'There is no output format "{name}"{did_you_mean(name, known)}.', hint=f"Formats: {', '.join(known)}."
            )
        return cls(name)

    @classmethod
    def of(cls, path: Path) -> OutputFormat:
        """Return the format that a file's name asks for, or raise `UsageError`."""
        suffix = path.suffix.lower().removeprefix(".")
        known = [form.value for form in cls if form is not cls.table]
        if suffix not in known:
            raise UsageError(
                f'{path}: "{path.suffix}" says no format{did_you_mean(suffix, known)}.',
                hint=f"End the name in {', '.join(f'.{name}' for name in known)}, or give --format.",
            )
        return cls(suffix)


@dataclass(frozen=True)
class Writer:
    """Where predictions go, one by one."""

    write: Write


@contextlib.contextmanager
def open_writer(
    target: Path | BinaryIO, output_format: OutputFormat, header: dict[str, Any], *, excel: bool = False
) -> Iterator[Writer]:
    """Yield a `Writer` to a file, or to a binary stream such as `sys.stdout.buffer`.

    header: plain JSON values that say where the predictions come from: `model` (name, sha256), `backbone`, `classes`
    (source, sha256, n) and `settings`; kept by every format that has a place for it.
    excel: write the CSV that spreadsheets read rightly and safely: with a byte-order mark, and an apostrophe before
    text that would be computed as a formula.
    """
    if excel and output_format is not OutputFormat.csv:
        raise UsageError(f"The spreadsheet form exists for CSV only, not for {output_format.value}.")
    if output_format is OutputFormat.table:
        raise UsageError("A table is for the terminal, not for a file.", hint="Choose csv, json, jsonl, tsv or html.")
    from .prediction_files import WRITERS, csv_writer

    write_to = functools.partial(csv_writer, excel=True) if excel else WRITERS[output_format]
    with contextlib.ExitStack() as stack:
        if isinstance(target, Path):
            opened = _written_through(target) if output_format is OutputFormat.jsonl else atomic_write(target)
            stream = stack.enter_context(opened)
        else:
            stream = target
        yield Writer(stack.enter_context(write_to(stream, header)))


def rows(prediction: Prediction) -> Iterator[Row]:
    """Yield the rows of one photo, with the values in the order of `COLUMNS`."""
    path, status, reason = encode_path(prediction.path), prediction.status, prediction.reason
    if not prediction.candidates:
        yield path, None, "", None, None, None, status, reason
    for rank, candidate in enumerate(prediction.candidates, 1):
        score, probability = rounded(candidate.score), rounded(candidate.probability)
        yield path, rank, encode_path(candidate.name), score, probability, candidate.seen, status, reason


def rounded(value: float) -> float | None:
    """Return the number with 6 significant digits; None if it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


@contextlib.contextmanager
def _written_through(path: Path) -> Iterator[BinaryIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            yield stream
    except OSError as error:
        raise RevcdError(f"{path}: cannot be written ({error.strerror or error}).") from error
