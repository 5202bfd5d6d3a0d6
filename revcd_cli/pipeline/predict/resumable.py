"""Predict the classes of photos such that an interrupted run can be resumed, with the same predictions in the end."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import asdict
from itertools import count, islice
from pathlib import Path
from typing import Any

from ...data.features.feature_set import FeatureSet
from ...data.photos.image_source import ImageSource
from ...data.photos.passed_over import PassedOver
from ...version import __version__
from ..extract.listing import SourceList
from ..extract.stream import ExtractedPhoto, default_batch_size, stream_features
from .candidates import CandidateClasses
from .feature_photos import ROWS_AT_ONCE, feature_photos, row_sources
from .journal import PredictionJournal
from .options import PredictOptions
from .predictions import FAILED, Prediction
from .predictor import PHOTOS_AT_ONCE, OnNote, OnProgress, Predictor


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
        journal = self.journal
        if not journal.is_empty:
            journal.survey(self._listing())
            if self._note is not None:
                self._note(f"Resuming from {journal.folder}: {journal.reused:,} photos are finished.")
        failed = 0
        for done, prediction in enumerate(self._predictions(), 1):
            failed += prediction.status == FAILED
            tell(done, total, failed)
            yield prediction

    def finish(self) -> None:
        """Remove the journal, because the output is complete."""
        self.journal.remove()

    def _predictions(self) -> Iterator[Prediction]:
        journal, numbers = self.journal, deque[int]()
        size, given = journal.shard_rows, self.options.batch_size
        at_once = ROWS_AT_ONCE if isinstance(self.given, FeatureSet) else given or PHOTOS_AT_ONCE
        photos = self._photos(numbers)
        computed = self.predictor.classify(photos, self.candidates, self.options, at_once=at_once, group_size=size)
        for number in count():
            if number in journal.finished:
                yield from journal.load(number).predictions
                continue
            shard: list[Prediction] = []
            for prediction in islice(computed, size):
                if not shard:
                    journal.begin()
                shard.append(prediction)
                yield prediction
            if not shard:
                return
            journal.write(numbers.popleft(), shard)

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
