"""RevCD (paper section 3): the network with its preprocessing, from raw features to estimates of class descriptions.

Symbols: B batch, D feature size, A attributes, W condition width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import Config
from .denoiser import Denoiser
from .encoder import VisualEncoder
from .objective import Estimate, output_width, to_estimate
from .precondition import FeatureScaler, Preconditioner
from .schedule import NoiseSchedule


class ConditionalModel(nn.Module):
    """The parts that all models of p(s | x) share: preprocessing of features and descriptions, and the encoder."""

    def __init__(
        self,
        config: Config,
        n_attributes: int,
        n_classes: int,
        scaler: FeatureScaler,
        preconditioner: Preconditioner,
        encoder: VisualEncoder,
    ) -> None:
        super().__init__()
        self.config, self.n_attributes, self.n_classes = config, n_attributes, n_classes
        self.scaler, self.preconditioner, self.encoder = scaler, preconditioner, encoder

    def fit_preprocessing(self, features: Tensor, labels: Tensor, prototypes: Tensor) -> None:
        """Fit the affine maps of features and descriptions, in closed form.

        features: (N, D) of training photos; labels: (N,) into the seen classes' raw descriptions, prototypes (C, A).
        """
        if len(prototypes) != self.n_classes:
            raise ValueError(f"the model is for {self.n_classes} seen classes, and there are {len(prototypes)}")
        self.scaler.fit(features, labels)
        settings = self.config.precondition
        self.preconditioner.fit(prototypes, settings.views[0], settings.shrinkage)

    def precondition(self, s: Tensor) -> Tensor:
        """Bring raw class descriptions (..., A) into the space of the diffusion, where their mean square is about 1."""
        z: Tensor = self.preconditioner(s)
        if not self.config.precondition.unit_length:
            return z
        return float(self.n_attributes**0.5) * nn.functional.normalize(z, dim=-1)

    def encode(self, x: Tensor) -> Tensor:
        """Encode raw features (B, D) as conditions (B, W); once per photo is enough for all steps."""
        c: Tensor = self.encoder(self.scaler(x))
        return c


class RevCD(ConditionalModel):
    """p(s | x): a diffusion over preconditioned class descriptions s, conditioned on an image feature x.

    n_classes: how many seen classes there are; n_spatial: tokens in a row of features, 0 for one pooled vector. If
    `config.precondition` names several views of the descriptions, this network has the first one.
    """

    def __init__(self, config: Config, feature_dim: int, n_attributes: int, n_classes: int, n_spatial: int = 0) -> None:
        scaler = FeatureScaler(feature_dim, config.encoder.feature_scaling, max(n_spatial, 1), n_classes)
        encoder = VisualEncoder(config.encoder, scaler.width, n_spatial)
        super().__init__(config, n_attributes, n_classes, scaler, Preconditioner(n_attributes), encoder)
        self.feature_dim = feature_dim
        self.schedule = NoiseSchedule.named(config.diffusion.schedule, config.diffusion.timesteps)
        self.null = nn.Parameter(0.02 * torch.randn(config.encoder.width))  # the condition "no photo"
        outputs = output_width(config.diffusion.objective, n_attributes)
        self.denoiser = Denoiser(config.denoiser, n_attributes, config.encoder.width, outputs)

    def estimate(self, s_t: Tensor, t: Tensor, c: Tensor) -> Estimate:
        """Estimate the clean vector and the noise. s_t: (..., A), t: (...) in 1..T, c: (..., W); all broadcast."""
        output = self.denoiser(s_t, t, c)
        return to_estimate(self.config.diffusion.objective, output, s_t, self.schedule.alpha_bar(t, s_t))
