"""Predictions, and the formats in which they are printed or written.

Rules of all formats:
- Tables have the columns of `columns.Layout`, a row for each photo and rank, in order. A photo that could not be read,
  was rejected or has no box has one row, with its reason and no class.
- Numbers have 6 significant digits, the precision of float32, in Python's shortest notation. A value that is not finite
  is an empty cell, or null.
- Text is UTF-8. A file name that is not valid UTF-8 is encoded by `data.formats.path_encoding`, which can decode it.
- Files are written atomically, except JSON lines, which are written photo by photo: they can be followed, and
  written lines survive a crash.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from ...data.classes.kinds import PHOTOS
from ...data.parts.part import Part
from ...data.photos.details import PhotoDetails
from ...errors import UsageError, did_you_mean
from .explanations import GeneratedAttributes

SCHEMA = 1  # version of the JSON document and of the metadata of Parquet files
# Status, reason and displayed name of a photo that is rejected because no class fits.
REJECTED, NO_CLASS_FITS, NONE_OF_THESE = "rejected", "no_class_fits", "none of these"
FAILED = "failed"  # status of a photo that could not be read
EMPTY, NO_BOX = "empty", "no_box"  # status and reason of a photo in which a detector found nothing to classify
Write = Callable[["Prediction"], None]


@dataclass(frozen=True)
class Candidate:
    """A candidate class of a photo."""

    name: str
    score: float  # comparable between the classes of one photo
    probability: float  # relative to the given classes
    kind: str  # how the model knows it: "photos", "known" or "described", see `data.classes.kinds`

    @property
    def seen(self) -> bool:
        """Whether the model was trained on photos of it."""
        return self.kind == PHOTOS


@dataclass(frozen=True)
class Prediction:
    """The prediction for one photo: its candidates, best first, or the reason why there are none."""

    path: str
    status: str = "ok"  # "ok" | "failed" | "rejected": no class fits | "empty": a detector found no box
    reason: str = ""  # one of `images.REASONS` if failed, "no_class_fits" if rejected, "no_box" if empty
    detail: str = ""  # the reason in words, unless ok
    candidates: tuple[Candidate, ...] = ()
    thumbnail: bytes | None = None  # JPEG, for the HTML page
    drawn: GeneratedAttributes | None = None  # attributes generated from the photo, if explanations were requested
    part: Part | None = None  # what was classified of the file, if not the whole photo
    details: PhotoDetails | None = None  # what the file says about the photo, if requested
    signature: str = field(default="", repr=False, compare=False)  # of the source; see `ImageSource`

    @property
    def best(self) -> Candidate | None:
        """The first candidate; None if the photo could not be read or was rejected."""
        return self.candidates[0] if self.candidates else None


class OutputFormat(str, Enum):
    """The formats in which predictions are printed or written."""

    table = "table"
    tsv = "tsv"
    csv = "csv"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"
    html = "html"
    megadetector = "megadetector"
    timelapse = "timelapse"

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
        """Return the format of a file by its suffix, or raise `UsageError`."""
        suffix = path.suffix.lower().removeprefix(".")
        known = [form.value for form in cls if form not in (cls.table, cls.megadetector, cls.timelapse)]
        if suffix not in known:
            raise UsageError(
                f'{path}: "{path.suffix}" is not the suffix of a format{did_you_mean(suffix, known)}.',
                hint=f"End the name in {', '.join(f'.{name}' for name in known)}, or give --format.",
            )
        return cls(suffix)


def rounded(value: float) -> float | None:
    """Return the number with 6 significant digits; None if it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
