"""The joint rule: the weighted mean of evidence and visual prototypes, and its shortlist for many classes.

Symbols: B photos, C classes, A attributes, D feature size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]  # raw features (B, D), raw descriptions (C, A) -> scores (B, C)


def joint_scores(
    x: Tensor, s: Tensor, evidence: Score, prototype: Score, share: float | Tensor, shortlist: int
) -> Tensor:
    """Return (1 - share) times the evidence plus share times the prototype scores (B, C).

    share: of all classes, or of each, (C,). shortlist: how many classes the evidence is computed for, each photo's best
    by prototypes; 0 means all, and so do shares of each class, with which the order may differ.
    """
    if isinstance(share, Tensor):
        return torch.lerp(evidence(x, s), prototype(x, s), share.to(x))
    if share == 0:
        return evidence(x, s)
    by_prototypes = prototype(x, s)
    if share == 1:
        return by_prototypes
    shortened = 0 < shortlist < len(s)
    by_evidence = shortlisted_scores(x, s, by_prototypes, evidence, shortlist) if shortened else evidence(x, s)
    return (1 - share) * by_evidence + share * by_prototypes


def shortlisted_scores(x: Tensor, s: Tensor, first: Tensor, evidence: Score, shortlist: int) -> Tensor:
    """Return evidence for each photo's best `shortlist` classes by the scores `first` (B, C): (B, C).

    The other classes get the worst evidence of these. By both scores they are behind every class of the shortlist, so
    they are behind it in every mixture of the two.
    """
    rows = []
    for photo, scores in zip(x.split(1), first.split(1), strict=True):
        chosen = rank(scores, shortlist)[1][0].sort().values
        of_chosen = evidence(photo, s[chosen])[0]
        rows.append(torch.full_like(scores[0], float(of_chosen.amin())).index_copy(0, chosen, of_chosen))
    return torch.stack(rows)


def rank(scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Return the best `top_k` scores of each row and their classes. scores: (B, C), finite; ties to the lower index."""
    ordered, classes = scores.sort(dim=-1, descending=True, stable=True)
    return ordered[:, :top_k], classes[:, :top_k]
