"""Evaluations with known results: scores, a diagnosis and a report document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from revcd_cli.metrics.accuracy import confusion_matrix
from revcd_cli.metrics.bootstrap import bootstrap
from revcd_cli.pipeline.evaluate.diagnosis import AttributeReliability, Diagnosis, calibration_bins
from revcd_cli.pipeline.evaluate.split_scores import SplitScores


def scores_of(answers: Sequence[tuple[int, int, int]], seen: Sequence[bool], names: Sequence[str]) -> SplitScores:
    """Return scores that give each (true class, predicted class, number of photos) at a seen penalty of 0."""
    labels = torch.tensor([true for true, _, photos in answers for _ in range(photos)])
    answered = torch.tensor([answer for _, answer, photos in answers for _ in range(photos)])
    scores = torch.rand(len(labels), len(names), generator=torch.Generator().manual_seed(0))
    scores[torch.arange(len(labels)), answered] += 1.5
    of_seen = torch.tensor(seen)[labels]
    return SplitScores(
        scores[of_seen], scores[~of_seen], labels[of_seen], labels[~of_seen], tuple(names), torch.tensor(seen)
    )


def diagnosis_of(scores: SplitScores, **changes: Any) -> Diagnosis:
    """Return the diagnosis of scores with two attributes; seen classes come first."""
    predictions = scores.predictions(0.0, 1.0)
    return Diagnosis(
        **{
            "names": scores.names,
            "seen": tuple(scores.seen.tolist()),
            "confusion": confusion_matrix(predictions.predicted, predictions.labels, len(scores.names)).numpy(),
            "temperature": 1.0,
            "calibration": calibration_bins(predictions, scores.seen),
            "attributes": (
                AttributeReliability(name="stripes", unseen=-0.25, seen=0.9, validation=0.5),
                AttributeReliability(name="hooves", unseen=0.75, seen=None, validation=None),
            ),
            "drawn_photos": {"seen": 3, "unseen": 4},
            **changes,
        }
    )


def document_of(scores: SplitScores) -> dict[str, Any]:
    """Return the report document of these scores for a model with a seen penalty of 0."""
    figures = scores.report(0.0).defined().to_dict()
    intervals = bootstrap([scores.class_figures()], draws=100).intervals()
    per_class = figures.pop("per_class")
    return {
        "revcd": "0",
        "metrics": figures,
        "intervals": {name: each and asdict(each) for name, each in intervals.items()},
        "validation": {"S": 0.5},
        "rule": "joint",
        "gamma": 0.0,
        "temperature": 1.0,
        "seed": 0,
        "model": {"name": "model", "sha256": "ab" * 32},
        "dataset": {"name": "data", "split_sha256": "cd" * 32, "features_sha256": "ef" * 32},
        "backbone": {"tag": "toy", "weights_sha256": "01" * 32},
        "candidates": {"whole_table": True, **{kind: figures[f"{kind}_classes"] for kind in ("seen", "unseen")}},
        "per_class": list(per_class),
    }


def many_classes(count: int = 200, seen: int = 150) -> SplitScores:
    """Return scores for as many classes as CUB has, 3 photos each, with about half of the predictions correct."""
    generator = np.random.default_rng(0)
    answers = [(c, c if generator.random() < 0.5 else int(generator.integers(count)), 1) for c in range(count)] * 3
    names = [f"{c + 1:03d}.Black_footed_Albatross" for c in range(count)]
    return scores_of(answers, [c < seen for c in range(count)], names)
