"""Settings of the paper's method: preconditioning, diffusion, losses, visual encoder and denoiser.

docs/method.md explains each setting with its equation.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from .checks import check_choice, check_range


@dataclass(frozen=True, kw_only=True)
class PreconditionConfig:
    """Affine map of class descriptions towards a zero-mean, unit-variance Gaussian (paper section 3.3.4)."""

    kind: str = "centre+whiten"  # "standardise" | "whiten" | "centre", or several joined by "+": one network for each
    shrinkage: float = 0.3  # "whiten": of the covariance of descriptions towards a multiple of the identity
    unit_length: bool = True  # then scale all descriptions to one length, or those far from the mean attract photos

    def __post_init__(self) -> None:
        for kind in self.views:
            check_choice("precondition.kind", kind, ("standardise", "whiten", "centre"))
        if len(set(self.views)) < len(self.views):
            raise ConfigError(f'precondition.kind names a view twice: "{self.kind}".')
        check_range("precondition.shrinkage", self.shrinkage, 0, 1)

    @property
    def views(self) -> tuple[str, ...]:
        """The single maps that `kind` names."""
        return tuple(self.kind.split("+"))


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """The noise process over class descriptions (paper section 3.1)."""

    timesteps: int = 500  # T
    schedule: str = "cosine"  # "cosine" | "linear" (ends scaled by 1000/T, so that alpha_bar_T is small for any T)
    objective: str = "v"  # what the network predicts: "v" | "x0" | "eps" | "both" (two heads)

    def __post_init__(self) -> None:
        check_range("diffusion.timesteps", self.timesteps, 2, 10_000)
        check_choice("diffusion.schedule", self.schedule, ("cosine", "linear"))
        check_choice("diffusion.objective", self.objective, ("v", "x0", "eps", "both"))


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The total loss rec_weight L_rec + noise_weight L_noise + cls_weight L_cls (paper Eq. 16)."""

    weighting: str = "simple"  # "simple" (w = 1) | "exact" (the variational weights, from 4e-7 to 3e3 over t)
    rec_weight: float = 1.0  # lambda_1
    noise_weight: float = 1.0  # lambda_2
    cls_weight: float = 0.0  # lambda_3; raises seen accuracy and lowers unseen accuracy (paper section 4.3)
    consistency_weight: float = 0.1  # objective "both": of the penalty that keeps the two heads consistent; paper: 0
    cls_temperature: float = 0.1  # of the softmax over cosines to the seen descriptions
    cls_fade: bool = True  # L_cls times alpha_bar_t: near t = T the best estimate is a mean over classes; paper: false
    drop_condition: float = 0.1  # probability that a row trains the unconditional branch
    drop: str = "masked"  # "masked" (one pass) | "two-pass" (only L_noise has dropped rows, in its own pass)
    # "masked": rows that L_rec counts, "all" | "photo" (those that keep their photo). "all" trains the estimate without
    # a photo at every time; L_noise alone hardly trains it near t = T
    rec_rows: str = "all"

    def __post_init__(self) -> None:
        check_choice("loss.weighting", self.weighting, ("simple", "exact"))
        check_choice("loss.drop", self.drop, ("masked", "two-pass"))
        check_choice("loss.rec_rows", self.rec_rows, ("all", "photo"))
        for name in ("rec_weight", "noise_weight", "cls_weight", "consistency_weight"):
            check_range(f"loss.{name}", getattr(self, name), 0)
        check_range("loss.cls_temperature", self.cls_temperature, 1e-3)
        check_range("loss.drop_condition", self.drop_condition, 0, 0.99)


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The visual encoder: a Transformer over tokens of the image features, plus a linear path (3.3.3)."""

    # "chunk" (equal pieces of the vector) | "single" (one token) | "views" (learned projections) | "spatial" (the
    # backbone's own tokens, one for each place in the photo: features from `revcd extract --tokens`)
    tokens: str = "single"
    n_tokens: int = 16  # for "chunk" and "views"
    width: int = 256  # of the condition vector and of every token
    heads: int = 4
    layers: int = 1
    feedforward: int = 512
    dropout: float = 0.1
    skip: bool = True  # a linear path parallel to the attention; it extrapolates better to unseen classes
    # "classes" (the directions in which class means differ) | "standard" (z-score) | "minmax" | "l2"; fitted on
    # training photos only
    feature_scaling: str = "classes"

    def __post_init__(self) -> None:
        check_choice("encoder.tokens", self.tokens, ("chunk", "single", "views", "spatial"))
        check_choice("encoder.feature_scaling", self.feature_scaling, ("classes", "standard", "minmax", "l2"))
        for name in ("n_tokens", "width", "heads", "layers", "feedforward"):
            check_range(f"encoder.{name}", getattr(self, name), 1)
        check_range("encoder.dropout", self.dropout, 0, 0.95)
        if self.width % self.heads:
            raise ConfigError(f"encoder.width ({self.width}) must be a multiple of encoder.heads ({self.heads}).")

    def check_features(self, n_spatial: int) -> None:
        """Raise `ConfigError` unless `tokens` reads features of `n_spatial` tokens a photo (0: pooled)."""
        if self.tokens == "spatial" and not n_spatial:
            raise ConfigError(
                "encoder.tokens = spatial needs features with spatial tokens; these are pooled, one vector a photo.",
                hint="Extract them with: revcd extract IMAGES... -o FILE.parquet --tokens",
            )
        if self.tokens != "spatial" and n_spatial:
            raise ConfigError(
                f"encoder.tokens = {self.tokens} reads pooled features; these are {n_spatial} spatial tokens a photo.",
                hint="Add --set encoder.tokens=spatial, or extract the features again without --tokens.",
            )


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """The cross Hadamard-addition U-Net (sections 3.3.1 and 3.4)."""

    width: int = 256  # of the first hidden layer
    reading: str = "A"  # of "three hidden layers": "A" three in all, "B" three on each side of the U
    norm: str = "layer"  # "layer" | "batch" (the paper's)
    dropout: float = 0.1
    time_width: int = 128  # of the sinusoidal embedding of t

    def __post_init__(self) -> None:
        check_range("denoiser.width", self.width, 1)
        check_choice("denoiser.reading", self.reading, ("A", "B"))
        check_choice("denoiser.norm", self.norm, ("layer", "batch"))
        check_range("denoiser.dropout", self.dropout, 0, 0.95)
        check_range("denoiser.time_width", self.time_width, 2)
        if self.time_width % 2:
            raise ConfigError(f"denoiser.time_width must be even; got {self.time_width}.")
