"""Writer of the predictions page: thumbnails, probabilities, filters, and the generated attributes of each photo."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from ...pipeline.predict.explanations import CandidateDescriptions
from ...pipeline.predict.predictions import EMPTY, REJECTED, Prediction, Write, rounded
from ...version import __version__
from ..pages import page_bytes, page_environment

UNSURE_BELOW = 0.5  # probability of the best class: less likely right than wrong, if probabilities are calibrated
MOST_CLASSES = 8  # in the overview, before those that open on demand
LEVELS = 1000  # steps of an attribute's range; generated values are stored as integers, which are short


@contextlib.contextmanager
def html_writer(
    stream: BinaryIO, header: dict[str, Any], descriptions: CandidateDescriptions | None = None
) -> Iterator[Write]:
    """Yield the function that adds a photo to the page. Cards are streamed, so memory does not grow with the photos.

    descriptions: class descriptions to compare generated attributes with. Those of the candidates of all photos are
    written at the end. Without them the page has no comparison of attributes.
    """
    parts: Any = page_environment().get_template("predictions/page.html.jinja").module
    numbers: dict[tuple[str, str], int] = {}  # of the candidate classes (name, kind), in order of appearance
    photos: Counter[str] = Counter()  # by status
    answers: Counter[int] = Counter()  # by number of the first class
    unsure: Counter[int] = Counter()  # of these, with a probability below `UNSURE_BELOW`
    size = 0

    def add(part: str) -> int:
        data = page_bytes(part)
        stream.write(data)
        return len(data)

    def write(prediction: Prediction) -> None:
        nonlocal size
        if prediction.status == EMPTY:  # nothing was classified
            return
        photos[prediction.status] += 1
        classes = [numbers.setdefault((each.name, each.kind), len(numbers)) for each in prediction.candidates]
        if classes:
            answers[classes[0]] += 1
            unsure[classes[0]] += prediction.candidates[0].probability < UNSURE_BELOW
        size += add(parts.card(prediction, photos.total(), classes, _levels(prediction, descriptions)))

    add(parts.head(header, __version__))
    yield write
    data = {
        "classes": [_class(*each, answers[number], descriptions) for each, number in numbers.items()],
        "names": sorted({*(name for name, _ in numbers), *(descriptions.rows if descriptions else ())}),
        "levels": LEVELS,
        "rule": (header.get("settings") or {}).get("rule"),
        **(_scale(descriptions) if descriptions else {}),
    }
    named: list[dict[str, Any]] = [
        {"name": name, "kind": kind, "number": number, "photos": answers[number], "unsure": unsure[number]}
        for (name, kind), number in numbers.items()
        if answers[number]
    ]
    counts = {
        "photos": photos.total(),
        "classified": photos["ok"],
        "unsure": unsure.total(),
        "unsure_below": UNSURE_BELOW,
        "rejected": photos[REJECTED],
        "failed": photos["failed"],
        "classes": sorted(named, key=lambda each: (-each["photos"], each["name"])),
    }
    add(parts.tail(data, counts, MOST_CLASSES, size / max(1, photos.total())))


def _levels(prediction: Prediction, descriptions: CandidateDescriptions | None) -> dict[str, str]:
    """Return the generated mean and spread of each attribute as integers, in steps of its range, joined by spaces."""
    if prediction.drawn is None or descriptions is None:
        return {}
    mean, spread = np.array(prediction.drawn.mean), np.array(prediction.drawn.spread)
    shares = {"mean": (mean - descriptions.low) / descriptions.span, "spread": spread / descriptions.span}
    return {
        name: " ".join(map(str, np.rint(LEVELS * each).clip(-(10**9), 10**9).astype(int).tolist()))
        for name, each in shares.items()
    }


def _class(name: str, kind: str, n_photos: int, descriptions: CandidateDescriptions | None) -> dict[str, Any]:
    row = descriptions.rows.get(name) if descriptions else None
    return {"name": name, "kind": kind, "photos": n_photos, "values": None if row is None else _numbers(row)}


def _scale(descriptions: CandidateDescriptions) -> dict[str, Any]:
    numbers = {name: _numbers(getattr(descriptions, name)) for name in ("low", "span", "unit", "average")}
    return {"attributes": descriptions.attributes, "reliability": descriptions.reliability, **numbers}


def _numbers(values: np.ndarray) -> list[float | None]:
    return [rounded(value) for value in values.tolist()]
