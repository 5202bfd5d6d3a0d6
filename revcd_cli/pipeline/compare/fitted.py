"""A method after its choices were made and before any test photo was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from ..evaluate.split_scores import SplitScores


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What validation chose, and how to score the test photos by it."""

    settings: dict[str, Any]  # what validation chose: plain JSON values
    gamma: float  # the seen penalty, for what `scores` returns
    validation: dict[str, float | None]  # S, U, H, T1, AUSUC over the folds; {} without validation
    scores: Callable[[np.ndarray], SplitScores]  # of the test photos, in units, among candidate rows of the class table
    model: nn.Module | None = None  # for methods that are trained step by step
