"""The columns of predictions in tables (CSV and Parquet), by what was asked for and what was classified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...data.formats.path_encoding import encode_path
from .predictions import Prediction, rounded

COLUMNS = ("path", "rank", "class", "score", "probability", "seen", "kind", "status", "reason")
WIDE = (
    *("path", "class", "score", "probability", "seen", "kind", "runner_up", "runner_up_probability"),
    *("status", "reason"),
)
BOX = ("box", "box_left", "box_top", "box_width", "box_height", "box_confidence")
FRAME = ("time",)
DETAILS = ("taken", "camera", "width", "height", "latitude", "longitude")
ORIGIN = ("model", "table")  # the first digits of the sha256 of the model and of the class table
ORIGIN_DIGITS = 12

TYPES: dict[str, str] = {
    **dict.fromkeys(("rank", "box", "width", "height"), "int"),
    **dict.fromkeys(("score", "probability", "runner_up_probability", "latitude", "longitude", *FRAME), "float"),
    **dict.fromkeys(BOX[1:], "float"),
    "seen": "bool",
}  # of the values of a column; text otherwise


@dataclass(frozen=True)
class Layout:
    """Which columns a table of predictions has, beside those that every table has."""

    wide: bool = False  # one row for each photo, with the runner-up, instead of one for each rank
    boxes: bool = False
    frames: bool = False
    details: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, without those of the origin."""
        return (*(WIDE if self.wide else COLUMNS), *self._more)

    @property
    def _more(self) -> tuple[str, ...]:
        return (*BOX * self.boxes, *FRAME * self.frames, *DETAILS * self.details)

    def rows(self, prediction: Prediction) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of one photo; the values are in the order of `columns`."""
        more = tuple(self.more(prediction).values())
        for row in wide_row(prediction) if self.wide else rows(prediction):
            yield (*row, *more)

    def more(self, prediction: Prediction) -> dict[str, Any]:
        """Return what the layout adds to a photo, by column."""
        found = dict.fromkeys(self._more)
        part, details = prediction.part, prediction.details
        if part is not None and part.box is not None and self.boxes:
            box = part.box
            place = (box.left, box.top, box.width, box.height, box.confidence)
            found |= dict(zip(BOX, (box.number, *map(rounded, place)), strict=True))
        if part is not None and part.time is not None and self.frames:
            found["time"] = round(part.time, 3)
        if details is not None and self.details:
            found |= {name: getattr(details, name) for name in DETAILS}
        return found


PLAIN = Layout()


def rows(prediction: Prediction) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each rank of a photo, in the order of `COLUMNS`; one without a class if there is none."""
    path, status, reason = encode_path(prediction.path), prediction.status, prediction.reason
    if not prediction.candidates:
        yield path, None, "", None, None, None, "", status, reason
    for rank, candidate in enumerate(prediction.candidates, 1):
        score, probability = rounded(candidate.score), rounded(candidate.probability)
        name, seen, kind = encode_path(candidate.name), candidate.seen, candidate.kind
        yield path, rank, name, score, probability, seen, kind, status, reason


def wide_row(prediction: Prediction) -> Sequence[tuple[Any, ...]]:
    """Return the one row of a photo, in the order of `WIDE`."""
    ((path, _, *best, status, reason), *others) = rows(prediction)
    runner_up = (others[0][2], others[0][4]) if others else ("", None)
    return [(path, *best, *runner_up, status, reason)]


def origin(header: dict[str, Any]) -> tuple[str, str]:
    """Return the values of `ORIGIN` from the header of an output (`open_writer`); "" for one that it lacks."""
    model, table = (str(header.get(name, {}).get("sha256", "")) for name in ("model", "classes"))
    return model[:ORIGIN_DIGITS], table[:ORIGIN_DIGITS]
