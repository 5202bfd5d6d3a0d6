"""The calibration of a rule: seen penalty, temperature and rejection threshold."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_FACTOR = 10.0  # between the numbers of unseen candidates, beyond which the penalty is not extrapolated


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How the scores of one rule become answers; fitted on validation, never on test photos.

    Raises `ValueError` for a value that is not finite, and for a temperature that is not above 0.
    """

    gamma: float = 0.0  # the seen penalty of calibrated stacking, for `gamma_classes` unseen candidates
    gamma_slope: float = 0.0  # change of the penalty with the logarithm of the number of unseen candidates
    gamma_classes: float = 0.0  # unseen candidates of the validation folds; 0 if not known
    temperature: float = 1.0  # probability = softmax((score - gamma [class is seen]) / temperature)
    # Weights of `scoring.rejection`, by which the chance that an answer is right follows from the photo's scores; None
    # in models of earlier versions, which compare the best score itself with the threshold
    rejection: tuple[float, ...] | None = None
    threshold: float | None = None  # a photo whose answer has a lower chance to be right (or score) is rejected
    false_reject: float | None = None  # share of right answers in validation that are rejected
    false_accept: float | None = None  # share of validation photos of no candidate class that are not

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            numbers = value if isinstance(value, tuple) else () if value is None else (value,)
            if not all(map(math.isfinite, numbers)):
                raise ValueError(f"{name} of a calibration is {value}, not a finite number")
        if self.temperature <= 0:
            raise ValueError(f"temperature of a calibration is {self.temperature}, not above 0")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Calibration:
        """Return the calibration of a JSON document. Raises `TypeError` and `ValueError` for wrong names and values."""

        def numbers(value: Any) -> Any:
            return (
                tuple(map(float, value)) if isinstance(value, list | tuple) else None if value is None else float(value)
            )

        return cls(**{name: numbers(value) for name, value in values.items()})

    def penalty(self, n_unseen: int) -> float:
        """Return the seen penalty for a number of unseen candidates: gamma + slope ln(n_unseen / gamma_classes).

        Beyond a factor of 10 from the number in validation, it changes no further.
        """
        if n_unseen < 1 or self.gamma_classes <= 0:
            return self.gamma
        factor = min(max(n_unseen / self.gamma_classes, 1 / _FACTOR), _FACTOR)
        return self.gamma + self.gamma_slope * math.log(factor)

    def for_candidates(self, n_unseen: int) -> Calibration:
        """Return the calibration whose `gamma` is the penalty for this number of unseen candidates."""
        return dataclasses.replace(self, gamma=self.penalty(n_unseen), gamma_slope=0.0, gamma_classes=0.0)

    def fits(self, scores: Tensor, seen: Tensor) -> Tensor:
        """Return what is compared with the threshold, for each photo: (N,).

        scores: (N, C), calibrated; seen: (C,) bool.
        """
        from ..scoring.rejection import answer_chances, answer_quantities

        if self.rejection is None:
            return scores.amax(-1)
        return answer_chances(answer_quantities(scores, seen, self.temperature), self.rejection)

    def apply(self, scores: Tensor, seen: Tensor, limits: Tensor | None = None) -> Tensor:
        """Return calibrated scores (N, C) from those of the model, by the penalty for this number of unseen candidates.

        seen: (C,) bool; limits: of the penalty, see `ZeroShotModel.penalty_limits`.
        """
        from ..scoring.calibration import calibrated

        return calibrated(scores, seen, self.penalty(int((~seen).sum())), limits)
