"""What is known of each candidate class besides its description: its photos in training, and photos given later.

Symbols: K candidates, A attributes, P components of visual prototypes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class CandidateKinds:
    """Per candidate: its position among the classes of the training, and photos given for it.

    own: (K,) int64, -1 for a class that is not one of the training. photos: (K, P), the mean of the photos given for
    it, in components; counts: (K,), their numbers, 0 for none. described: (K,) bool, False for a class without a
    description. broad: (K,) bool, True for a class of photos as different as those of all classes together. None: no
    photos, all described, none broad. Rules that use descriptions only ignore all of this.
    """

    own: Tensor
    photos: Tensor | None = None
    counts: Tensor | None = None
    described: Tensor | None = None
    broad: Tensor | None = None

    @classmethod
    def trained(cls, n_classes: int) -> CandidateKinds:
        """Return the kinds of the training's own classes, in their order."""
        return cls(torch.arange(n_classes))

    def to(self, device: torch.device) -> CandidateKinds:
        """Return the same kinds with their tensors on a device."""
        return CandidateKinds(*(None if each is None else each.to(device) for each in self._tensors()))  # type: ignore[arg-type]

    def select(self, rows: Tensor) -> CandidateKinds:
        """Return the kinds of some candidates. rows: (M,), their positions."""
        return CandidateKinds(*(None if each is None else each[rows] for each in self._tensors()))  # type: ignore[arg-type]

    def known_by_photos(self) -> Tensor:
        """Return which candidates have given photos, or no description: (K,) bool."""
        known = torch.zeros_like(self.own, dtype=torch.bool)
        if self.counts is not None:
            known = known | (self.counts > 0)
        return known if self.described is None else known | ~self.described

    def prototype_shares(self, share: float, photo_share: float) -> float | Tensor:
        """Return the weight of the prototypes for each candidate (K,), or `share` if it is that of all.

        photo_share: the least weight for a candidate with given photos. A candidate without a description has no
        evidence, so its weight is 1.
        """
        if not self.known_by_photos().any():
            return share
        shares = torch.full(self.own.shape, share, device=self.own.device)
        if self.counts is not None:
            shares = torch.where(self.counts > 0, max(share, photo_share), shares)
        return shares if self.described is None else torch.where(self.described, shares, 1.0)

    def distinguished(self, s: Tensor) -> Tensor:
        """Return descriptions (K, A) with further columns that tell candidates of different kinds apart."""
        columns = [each.to(s).reshape(len(s), -1) for each in self._tensors() if each is not None]
        return torch.cat([s, *columns], 1)

    def _tensors(self) -> list[Tensor | None]:
        return [getattr(self, field.name) for field in fields(self)]
