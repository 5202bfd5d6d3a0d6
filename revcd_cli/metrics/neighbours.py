"""Photos of a seen class that a new class with a similar description leaves to it.

A new row in the class table resembles some seen class most, its neighbour, and can take the neighbour's photos.
Symbols: N photos of seen classes, C candidates, A attributes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def nearest_seen(descriptions: Tensor, seen: Tensor) -> Tensor:
    """Return the seen candidate that each unseen one resembles most, -1 for seen ones: (C,) int64.

    descriptions: (C, A), compared by their cosine after subtraction of the seen classes' mean; seen: (C,) bool.
    """
    nearest = torch.full((len(seen),), -1)
    if not seen.any():
        return nearest
    directions = F.normalize(descriptions.double() - descriptions[seen].double().mean(0), dim=1)
    of_seen = torch.nonzero(seen)[:, 0]
    nearest[~seen] = of_seen[(directions[~seen] @ directions[of_seen].T).argmax(1)]
    return nearest


def photos_kept(scores: Tensor, labels: Tensor, seen: Tensor, nearest: Tensor) -> float | None:
    """Return the share of its neighbour's photos that a new class leaves to the neighbour, mean over new classes.

    Each unseen candidate is added alone to the seen ones, and takes the photos for which its score is higher. Counted
    are the photos that are right among the seen classes; None without such photos.
    scores: (N, C), calibrated, of photos of seen classes; labels: (N,); seen: (C,) bool; nearest: see `nearest_seen`.
    """
    right = scores.masked_fill(~seen, -torch.inf).argmax(1) == labels
    shares = []
    for new in torch.nonzero(nearest >= 0)[:, 0].tolist():
        photos = right & (labels == nearest[new])
        if photos.any():
            shares.append((scores[photos, nearest[new]] >= scores[photos, new]).double().mean())
    return float(torch.stack(shares).mean()) if shares else None
