"""What is known of a new class after the questions, as a sentence and as a JSON document."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ....version import __version__
from .draft import IMPUTED, LIKE, ORIGINS, PHOTOS
from .files import draft_rows
from .session import NewClass

_WORDS = {
    LIKE: "follow from the classes that it is like and the answers",
    PHOTOS: "follow from photos and answers",
    IMPUTED: "follow from the answers",
}


def summary(new: NewClass) -> str:
    """Return how many values were given and imputed, and how sure the imputed ones are."""
    counts, total = _origins(new), len(new.draft.attributes)
    given = len(new.draft.answers)
    parts = [f"{new.name}: {given:,} of {total:,} values were given"]
    parts += [f"{counts[origin]:,} {words}" for origin, words in _WORDS.items() if counts[origin]]
    error = typical_error(new)
    if error is not None:
        parts.append(f"their typical error is {error:.2f} standard deviations of their column")
    return f"{', '.join(parts)}."


def nearest_text(new: NewClass) -> str:
    """Return the nearest classes, and whether the new class can be distinguished from them."""
    near = ", ".join(f"{each.name} {each.cosine:.2f}" for each in new.nearest())
    advice = new.verdict()
    return f"Nearest classes (cosine): {near}. " + (advice or "The new class differs enough from all of them.")


def typical_error(new: NewClass) -> float | None:
    """Return the typical error (root mean square) of imputed values, in standard deviations of their columns."""
    values = new.neighbours.table.values.astype(np.float64)
    unit, spread = values.std(axis=0), new.spread()
    open_ = [k for k in range(len(unit)) if k not in new.draft.answers and unit[k] > 0]
    return float(np.sqrt(np.mean((spread[open_] / unit[open_]) ** 2))) if open_ else None


def document(new: NewClass) -> dict[str, Any]:
    """Return the draft with the nearest classes as JSON values."""
    known = new.neighbours.known
    return {
        "revcd": __version__,
        "class": new.name,
        "model": known and known.name,
        "values": [
            {"attribute": name, "value": value, "spread": spread, "origin": origin}
            for name, value, spread, origin in draft_rows(new)
        ],
        "origins": dict(_origins(new)),
        "photos": list(new.photos),
        "nearest": [{"class": near.name, "cosine": round(near.cosine, 6)} for near in new.nearest(5)],
        "advice": new.verdict(),
        "photos_taken": [finding.text for finding in new.taken_photos()],
    }


def _origins(new: NewClass) -> Counter[str]:
    found = Counter(new.draft.origin(column) for column in range(len(new.draft.attributes)))
    return Counter({origin: found[origin] for origin in ORIGINS if found[origin]})
