"""Answers in words for attribute values: none, little, some, much and very, each a quantile of the column."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

WORDS = ("none", "little", "some", "much", "very")
QUANTILES = (0.05, 0.4, 0.65, 0.85, 0.98)  # many columns are near their lowest value for most classes
_LARGEST = float(np.finfo(np.float32).max)


def level_values(values: np.ndarray) -> np.ndarray:
    """Return the value of each word for each column of a table (C, A): (5, A)."""
    return np.quantile(values.astype(np.float64), QUANTILES, axis=0)


def parse_value(text: str, levels: Sequence[float] | np.ndarray) -> float:
    """Return the value of an answer: a finite number, or one of the words. levels: (5,) of its column.

    Raises `ValueError` with what is wrong as a part of a sentence.
    """
    word = text.strip().casefold()
    if word in WORDS:
        return float(levels[WORDS.index(word)])
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > _LARGEST:
        raise ValueError(f'"{text.strip()}" is neither a number nor one of {", ".join(WORDS)}')
    return value
