"""Scores and drawn attributes of feature arrays, in batches; used by training, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import Parameter

from ..config import InferenceConfig
from ..system.image_noise import image_generator
from .candidate_kinds import CandidateKinds
from .generated_attributes import AttributeStatistics, generated_attributes
from .model import ZeroShotModel

ROWS_AT_ONCE = 256


class ScoringModel(Protocol):
    """A model that scores classes by their descriptions: `ZeroShotModel` and the generative baselines."""

    def score(
        self,
        x: Tensor,
        s: Tensor,
        config: InferenceConfig,
        generators: Sequence[Generator],
        kinds: CandidateKinds | None = None,
    ) -> Tensor: ...

    def parameters(self) -> Iterator[Parameter]: ...


def feature_keys(features: np.ndarray) -> list[bytes]:
    """Return the bytes of each feature row (N, D), which identify a photo if its file's hash is not known."""
    return [row.tobytes() for row in np.ascontiguousarray(features)]


def score_rows(
    model: ScoringModel,
    features: np.ndarray,
    prototypes: Tensor,
    config: InferenceConfig,
    *,
    seed: int,
    keys: Sequence[bytes] | None = None,
    kinds: CandidateKinds | None = None,
) -> Tensor:
    """Score C classes for N feature rows; each row's noise follows from (seed, its key) alone.

    features: (N, D) float32; prototypes: (C, A) raw class descriptions; keys: by default the rows' own bytes; kinds: of
    the classes; None: all are known by their descriptions only. Returns (N, C) float32 on the CPU.
    """
    device = next(model.parameters()).device
    # Classes with equal descriptions are scored once, as rounding could otherwise rank one before the other.
    first, where = first_of_equal_rows(prototypes if kinds is None else kinds.distinguished(prototypes))
    distinct = prototypes[first].to(device)
    kinds = None if kinds is None else kinds.select(first).to(device)
    scores = torch.empty(len(features), len(prototypes))
    for start in range(0, len(features), ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        x, generators = _photos(features[some], seed, None if keys is None else keys[some], device)
        scores[some] = model.score(x, distinct, config, generators, kinds).cpu()[:, where]
    return scores


def draw_rows(
    model: ZeroShotModel,
    features: np.ndarray,
    config: InferenceConfig,
    *,
    seed: int,
    keys: Sequence[bytes] | None = None,
) -> AttributeStatistics:
    """Draw attributes for N feature rows by `generated_attributes`: mean and spread (N, A) on the CPU.

    features, seed, keys: as in `score_rows`.
    """
    device = next(model.parameters()).device
    parts = []
    for start in range(0, max(len(features), 1), ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        x, generators = _photos(features[some], seed, None if keys is None else keys[some], device)
        parts.append(generated_attributes(model, x, config, generators))
    return AttributeStatistics(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))


def first_of_equal_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first of each group of equal rows (G,), in order, and the group of each row (C,). rows: (C, A)."""
    _, group = rows.cpu().unique(dim=0, return_inverse=True)
    first: dict[int, int] = {}
    for row, number in enumerate(group.tolist()):
        first.setdefault(number, row)
    position = {number: place for place, number in enumerate(first)}
    return torch.tensor(list(first.values())), torch.tensor([position[number] for number in group.tolist()])


def _photos(
    features: np.ndarray, seed: int, keys: Sequence[bytes] | None, device: torch.device
) -> tuple[Tensor, list[Generator]]:
    """Return a chunk of rows on the device, with a generator for each."""
    x = torch.from_numpy(np.ascontiguousarray(features)).to(device)
    return x, [image_generator(seed, key) for key in (feature_keys(features) if keys is None else keys)]
