"""Rejection, fitted on validation folds: the chance that an answer is right, and the threshold for withholding it.

Each photo counts twice: with all candidates, and without its own class, as a photo of none of the candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...scoring.calibration import rejection_threshold
from ...scoring.rejection import answer_chances, answer_quantities, fit_chance
from ..evaluate.split_scores import SplitScores


def fit_rejection(
    folds: Sequence[SplitScores], gamma: float, temperature: float, false_reject: float
) -> dict[str, Any]:
    """Return the weights, the threshold and its rates on the folds, by the names of `Calibration`.

    The threshold rejects the share `false_reject` of the right answers.
    """
    parts: list[list[torch.Tensor]] = [[], [], []]
    for fold in folds:
        scores, labels = fold.calibrated(gamma)
        own = torch.nn.functional.one_hot(labels, scores.shape[1]).bool()
        parts[0].append(answer_quantities(scores, fold.seen, temperature))
        parts[1].append(answer_quantities(scores.masked_fill(own, -torch.inf), fold.seen, temperature))
        parts[2].append(scores.argmax(1) == labels)
    known, unknown, right = (torch.cat(part) for part in parts)
    weights = fit_chance(torch.cat([known, unknown]), torch.cat([right, torch.zeros_like(right)]))
    of_right, of_unknown = answer_chances(known, weights)[right], answer_chances(unknown, weights)
    threshold = rejection_threshold(of_right, false_reject)
    return {
        "rejection": weights,
        "threshold": threshold,
        "false_reject": _share(of_right < threshold),
        "false_accept": _share(of_unknown >= threshold),
    }


def _share(selected: torch.Tensor) -> float:
    return float(selected.double().mean()) if len(selected) else 0.0
