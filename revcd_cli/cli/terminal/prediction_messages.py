"""Messages of `revcd predict`: what is about to run, and what was done."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import listed
from . import console

if TYPE_CHECKING:
    from ...data.features.feature_set import FeatureSet
    from ...pipeline.predict.candidates import CandidateClasses
    from ...pipeline.predict.predictions import Prediction
    from ...pipeline.predict.predictor import Predictor

FINISHED_WITH_FAILURES, NOTHING_USABLE = 3, 1


def introduce(
    predictor: Predictor, candidates: CandidateClasses, batch_size: int | None, features: FeatureSet | None
) -> None:
    """Print the model, the classes and the device, and details. features: those to classify, None for photos."""
    from ...data.classes.kinds import DESCRIBED, KNOWN, PHOTOS
    from ...pipeline.extract.details import backbone_details
    from ...pipeline.extract.stream import default_batch_size

    checkpoint, calibration = predictor.checkpoint, predictor.calibration
    n_of, n_seen = Counter(candidates.kinds), int(candidates.seen.sum())
    counts = f"{n_of[PHOTOS]} with photos" + (f", {n_of[KNOWN]} known" if n_of[KNOWN] else "")
    device = next(checkpoint.model.parameters()).device
    penalty = calibration.penalty(len(candidates.names) - n_seen)
    console.note(
        f"model {checkpoint.name}, {len(candidates.names)} classes ({counts}, {n_of[DESCRIBED]} described), "
        f"device {device}"
    )
    if candidates.photos is not None:
        given = listed([f"{name} ({number:,})" for name, number in candidates.photos.numbers.items()], 10)
        alone = "; classes without a description by their photos alone" if candidates.undescribed else ""
        console.note(f"photos given for {given}; scored by the rule {predictor.inference.rule}{alone}")
    console.detail(f"model sha256 {checkpoint.sha256}")
    console.detail(f"classes from {candidates.source}, sha256 {candidates.sha256}")
    console.detail(
        f"rule {predictor.inference.rule}, seen penalty {penalty:.4g}, temperature {calibration.temperature:g}"
    )
    if features is not None:
        record = features.backbone
        console.detail(f"{len(features):,} features of {record.tag}, weights sha256 {record.weights_sha256}")
        return
    for line in backbone_details(predictor.backbone):
        console.detail(line)
    origin = "as given" if batch_size else f"default on {device.type}"
    console.detail(f"batch size {batch_size or default_batch_size(predictor.backbone)} ({origin})")


def one_line(prediction: Prediction) -> str:
    """Return the answer for a photo as one line."""
    best = prediction.best
    if best is None:
        return f"{prediction.path}: {'no box' if prediction.status == 'empty' else 'none of these'}"
    return f"{prediction.path}: {best.name} {best.probability:.1%}"


def rejection_note(predictor: Predictor) -> str:
    """Return what --reject rejects, and how often it did so in validation."""
    calibration = predictor.rejection()
    what, of_what = "chance to be right", "right answers"
    if calibration.rejection is None:  # a model of an earlier version
        what, of_what = "score", "photos of the given classes"
    return (
        f"answers with a {what} below {calibration.threshold:.3g} are rejected; in validation "
        f"{console.percent(calibration.false_reject)} % of {of_what} were rejected, and "
        f"{console.percent(calibration.false_accept)} % of photos of other classes were not"
    )


def summarise(tally: Counter[str], output: Path | None, is_page: bool) -> int:
    """Print how many photos were classified, and return the exit code."""
    rejected, failed, empty = tally["rejected"], tally["failed"], tally["empty"]
    where = f" Written to {output}" if output else ""
    if output and is_page:  # a page holds the photos, so it may be large
        size = output.stat().st_size
        where += f" ({size / 1e6:.1f} MB, {size / tally.total() / 1e3:.1f} kB per photo)"
    if rejected or failed or empty or output:
        none = f"{rejected:,} none of these, " if rejected else ""
        none += f"{empty:,} without a box of an animal, " if empty else ""
        console.note(f"{console.photo_count(tally['ok'])} classified, {none}{failed:,} failed.{where}")
    if failed:
        return FINISHED_WITH_FAILURES if tally["ok"] or rejected or empty else NOTHING_USABLE
    return 0
