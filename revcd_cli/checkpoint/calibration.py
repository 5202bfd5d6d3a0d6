"""The calibration of a rule: seen penalty, temperature and rejection threshold."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How the scores of one rule become answers; fitted on validation, never on test photos.

    Raises `ValueError` for a value that is not finite, and for a temperature that is not above 0.
    """

    gamma: float = 0.0  # the seen penalty of calibrated stacking
    temperature: float = 1.0  # probability = softmax((score - gamma [class is seen]) / temperature)
    threshold: float | None = None  # a photo with a lower rejection score is rejected: it shows none of the classes
    false_reject: float | None = None  # share of validation photos of candidate classes that are rejected
    false_accept: float | None = None  # share of validation photos of no candidate class that are not

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} of a calibration is {value}, not a finite number")
        if self.temperature <= 0:
            raise ValueError(f"temperature of a calibration is {self.temperature}, not above 0")

    def apply(self, scores: Tensor, seen: Tensor) -> Tensor:
        """Return calibrated scores (N, C) from those of the model. seen: (C,) bool."""
        from ..scoring.calibration import calibrated

        return calibrated(scores, seen, self.gamma)
