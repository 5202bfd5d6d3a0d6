"""The result of fitting a method: the choices of validation, and a function that scores test photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from ..evaluate.split_scores import SplitScores


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fitted method. Fitting reads no test photos; `scores` does."""

    settings: dict[str, Any]  # chosen by validation; JSON values
    gamma: float  # seen penalty for the scores that `scores` returns
    validation: dict[str, float | None]  # mean S, U, H, T1, AUSUC over the folds; {} without validation
    scores: Callable[[np.ndarray], SplitScores]  # table rows of candidates -> scores of test photos
    model: nn.Module | None = None  # of methods trained by gradient descent
