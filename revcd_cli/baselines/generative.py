"""Generative baselines of Table 2: models of p(s | x) that map noise to a class description in one step.

They differ from RevCD only in how the posterior is learnt: preconditioning, feature scaling, visual encoder, widths and
the cosine rule are the same.
Symbols: B batch, D feature size, A attributes, W condition width, H hidden width, K samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from ..config import DenoiserConfig, InferenceConfig
from ..core.denoiser import BatchNorm
from ..core.loss import class_loss
from ..core.model import ConditionalModel, RevCD
from ..scoring.candidate_kinds import CandidateKinds
from ..scoring.cosine import cosine_scores


class ConditionedLayer(nn.Module):
    """One hidden layer: `linear(x) + condition(c)`, then normalisation, ReLU and dropout."""

    def __init__(self, inputs: int, condition_width: int, config: DenoiserConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, config.width)
        self.condition = nn.Linear(condition_width, config.width)
        self.norm = BatchNorm(config.width) if config.norm == "batch" else nn.LayerNorm(config.width)
        self.finish = nn.Sequential(nn.ReLU(), nn.Dropout(config.dropout))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x: (..., inputs); c: (..., W), which broadcast. Returns (..., H)."""
        return self.finish(self.norm(self.linear(x) + self.condition(c)))


class ConditionedNetwork(nn.Module):
    """A plain network with as many hidden layers as the denoiser, equally wide; all of them get the condition."""

    def __init__(self, inputs: int, outputs: int, condition_width: int, config: DenoiserConfig) -> None:
        super().__init__()
        depth = {"A": 3, "B": 5}[config.reading]
        self.layers = nn.ModuleList(
            ConditionedLayer(inputs if level == 0 else config.width, condition_width, config) for level in range(depth)
        )
        self.out = nn.Linear(config.width, outputs)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x: (..., inputs); c: (..., W). Returns (..., outputs)."""
        for layer in self.layers:
            x = layer(x, c)  # (..., H)
        return self.out(x)


class GenerativeBaseline(ConditionalModel):
    """p(s | x) as s = decoder(h, c), h ~ N(0, I) with as many dimensions as RevCD's noise.

    It uses the feature scaling, the preconditioning and the encoder of an untrained RevCD, and replaces the rest.
    """

    unit: Tensor

    def __init__(self, revcd: RevCD) -> None:
        parts = revcd.scaler, revcd.preconditioner, revcd.encoder
        super().__init__(revcd.config, revcd.n_attributes, revcd.n_classes, *parts)
        self.decoder = self.network(self.n_attributes, self.n_attributes)
        self.register_buffer("unit", torch.ones(()))  # spread over classes of the scores, which are divided by it

    def network(self, inputs: int, outputs: int) -> ConditionedNetwork:
        """Return a network of the configured widths, conditioned on this model's encoder."""
        return ConditionedNetwork(inputs, outputs, self.config.encoder.width, self.config.denoiser)

    def sample(self, c: Tensor, generators: Sequence[Generator], n_samples: int) -> Tensor:
        """Draw preconditioned descriptions for conditions c (B, W), one generator per photo. Returns (B, K, A)."""
        shape = (n_samples, self.n_attributes)
        noise = [torch.randn(shape, generator=generator, device=generator.device) for generator in generators]
        return self.decoder(torch.stack(noise).to(c), c.unsqueeze(1))

    @torch.inference_mode()
    def score(
        self,
        x: Tensor,
        s: Tensor,
        config: InferenceConfig,
        generators: Sequence[Generator],
        kinds: CandidateKinds | None = None,
    ) -> Tensor:
        """Score every class for every photo by the cosine rule; the arguments are those of `ZeroShotModel.score`."""
        samples = self.sample(self.encode(x), generators, config.samples)
        return cosine_scores(samples, self.precondition(s)) / self.unit

    def loss(self, x: Tensor, s_0: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
        """Return the loss of one batch, a scalar; the arguments are those of `training_losses`."""
        raise NotImplementedError

    def classification(self, s_0_hat: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor | float:
        """Return lambda_3 L_cls of generated descriptions, as for RevCD (Eq. 15)."""
        settings = self.config.loss
        if settings.cls_weight == 0:
            return 0.0
        per_row = class_loss(s_0_hat, labels, prototypes, settings.cls_temperature)
        return settings.cls_weight * per_row.sum() / (labels >= 0).sum().clamp(min=1)
