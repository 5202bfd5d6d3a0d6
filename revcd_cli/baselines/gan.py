"""A conditional Wasserstein GAN with gradient penalty (Gulrajani et al. 2017), a baseline of Table 2.

Symbols as in generative.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..core.model import RevCD
from .generative import ConditionedNetwork, GenerativeBaseline

PENALTY_WEIGHT = 10.0  # of the gradient penalty, as published


class Critic(nn.Module):
    """Scores how realistic a description is for a photo, which the critic encodes with its own encoder.

    With the generator's encoder, the generator could lower its loss by hiding information from the critic.
    """

    def __init__(self, revcd: RevCD) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(revcd.encoder)
        # The penalty needs each row's own gradient of one fixed function: no batch statistics and no dropout.
        plain = replace(revcd.config.denoiser, norm="layer", dropout=0.0)
        self.network = ConditionedNetwork(revcd.n_attributes, 1, revcd.config.encoder.width, plain)

    def forward(self, s: Tensor, c: Tensor) -> Tensor:
        """s: (B, A) descriptions; c: (B, W) conditions of the critic's own encoder. Returns (B,)."""
        return self.network(s, c).squeeze(-1)


class ConditionalGAN(GenerativeBaseline):
    """The generator is the decoder; the critic is used in training only."""

    def __init__(self, revcd: RevCD) -> None:
        super().__init__(revcd)
        self.critic = Critic(revcd)

    def generate(self, x: Tensor) -> Tensor:
        """Draw one description for each photo from torch's global generator. x: (B, width) scaled. Returns (B, A)."""
        noise = torch.randn(len(x), self.n_attributes, dtype=x.dtype, device=x.device)
        return self.decoder(noise, self.encoder(x))

    def loss(self, x: Tensor, s_0: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
        """Return the generator's loss: minus the critic's score of the generated rows, plus the classification term."""
        fake = self.generate(x)
        return self.classification(fake, labels, prototypes) - self.critic(fake, self.critic_condition(x)).mean()

    def critic_loss(self, x: Tensor, s_0: Tensor) -> Tensor:
        """Return the critic's loss: E critic(fake) - E critic(real) + PENALTY_WEIGHT times the gradient penalty."""
        with torch.no_grad():
            fake = self.generate(x)
        c = self.critic_condition(x)
        distance = self.critic(s_0, c).mean() - self.critic(fake, c).mean()
        return PENALTY_WEIGHT * gradient_penalty(lambda s: self.critic(s, c), s_0, fake).mean() - distance

    def critic_condition(self, x: Tensor) -> Tensor:
        """Return the conditions (B, W) of the critic's own encoder. x: (B, width) scaled."""
        return self.critic.encoder(x)


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Return (||d critic(s) / d s|| - 1)^2 at a random point s between each pair of rows. real, fake: (B, A). (B,)."""
    share = torch.rand(len(real), 1, dtype=real.dtype, device=real.device)
    s = torch.lerp(fake, real, share).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(s).sum(), s, create_graph=True)
    return (gradient.norm(dim=-1) - 1).square()
