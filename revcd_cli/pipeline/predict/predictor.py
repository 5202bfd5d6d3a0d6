"""Predict the classes of photos: from files to ranked classes, photo by photo and in order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...backbones.backbone import Backbone, load_recorded
from ...checkpoint.calibration import Calibration
from ...checkpoint.class_photos import ClassPhotos
from ...checkpoint.model_file import Checkpoint, load_checkpoint
from ...config import InferenceConfig
from ...data.classes.attributes import ClassAttributes, read_attribute_csv
from ...data.features.feature_set import FeatureSet
from ...data.photos.passed_over import PassedOver
from ...errors import UsageError
from ...scoring.joint import rank
from ...scoring.rows import draw_rows, score_rows
from ...system.device import choose_device
from ..extract.listing import SourceList
from ..extract.stream import ExtractedPhoto, in_batches, stream_features
from .candidates import CandidateClasses, candidate_classes
from .explanations import CandidateDescriptions, GeneratedAttributes
from .feature_photos import ROWS_AT_ONCE, feature_photos
from .given_images import Images, count_given, given_sources
from .given_photos import Photos, class_photos
from .options import PredictOptions
from .outcome import Bounds, Scored, prediction_of
from .predictions import FAILED, Candidate, Prediction

PHOTOS_AT_ONCE = 32
PHOTO_RULES = ("prototype", "joint", "evidence")  # those that use photos given for classes

OnProgress = Callable[[int, "int | None", int], None]
OnNote = Callable[[str], None]


class Predictor:
    """A model with its backbone, ready to classify photos.

    Predictor.from_checkpoint("animals").predict(["photo.jpg", "folder"], classes="attributes.csv")
    """

    def __init__(
        self, checkpoint: Checkpoint, backbone: Backbone | None, *, inference: InferenceConfig | None = None
    ) -> None:
        """backbone: None for a predictor that classifies features only."""
        self.checkpoint, self._backbone = checkpoint, backbone
        self._chosen = inference  # None: the rule of the model, or the one that uses photos if there are any
        self.inference = inference or checkpoint.model.config.inference
        if checkpoint.photos is not None:
            if inference is not None and inference.rule not in PHOTO_RULES:
                raise UsageError(
                    f"The rule {inference.rule} does not use photos of classes, and this model has some.",
                    hint=f"Choose one of the rules {', '.join(PHOTO_RULES)}, or none.",
                )
            if self.inference.rule not in PHOTO_RULES:
                self.inference = self.inference.with_rule(PHOTO_RULES[0])

    @classmethod
    def from_checkpoint(
        cls,
        model: str | Path = "animals",
        *,
        weights: Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        rule: str | None = None,
        with_backbone: bool = True,
    ) -> Predictor:
        """Load a model by name or path, and its backbone.

        weights: a file with the weights of the backbone, instead of a download. rule: the scoring rule; None uses that
        of the model. with_backbone: False for a predictor that classifies features only. Raises
        `CheckpointError`, `ConfigError` and `WeightsError`.
        """
        checkpoint = load_checkpoint(model)
        chosen = None if rule in (None, "auto") else checkpoint.model.config.inference_by(rule)
        if not with_backbone:
            checkpoint.model.to(choose_device(device).value)
            return cls(checkpoint, None, inference=chosen)
        return cls.of_checkpoint(checkpoint, weights=weights, device=device, precision=precision, inference=chosen)

    @classmethod
    def of_checkpoint(
        cls,
        checkpoint: Checkpoint,
        *,
        weights: Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        inference: InferenceConfig | None = None,
    ) -> Predictor:
        """Load the backbone of a model in memory; the other parameters are those of `from_checkpoint`."""
        backbone = load_recorded(checkpoint.backbone, weights=weights, device=device, precision=precision)
        checkpoint.model.to(backbone.device.value)
        return cls(checkpoint, backbone, inference=inference)

    def predict(
        self,
        images: Images | FeatureSet,
        *,
        classes: str | Path | ClassAttributes | None = None,
        top_k: int = 5,
        seed: int | None = None,
        reject: bool = False,
        min_probability: float = 0.0,
        explain: bool = False,
    ) -> list[Prediction]:
        """Return the predictions for photos in order. The parameters are those of `stream`."""
        return list(
            self.stream(
                images,
                classes=classes,
                top_k=top_k,
                seed=seed,
                reject=reject,
                min_probability=min_probability,
                explain=explain,
            )
        )

    def with_photos(
        self, photos: Mapping[str, Photos], *, on_note: OnNote | None = None, **options: int | None
    ) -> Predictor:
        """Return a predictor that knows some classes by photos as well; nothing is trained.

        photos: files, folders or archives by class name. A class that is not in the table of candidates becomes a
        candidate without a description; photos of "others" are of anything else, and what they resemble most is
        rejected. options: batch_size, workers. Raises `UsageError` for a rule that does not use photos.
        """
        added = class_photos(self.checkpoint.model, self.backbone, photos, on_note=on_note, **options)
        kept = self.checkpoint.photos
        checkpoint = replace(self.checkpoint, photos=kept.with_others(added) if kept else added)
        return Predictor(checkpoint, self._backbone, inference=self._chosen)

    def knowing(self, photos: ClassPhotos | None) -> Predictor:
        """Return a predictor with these photos of classes, as `with_photos` computed them, instead of its own."""
        return Predictor(replace(self.checkpoint, photos=photos), self._backbone, inference=self._chosen)

    @property
    def backbone(self) -> Backbone:
        """The backbone. Raises `UsageError` for a predictor that classifies features only."""
        if self._backbone is None:
            raise UsageError("This predictor has no backbone, so it classifies features only.")
        return self._backbone

    @property
    def calibration(self) -> Calibration:
        """The calibration of the scoring rule in use."""
        return self.checkpoint.calibration_for(self.inference.rule)

    def rejection(self) -> Calibration:
        """Return the calibration if it has a rejection threshold; raise `UsageError` otherwise."""
        if self.calibration.threshold is None:
            raise UsageError(
                f"The model {self.checkpoint.name} has no rejection threshold for the rule {self.inference.rule}, "
                "because it was trained without validation.",
                hint="Train with validation (train.validation_classes above 0), or leave out --reject.",
            )
        return self.calibration

    def stream(
        self,
        images: Images | FeatureSet | SourceList,
        *,
        classes: str | Path | ClassAttributes | CandidateClasses | None = None,
        top_k: int = 5,
        seed: int | None = None,
        reject: bool = False,
        min_probability: float = 0.0,
        explain: bool = False,
        batch_size: int | None = None,
        workers: int | None = None,
        null_separated: bool = False,
        thumbnails: bool = False,
        details: bool = False,
        passed: PassedOver | None = None,
        on_progress: OnProgress | None = None,
        on_note: OnNote | None = None,
    ) -> Iterator[Prediction]:
        """Yield one prediction for each photo, in order; that of an unreadable photo has a reason and no candidates.

        images: files, folders, globs, zip or tar archives, or "-" for a list on standard input; encoded photos as
        bytes, PIL images or uint8 arrays (H, W, 3); features of the model's backbone, as `read_features` returns; or
        the boxes of a detector (`read_boxes`) or frames of videos (`VideoFrames`).
        classes: a CSV file, a table, or None for the classes of the model. seed: of the noise, which depends on it and
        on the bytes of the photo only; None uses that of the model. reject: where no class fits, by the threshold of
        the model, the prediction has the status "rejected" and no candidates. Raises `UsageError` if the model has no
        threshold. min_probability: a photo whose best class has a smaller probability is rejected, too.
        passed: counts files in folders and archives that are no photos; filled if there is `on_progress`.
        details: read what each file says about the photo (`Prediction.details`): capture time, camera, size, position.
        explain: also generate the attributes of each classified photo (`Prediction.drawn`); this does not change the
        predictions.
        """
        options = PredictOptions(
            top_k, seed, reject, min_probability, explain, thumbnails, details, batch_size, workers
        )
        candidates = self.candidates(classes)
        photos: Generator[ExtractedPhoto, None, None]
        total: int | None
        if isinstance(images, FeatureSet):
            total, at_once = len(images), ROWS_AT_ONCE
            photos = feature_photos(images, self.checkpoint.backbone)
        else:
            at_once = batch_size or PHOTOS_AT_ONCE
            if isinstance(images, SourceList):
                total, sources = images.count(passed), images()
            else:
                total = count_given(images, passed) if on_progress else None
                sources = given_sources(images, null_separated=null_separated)
            photos = stream_features(
                self.backbone,
                sources,
                batch_size=batch_size,
                workers=workers,
                keep_image=thumbnails,
                keep_details=details,
                on_note=on_note,
            )
        failed = 0
        for done, prediction in enumerate(self.classify(photos, candidates, options, at_once=at_once), 1):
            failed += prediction.status == FAILED
            if on_progress:
                on_progress(done, total, failed)
            yield prediction

    def classify(
        self,
        photos: Generator[ExtractedPhoto, None, None],
        candidates: CandidateClasses,
        options: PredictOptions,
        *,
        at_once: int,
        group_size: int | None = None,
    ) -> Iterator[Prediction]:
        """Yield one prediction for each photo with its feature, in order.

        at_once: photos whose scores are computed together. group_size: no such batch crosses a multiple of this number
        of photos, as in `stream_features`.
        """
        candidates = candidates.limited(self.checkpoint.model, self.inference.rule)
        threshold = self.rejection().threshold if options.reject else None
        bounds = Bounds(threshold, options.min_probability, self.calibration.rejection is not None)
        seed = self.checkpoint.seed if options.seed is None else options.seed
        with contextlib.closing(photos):  # ends its threads
            for some in in_batches(photos, at_once, group_size):
                yield from self._predict_batch(some, candidates, options.top_k, seed, bounds, options.explain)

    def candidates(
        self, classes: str | Path | ClassAttributes | CandidateClasses | None = None, *, rescale: bool = False
    ) -> CandidateClasses:
        """Return the candidate classes, see `candidate_classes`. classes: as for `stream`."""
        if isinstance(classes, CandidateClasses):
            return classes
        if isinstance(classes, str | Path):
            classes = read_attribute_csv(Path(classes))
        return candidate_classes(self.checkpoint, classes, rescale=rescale)

    def descriptions(self, candidates: CandidateClasses) -> CandidateDescriptions:
        """Return the descriptions of the candidates, with which generated attributes are compared."""
        checkpoint = self.checkpoint
        reliability = checkpoint.metrics.get("attributes")  # absent in models of earlier versions
        return CandidateDescriptions.of(
            candidates.names, candidates.prototypes.numpy(), checkpoint.classes, reliability
        )

    def _predict_batch(
        self,
        photos: Sequence[ExtractedPhoto],
        candidates: CandidateClasses,
        top_k: int,
        seed: int,
        bounds: Bounds,
        explain: bool,
    ) -> Iterator[Prediction]:
        features = [photo.feature for photo in photos if photo.feature is not None]
        keys = [bytes.fromhex(photo.sha256) for photo in photos if photo.feature is not None]
        scored: Iterator[Scored] = iter(())
        if features:
            scored = self._score(np.stack(features), keys, candidates, top_k, seed, bounds, explain)
        for photo in photos:
            result = None if photo.feature is None else next(scored)
            yield prediction_of(photo, result, bounds, has_others=candidates.undescribed > 0)

    def _score(
        self,
        features: np.ndarray,
        keys: list[bytes],
        candidates: CandidateClasses,
        top_k: int,
        seed: int,
        bounds: Bounds,
        explain: bool,
    ) -> Iterator[Scored]:
        """Yield the best candidates of each photo. features: (N, D); keys: (N,), sha256 of the photos."""
        calibration = self.calibration
        model = self.checkpoint.model
        kinds = candidates.scoring_kinds(model)
        scores = score_rows(model, features, candidates.prototypes, self.inference, seed=seed, keys=keys, kinds=kinds)
        if self.checkpoint.labels is not None:
            evidence = self.checkpoint.labels.of_candidates(features, candidates.trained_as(self.checkpoint))
            scores = scores + self.inference.label_share * evidence
        scores = calibration.apply(scores, candidates.seen, candidates.limits)
        probabilities = (scores / calibration.temperature).softmax(-1)
        best, chosen = rank(scores, top_k)
        shares, fits = probabilities.gather(1, chosen), calibration.fits(scores, candidates.seen).tolist()
        kept = map(bounds.keep, fits, shares[:, 0].tolist())
        drawn = self._draw(features, keys, seed, [explain and each for each in kept])
        rows = zip(best.tolist(), shares.tolist(), chosen.tolist(), fits, drawn, strict=True)
        for best_scores, best_shares, classes, fit, attributes in rows:
            ranked = tuple(
                Candidate(candidates.names[c], score, probability, candidates.kinds[c])
                for score, probability, c in zip(best_scores, best_shares, classes, strict=True)
            )
            yield Scored(ranked, fit, attributes)

    def _draw(
        self, features: np.ndarray, keys: list[bytes], seed: int, wanted: list[bool]
    ) -> Iterator[GeneratedAttributes | None]:
        """Yield the attributes generated from each photo, None where not wanted."""
        rows = np.flatnonzero(wanted)
        drawn: Iterator[tuple[list[float], list[float]]] = iter(())
        if len(rows):
            mean, spread = draw_rows(
                self.checkpoint.model, features[rows], self.inference, seed=seed, keys=[keys[row] for row in rows]
            )
            drawn = zip(mean.tolist(), spread.tolist(), strict=True)
        for each in wanted:
            attributes = None
            if each:
                of_photo = next(drawn)
                attributes = GeneratedAttributes(tuple(of_photo[0]), tuple(of_photo[1]))
            yield attributes if attributes and attributes.is_finite else None
