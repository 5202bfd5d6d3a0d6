"""The backbone's own classifier as further evidence for known classes.

Visual prototypes of known classes are inferred from the classifier's weights, which loses a part of what it knows. For
a known candidate k its log probability log P(k | x), among the labels of the model's classes, is added to the score.
Other candidates have no such term: an unseen class has no label, and classes with photos do not need it.
Symbols: N photos, D feature size, L labels, K candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class LabelEvidence:
    """The classifier's weights of the labels of a model's classes.

    weights: (L, D); bias: (L,); owners: (L,), the name of the class of each label; known: names of the classes without
    photos, whose scores the evidence changes.
    """

    weights: Tensor
    bias: Tensor
    owners: tuple[str, ...]
    known: frozenset[str]

    def of_candidates(self, features: np.ndarray, names: Sequence[str]) -> Tensor:
        """Return log P(k | x) of each candidate that is a known class, 0 for the others: (N, K).

        features: (N, D). A class with several labels has the sum of their probabilities.
        """
        logits = torch.from_numpy(np.ascontiguousarray(features)).float() @ self.weights.float().T + self.bias.float()
        log_shares = logits.log_softmax(-1)  # (N, L)
        evidence = torch.zeros(len(features), len(names))
        for column, name in enumerate(names):
            if name in self.known:
                own = torch.tensor([owner == name for owner in self.owners])
                evidence[:, column] = log_shares[:, own].logsumexp(-1)
        return evidence
