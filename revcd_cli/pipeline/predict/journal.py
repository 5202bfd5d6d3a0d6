"""The journal of a prediction: shards of predictions in JSON; see `pipeline.journal`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ...data.parts.part import Box, Part
from ...data.photos.details import PhotoDetails
from ...errors import InputFileError, UsageError
from ...system.files import checksummed, read_checksummed
from .. import journal
from .explanations import GeneratedAttributes
from .predictions import FAILED, Candidate, Prediction

FORMAT = 1  # of a shard
_FEATURE_FACTOR = 4  # rows of a feature file take less time than photos, so a shard has more of them


@dataclass(frozen=True)
class PredictionShard(journal.Shard):
    """The predictions for consecutive photos of the listing. rereads: photos that failed are read again."""

    predictions: tuple[Prediction, ...]
    signatures: tuple[str, ...]
    rereads: bool

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(each.path for each in self.predictions)

    def failure(self, row: int) -> str | None:
        each = self.predictions[row]
        return each.reason if self.rereads and each.status == FAILED else None

    def failures(self) -> list[tuple[str, str, str]]:
        return [(each.path, each.reason, each.detail) for each in self.predictions if each.status == FAILED]


class PredictionJournal(journal.Journal[PredictionShard, Prediction]):
    """The shards of an output of predictions."""

    suffix = ".json"

    def __init__(self, output: Path, settings: dict[str, Any], *, rereads: bool = True) -> None:
        """rereads: False for photos of a feature file, whose failures do not change."""
        rows = journal.SHARD_ROWS if rereads else _FEATURE_FACTOR * journal.SHARD_ROWS
        super().__init__(output, {"format": FORMAT, **settings}, rows)
        self.rereads = rereads
        self.resumes = False  # `start` sets it: there is an interrupted run with these settings

    def start(self, note: Callable[[str], None], *, fresh: bool) -> None:
        """Start or resume. Shards with other settings are removed, with a note; `fresh` removes all."""
        try:
            changed = [] if fresh else self.changes()
        except UsageError:
            changed = ["its manifest cannot be read"]
        if changed:
            lines = "\n".join(f"  {change}" for change in changed)
            note(f"{self.folder} is of an interrupted run with other settings and is not used:\n{lines}")
        self.resumes = not fresh and not changed and (self.folder / "manifest.json").exists()
        self.open(fresh=fresh or bool(changed))

    def _write_items(self, stream: BinaryIO, items: Sequence[Prediction]) -> None:
        content = {"settings": self.digest, "photos": list(map(_to_json, items))}
        stream.write(checksummed(json.dumps(content).encode()))

    def load(self, number: int) -> PredictionShard:
        path = self.path(number)
        if not path.is_file():
            raise InputFileError(path, "is missing.")
        try:
            content = json.loads(read_checksummed(path))
            if content["settings"] != self.digest:
                raise InputFileError(path, "is not a shard of this run.")
            predictions = tuple(map(_from_json, content["photos"]))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputFileError(path, "is damaged.") from error
        return PredictionShard(predictions, tuple(each.signature for each in predictions), self.rereads)


def _to_json(prediction: Prediction) -> dict[str, Any]:
    drawn, thumbnail = prediction.drawn, prediction.thumbnail
    return {
        "path": prediction.path,
        "signature": prediction.signature,
        "status": prediction.status,
        "reason": prediction.reason,
        "detail": prediction.detail,
        "candidates": [(c.name, c.score, c.probability, c.kind) for c in prediction.candidates],
        "thumbnail": None if thumbnail is None else base64.b64encode(thumbnail).decode("ascii"),
        "drawn": None if drawn is None else [drawn.mean, drawn.spread],
        "part": None if prediction.part is None else asdict(prediction.part),
        "details": None if prediction.details is None else asdict(prediction.details),
    }


def _from_json(values: dict[str, Any]) -> Prediction:
    drawn, thumbnail, part, details = (values[name] for name in ("drawn", "thumbnail", "part", "details"))
    return Prediction(
        path=values["path"],
        signature=values["signature"],
        status=values["status"],
        reason=values["reason"],
        detail=values["detail"],
        candidates=tuple(Candidate(*each) for each in values["candidates"]),
        thumbnail=None if thumbnail is None else base64.b64decode(thumbnail),
        drawn=None if drawn is None else GeneratedAttributes(tuple(drawn[0]), tuple(drawn[1])),
        part=None if part is None else Part(None if part["box"] is None else Box(**part["box"]), part["time"]),
        details=None if details is None else PhotoDetails(**details),
    )
