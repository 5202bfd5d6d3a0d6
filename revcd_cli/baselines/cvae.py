"""A conditional variational auto-encoder of class descriptions (Sohn et al. 2015), a baseline of Table 2.

Symbols as in generative.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.model import RevCD
from .generative import GenerativeBaseline

KL_WEIGHT = 1.0  # weight of the KL in the evidence bound, twice the variance of the decoder's Gaussian: see `elbo`


class ConditionalVAE(GenerativeBaseline):
    """Encoder q(h | s, c) = N(mean, diag exp log_variance), decoder p(s | h, c) = N(decoder(h, c), KL_WEIGHT/2 I).

    Sampling takes h from the prior N(0, I) and the mean of the decoder.
    """

    def __init__(self, revcd: RevCD) -> None:
        super().__init__(revcd)
        self.recognition = self.network(self.n_attributes, 2 * self.n_attributes)

    def loss(self, x: Tensor, s_0: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
        """Return the negative evidence bound of one batch, scaled as `elbo` says, plus the classification term."""
        c = self.encoder(x)  # (B, W)
        mean, log_variance = self.recognition(s_0, c).chunk(2, dim=-1)  # (B, A) each
        h = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        s_0_hat = self.decoder(h, c)  # (B, A)
        bound = elbo(s_0_hat, s_0, mean, log_variance, KL_WEIGHT).mean()
        return self.classification(s_0_hat, labels, prototypes) - bound


def elbo(s_0_hat: Tensor, s_0: Tensor, mean: Tensor, log_variance: Tensor, kl_weight: float) -> Tensor:
    """Return -(||s_0_hat - s_0||^2 + kl_weight KL(q || N(0, I))) / A, per row: (B,).

    It is the evidence bound log N(s_0; s_0_hat, v I) - KL with v = kl_weight / 2, times kl_weight / A, without the
    constant, so that its first term is a mean squared error for any number of attributes.
    """
    squares = (s_0_hat - s_0).square().sum(-1)
    return -(squares + kl_weight * gaussian_kl(mean, log_variance)) / s_0.shape[-1]


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, diag exp log_variance) || N(0, I)) in nats, summed over the last axis."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1) / 2
