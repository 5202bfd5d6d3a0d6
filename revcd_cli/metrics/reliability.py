"""Reliability diagram: accuracy against confidence in bins, and the expected calibration error."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Reliability(NamedTuple):
    """Bins of equal width over confidences 0..1, B of them."""

    photos: Tensor  # (B,) whole numbers
    confidence: Tensor  # (B,) mean in the bin, NaN where it is empty
    accuracy: Tensor  # (B,) share of correct answers, NaN where it is empty

    def expected_error(self) -> float | None:
        """Return the expected calibration error: the mean over photos of |accuracy - confidence| of their bin.

        None where there is no photo.
        """
        total = int(self.photos.sum())
        gaps = (self.accuracy - self.confidence).abs().nan_to_num(0.0)
        return float((gaps * self.photos).sum() / total) if total else None


def reliability(confidence: Tensor, correct: Tensor, bins: int = 10) -> Reliability:
    """Assign answers to bins by their confidence; an edge belongs to the bin above it, 1 to the last.

    confidence: (N,) in 0..1, the probability of the answer; correct: (N,) bool.
    """
    confidence = confidence.double()
    where = (confidence * bins).long().clamp(0, bins - 1)
    photos = torch.bincount(where, minlength=bins)
    means = (torch.bincount(where, values, minlength=bins) / photos for values in (confidence, correct.double()))
    return Reliability(photos, *means)
