"""Predict the classes of photos such that an interrupted run can be resumed, with the same predictions in the end.

The journal of such a run has shards of predictions in JSON; see `pipeline.journal`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO

from ...data.features.feature_set import FeatureSet
from ...data.parts.part import Box, Part
from ...data.photos.details import PhotoDetails
from ...data.photos.image_source import ImageSource
from ...data.photos.passed_over import PassedOver
from ...errors import InputFileError, UsageError
from ...system.files import checksummed, read_checksummed
from ...version import __version__
from .. import journal
from ..extract.listing import SourceList
from ..extract.stream import ExtractedPhoto, default_batch_size, stream_features
from .candidates import CandidateClasses
from .explanations import GeneratedAttributes
from .feature_photos import ROWS_AT_ONCE, feature_photos, row_sources
from .options import PredictOptions
from .predictions import FAILED, Candidate, Prediction
from .predictor import PHOTOS_AT_ONCE, OnNote, OnProgress, Predictor

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


class ResumablePrediction:
    """A prediction into the file `output`, with a journal next to it.

    The caller holds the lock of the output, writes the predictions of `run` to it, and calls `finish` when it is
    complete. A run that is killed at any time and repeated yields the same predictions as an uninterrupted run. If
    settings, model, classes or feature file are others than those of the interrupted run, its work is not used.
    """

    def __init__(
        self,
        predictor: Predictor,
        given: SourceList | FeatureSet,
        output: Path,
        candidates: CandidateClasses,
        options: PredictOptions,
        *,
        fresh: bool = False,
        on_note: OnNote | None = None,
    ) -> None:
        """given: the photos of a command line, or features of the model's backbone. fresh: start over."""
        self.predictor, self.given, self.candidates = predictor, given, candidates
        is_photos = not isinstance(given, FeatureSet)
        self.options, self._note = options, on_note
        self.journal = PredictionJournal(output, self._settings(), rereads=is_photos)
        self.journal.start(on_note or (lambda text: None), fresh=fresh)

    @property
    def resumes(self) -> bool:
        """Whether there is an interrupted run with these settings."""
        return self.journal.resumes

    def run(self, on_progress: OnProgress | None = None, passed: PassedOver | None = None) -> Iterator[Prediction]:
        """Yield the predictions in order: those of the interrupted run, and the others as they are computed.

        passed: counts files that are no photos, as in `Predictor.stream`.
        """
        tell = on_progress or (lambda done, total, failed: None)
        total = len(self.given) if isinstance(self.given, FeatureSet) else self.given.count(passed)
        kept = self.journal
        if not kept.is_empty:
            kept.survey(self._listing())
            if self._note is not None:
                self._note(f"Resuming from {kept.folder}: {kept.reused:,} photos are finished.")
        failed = 0
        for done, prediction in enumerate(self._predictions(), 1):
            failed += prediction.status == FAILED
            tell(done, total, failed)
            yield prediction

    def finish(self) -> None:
        """Remove the journal, because the output is complete."""
        self.journal.remove()

    def _predictions(self) -> Iterator[Prediction]:
        kept, numbers = self.journal, deque[int]()
        size, given = kept.shard_rows, self.options.batch_size
        at_once = ROWS_AT_ONCE if isinstance(self.given, FeatureSet) else given or PHOTOS_AT_ONCE
        photos = self._photos(numbers)
        computed = self.predictor.classify(photos, self.candidates, self.options, at_once=at_once, group_size=size)
        for number in count():
            if number in kept.finished:
                yield from kept.load(number).predictions
                continue
            shard: list[Prediction] = []
            for prediction in islice(computed, size):
                if not shard:
                    kept.begin()
                shard.append(prediction)
                yield prediction
            if not shard:
                return
            kept.write(numbers.popleft(), shard)

    def _photos(self, numbers: deque[int]) -> Generator[ExtractedPhoto, None, None]:
        sources = self.journal.unfinished(self._listing(), numbers)
        if isinstance(self.given, FeatureSet):
            return feature_photos(self.given, self.predictor.checkpoint.backbone, sources)
        return stream_features(
            self.predictor.backbone,
            sources,
            batch_size=self.options.batch_size,
            workers=self.options.workers,
            keep_image=self.options.thumbnails,
            keep_details=self.options.details,
            group_size=self.journal.shard_rows,
            on_note=self._note,
        )

    def _listing(self) -> Iterator[ImageSource]:
        return row_sources(self.given) if isinstance(self.given, FeatureSet) else self.given()

    def _settings(self) -> dict[str, Any]:
        """Return all that determines the predictions, except for the photos themselves."""
        predictor, given = self.predictor, self.given
        seed = predictor.checkpoint.seed if self.options.seed is None else self.options.seed
        options = {name: value for name, value in asdict(self.options).items() if name != "workers"}
        photos: dict[str, Any]
        if isinstance(given, FeatureSet):
            photos, record = {"features": _features_digest(given)}, given.backbone
        else:
            photos, record = {"inputs": given.inputs}, predictor.backbone.record
            options["batch_size"] = self.options.batch_size or default_batch_size(predictor.backbone)
        return {
            **photos,
            "revcd": __version__,
            "model": predictor.checkpoint.sha256,
            "classes": _candidates_digest(self.candidates),
            "inference": asdict(predictor.inference),
            "options": {**options, "seed": seed},
            "backbone": record.to_dict(),
            "device": next(predictor.checkpoint.model.parameters()).device.type,
        }


def _features_digest(features: FeatureSet) -> str:
    digest = hashlib.sha256(features.features.tobytes())
    for column in (features.paths, features.status, features.reason, features.sha256):
        digest.update(repr(column).encode())
    return digest.hexdigest()


def _candidates_digest(candidates: CandidateClasses) -> str:
    photos = candidates.photos
    digest = hashlib.sha256(candidates.prototypes.contiguous().numpy().tobytes())
    digest.update(repr((candidates.names, candidates.kinds, candidates.own.tolist(), candidates.undescribed)).encode())
    if photos is not None:
        digest.update(repr((photos.names, photos.counts)).encode())
        digest.update(photos.means.contiguous().numpy().tobytes())
    return digest.hexdigest()


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
