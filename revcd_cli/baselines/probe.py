"""A linear probe of the seen classes, and ConSE, which scores unseen classes by the probe's posterior."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.trainer import TrainingRows
from .preprocessing import (
    DESCRIPTIONS,
    Describe,
    GridSetting,
    Scale,
    Scorer,
    class_shares,
    cosines,
    describe_by,
    scale_features,
)

_ITERATIONS = 60  # of L-BFGS
_DECAY = (0.1, 0.03, 1e-2, 1e-3)  # from strong to weak: each fit starts from the previous solution

PROBE_GRID: tuple[GridSetting, ...] = tuple({"decay": decay} for decay in _DECAY)
CONSE_GRID: tuple[GridSetting, ...] = tuple(
    {"decay": decay, "descriptions": descriptions, "top": top}
    for decay, descriptions, top in product(_DECAY, DESCRIPTIONS, (3, 10, 1000))
)


class LinearProbe:
    """Multinomial logistic regression on standardised features, with equal weight per class."""

    def __init__(self, rows: TrainingRows) -> None:
        self.scale, x = scale_features(rows.features, "standard")
        self.x, self.labels = x.float(), rows.labels  # single precision is enough for an iterative fit
        self.shares = class_shares(rows.labels, len(rows.prototypes)).float()
        self.weight = nn.Parameter(torch.zeros(len(rows.prototypes), x.shape[1]))
        self.bias = nn.Parameter(torch.zeros(len(rows.prototypes)))

    def fit(self, decay: float) -> tuple[Scale, Tensor, Tensor]:
        """Minimise the weighted cross-entropy plus decay / 2 ||W||^2, starting from the previous solution.

        Returns the scaling, W (C, D) and b (C,).
        """
        optimizer = torch.optim.LBFGS(
            [self.weight, self.bias], max_iter=_ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            each = F.cross_entropy(F.linear(self.x, self.weight, self.bias), self.labels, reduction="none")
            loss = (self.shares * each).sum() + decay / 2 * self.weight.square().sum()
            loss.backward()
            return loss

        with torch.enable_grad():
            optimizer.step(closure)
        return self.scale, self.weight.detach().clone(), self.bias.detach().clone()


def linear_probe(rows: TrainingRows, settings: Sequence[GridSetting], seed: int = 0) -> Iterator[Scorer]:
    """Yield scorers whose columns are the seen classes of `rows`, in order; they ignore the descriptions.

    The probe is trained on photos and labels of the seen classes, so it is an upper bound for S.
    """
    probe = LinearProbe(rows)
    for setting in settings:
        yield functools.partial(_logits, *probe.fit(setting["decay"]))


def conse(rows: TrainingRows, settings: Sequence[GridSetting], seed: int = 0) -> Iterator[Scorer]:
    """Convex combination of semantic embeddings (Norouzi et al., ICLR 2014).

    The description of a photo is the mean description of its `top` most probable seen classes, weighted by the probe's
    posterior; candidates are compared with it by cosine.
    """
    probe = LinearProbe(rows)

    @functools.lru_cache(1)
    def fitted(decay: float) -> tuple[Scale, Tensor, Tensor]:
        return probe.fit(decay)

    for setting in settings:
        describe = describe_by(rows.prototypes, setting["descriptions"])
        yield functools.partial(
            _combined, fitted(setting["decay"]), setting["top"], describe(rows.prototypes), describe
        )


def _logits(scale: Scale, weight: Tensor, bias: Tensor, x: Tensor, prototypes: Tensor | None = None) -> Tensor:
    return F.linear(scale(x).float(), weight, bias)


def _combined(
    fitted: tuple[Scale, Tensor, Tensor],
    top: int,
    seen: Tensor,
    describe: Describe,
    x: Tensor,
    prototypes: Tensor,
) -> Tensor:
    scale, weight, bias = fitted
    posterior = _logits(scale, weight, bias, x).double().softmax(-1)  # (B, C)
    best, classes = posterior.topk(min(top, len(seen)))
    kept = torch.zeros_like(posterior).scatter(1, classes, best / best.sum(1, keepdim=True))
    return cosines(kept @ seen, describe(prototypes))
