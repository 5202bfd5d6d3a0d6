"""The seen-unseen curve: S and U as functions of the seen penalty gamma (Chao et al. 2016).

The margin of a photo is its best seen score minus its best unseen score. When gamma exceeds it, a photo of a seen class
that is correct among the seen classes becomes wrong, and a photo of an unseen class that is correct among the unseen
classes becomes correct. S and U are step functions of gamma, and one sort gives them exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SeenUnseenCurve:
    """Margins at which answers become wrong (lost) or correct (won), ascending, each with its share of S or U.

    lost: (M,) margins and (M,) shares of the photos of seen classes that are correct among these; won: likewise for
    unseen classes. The shares sum to the accuracies with only that kind of class as candidates.
    """

    lost: tuple[Tensor, Tensor]
    won: tuple[Tensor, Tensor]

    def at(self, gamma: Tensor) -> tuple[Tensor, Tensor]:
        """Return S and U at penalties (G,), which should not equal a margin: there two scores tie."""
        margins, shares = self.lost
        acc_seen = shares.sum() - _cumulated(shares)[torch.searchsorted(margins, gamma)]
        margins, shares = self.won
        return acc_seen, _cumulated(shares)[torch.searchsorted(margins, gamma)]

    def points(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return a penalty between each two neighbouring margins and beyond both ends (G,), with S and U there."""
        gamma = penalties_between(torch.cat([self.lost[0], self.won[0]]))
        return gamma, *self.at(gamma)

    def ausuc(self) -> float:
        """Return the area under U as a function of S (trapezoids), which does not depend on a penalty."""
        _, acc_seen, acc_unseen = self.points()
        return float(torch.trapezoid(acc_unseen.flip(0), acc_seen.flip(0)))


def seen_unseen_curve(
    scores_seen: Tensor, labels_seen: Tensor, scores_unseen: Tensor, labels_unseen: Tensor, seen: Tensor
) -> SeenUnseenCurve:
    """Return the curve of photos of seen and unseen classes; every class has the same weight.

    scores_*: (N, C); labels_*: (N,); seen: (C,) bool, with at least one class of each kind.
    """
    return SeenUnseenCurve(
        _steps(scores_seen, labels_seen, seen, of_seen=True),
        _steps(scores_unseen, labels_unseen, seen, of_seen=False),
    )


def class_areas(
    scores_seen: Tensor, labels_seen: Tensor, scores_unseen: Tensor, labels_unseen: Tensor, seen: Tensor
) -> Tensor:
    """Return the area under the curve of each pair of a seen and an unseen class with photos (M, K), in class order.

    The area of a pair is the share of pairs of photos, one of each class, for which some penalty makes both correct;
    equal margins count half. `SeenUnseenCurve.ausuc` is the mean over all pairs. Parameters: see `seen_unseen_curve`.
    """
    lost, of_lost, n_lost = _correct_margins(scores_seen, labels_seen, seen, of_seen=True)
    won, of_won, n_won = _correct_margins(scores_unseen, labels_unseen, seen, of_seen=False)
    won, order = won.sort()
    shares = torch.nn.functional.one_hot(of_won[order], len(n_won)) / n_won  # (photos, K)
    below = torch.cat([shares.new_zeros(1, len(n_won)), shares.cumsum(0)])
    places = [torch.searchsorted(won, lost, right=right) for right in (False, True)]
    heights = (below[places[0]] + below[places[1]]) / 2  # (photos of seen classes, K)
    return heights.new_zeros(len(n_lost), len(n_won)).index_add(0, of_lost, heights / n_lost[of_lost].unsqueeze(1))


def penalties_between(margins: Tensor) -> Tensor:
    """Return one penalty below all margins (M,), one between each two distinct neighbours, and one above all."""
    margins = margins.double().unique()
    if not len(margins):
        return torch.zeros(1, dtype=torch.double)
    return torch.cat([margins[:1] - 1, (margins[1:] + margins[:-1]) / 2, margins[-1:] + 1])


def common_penalties(curves: Sequence[SeenUnseenCurve]) -> Tensor:
    """Return penalties (G,), one in each interval on which all these curves are constant."""
    return penalties_between(torch.cat([margins for curve in curves for margins in (curve.lost[0], curve.won[0])]))


def _steps(scores: Tensor, labels: Tensor, seen: Tensor, *, of_seen: bool) -> tuple[Tensor, Tensor]:
    margin, group, count = _correct_margins(scores, labels, seen, of_seen=of_seen)
    margin, order = margin.sort()
    return margin, 1 / (count[group[order]] * len(count))


def _correct_margins(scores: Tensor, labels: Tensor, seen: Tensor, *, of_seen: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the photos that are correct among the classes of their kind, and the number of all photos by class.

    The photos have margins and positions of their class among those with photos; the counts are in class order.
    """
    scores = scores.double()
    among_seen, chosen_seen = scores.masked_fill(~seen, -torch.inf).max(1)
    among_unseen, chosen_unseen = scores.masked_fill(seen, -torch.inf).max(1)
    correct = (chosen_seen if of_seen else chosen_unseen) == labels
    _, group, count = labels.unique(return_inverse=True, return_counts=True)
    return (among_seen - among_unseen)[correct], group[correct], count.double()


def _cumulated(shares: Tensor) -> Tensor:
    return torch.cat([shares.new_zeros(1), shares.cumsum(0)])
