"""Start the draft of a new class from photos: the attributes that the model generates from them. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ....errors import RevcdError, UsageError
from ...predict.predictor import OnNote, OnProgress, Predictor
from .draft import PHOTOS
from .session import NewClass

_UNMEASURED = 0.5  # reliability that is assumed of an attribute if validation did not measure it


def start_from_photos(
    new: NewClass,
    images: Sequence[str],
    model: str | Path,
    *,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> None:
    """Move the draft towards the attributes generated from photos, before any answer.

    An attribute of reliability r moves by the share r, and its standard deviation becomes sqrt(1 - r^2) of what it was:
    the regression of the true value on a value that has the correlation r with it. The photos' paths are kept. Raises
    `RevcdError` if no photo can be read.
    """
    predictor = Predictor.from_checkpoint(model)
    if tuple(predictor.checkpoint.classes.attributes) != new.draft.attributes:
        raise UsageError("--photos needs the model whose attributes the table has.")
    drawn, paths, failed = [], [], []
    for photo in predictor.stream(list(images), explain=True, on_progress=on_progress, on_note=on_note):
        if photo.drawn is None:
            failed.append(f"{photo.path} ({photo.detail})")
            continue
        drawn.append(photo.drawn.mean)
        paths.append(photo.path)
    if not drawn:
        raise RevcdError(f"No photo of {new.name} can be used: {failed[0]}.")
    for each in failed:
        if on_note:
            on_note(f"{each}: not used")
    blend(new, np.array(drawn).mean(axis=0))
    new.photos = tuple(paths)


def blend(new: NewClass, generated: np.ndarray) -> None:
    """Move the draft towards generated values (A,), each as far as it is reliable."""
    draft, known = new.draft, new.neighbours.known
    measured = (known.reliability if known else None) or {}
    found = [measured.get(name, _UNMEASURED) for name in draft.attributes]
    share = np.array([0.0 if value is None else min(max(value, 0.0), 0.99) for value in found])
    mean = draft.rows.mean + share * (generated - draft.rows.mean)
    draft.rows = draft.rows.moved(mean, np.sqrt(1 - share**2))
    draft.origins = [PHOTOS if part > 0 else origin for part, origin in zip(share, draft.origins, strict=True)]
