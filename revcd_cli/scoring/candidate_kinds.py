"""What is known of each candidate class besides its description: its own photos in training, and its noise.

Symbols: K candidates, A attributes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class CandidateKinds:
    """Per candidate: its position among the classes of the training, and the noise of its description.

    own: (K,) int64, -1 for a class that the model knows by its description only; noise: (K,), see
    `VisualPrototypes.posterior`, None for that of a class without photos. Rules that use descriptions only ignore both.
    """

    own: Tensor
    noise: Tensor | None = None

    @classmethod
    def trained(cls, n_classes: int) -> CandidateKinds:
        """Return the kinds of the training's own classes, in their order."""
        return cls(torch.arange(n_classes))

    def to(self, device: torch.device) -> CandidateKinds:
        """Return the same kinds with their tensors on a device."""
        return CandidateKinds(self.own.to(device), None if self.noise is None else self.noise.to(device))

    def select(self, rows: Tensor) -> CandidateKinds:
        """Return the kinds of some candidates. rows: (M,), their positions."""
        return CandidateKinds(self.own[rows], None if self.noise is None else self.noise[rows])

    def distinguished(self, s: Tensor) -> Tensor:
        """Return descriptions (K, A) with further columns that tell candidates of different kinds apart."""
        columns = [self.own] if self.noise is None else [self.own, self.noise]
        return torch.cat([s, torch.stack(columns, 1).to(s)], 1)
