"""Every setting of a RevCD model and its training, with its default, its range and its reason. Standard library only.

A configuration is a tree of frozen dataclasses of plain JSON values. Nothing derived is stored, and defaults live here
and nowhere else. `method.md` below means docs/method.md, which follows the paper's sections.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from .errors import ConfigError, did_you_mean


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f'{name} must be one of {", ".join(allowed)}; got "{value}"{did_you_mean(value, allowed)}.')


def _in_range(name: str, value: float, low: float, high: float = float("inf")) -> None:
    if not (low <= value <= high and math.isfinite(value)):
        bound = f"at least {low:g}" if high == float("inf") else f"in {low:g}..{high:g}"
        raise ConfigError(f"{name} must be {bound}; got {value:g}.")


RULES = ("evidence", "prototype", "joint", "cosine")


@dataclass(frozen=True, kw_only=True)
class PreconditionConfig:
    """Affine map of the semantic space towards a zero-mean, unit-variance Gaussian (paper section 3.3.4)."""

    # "standardise" | "whiten" | "centre" | "none", or several joined by "+": then there is a network for each
    kind: str = "centre+whiten"
    shrinkage: float = 0.3  # of the prototype covariance towards a multiple of the identity; used by "whiten"
    unit_length: bool = True  # then bring every description to one length, so that extreme ones win no more often

    def __post_init__(self) -> None:
        for kind in self.views:
            _one_of("precondition.kind", kind, ("standardise", "whiten", "centre", "none"))
        if len(set(self.views)) < len(self.views):
            raise ConfigError(f'precondition.kind names a view twice: "{self.kind}".')
        _in_range("precondition.shrinkage", self.shrinkage, 0, 1)

    @property
    def views(self) -> tuple[str, ...]:
        """The single maps that `kind` names."""
        return tuple(self.kind.split("+"))


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """The noise process over class-attribute vectors (paper section 3.1)."""

    timesteps: int = 500  # T
    schedule: str = "cosine"  # "cosine" | "linear" (ends scaled by 1000/T, so that alpha_bar_T is small for any T)
    objective: str = "v"  # what the network predicts: "v" | "x0" | "eps" | "both" (two heads)

    def __post_init__(self) -> None:
        _in_range("diffusion.timesteps", self.timesteps, 2, 10_000)
        _one_of("diffusion.schedule", self.schedule, ("cosine", "linear"))
        _one_of("diffusion.objective", self.objective, ("v", "x0", "eps", "both"))


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The total loss (paper Eq. 16).

    form "v2": rec_weight L_rec + noise_weight L_noise + cls_weight L_cls;
    form "v1": (1 - cls_weight) L_rec + noise_weight L_noise + cls_weight L_cls, as the paper's first version has it.
    """

    form: str = "v2"  # "v2" | "v1"
    weighting: str = "simple"  # "simple" (w = 1) | "exact" (the variational weights, from 4e-7 to 3e3 over t)
    rec_weight: float = 1.0  # lambda_1; form "v2" only
    noise_weight: float = 1.0  # lambda_2, eta in form "v1"
    cls_weight: float = 0.0  # lambda_3; raises seen accuracy and lowers unseen accuracy (paper section 4.3)
    consistency_weight: float = 0.1  # objective "both": that the two heads describe one noisy vector
    cls_temperature: float = 0.1  # of the softmax over cosines to the seen prototypes
    drop_condition: float = 0.1  # probability that a row trains the unconditional branch
    drop: str = "masked"  # "masked" (one pass) | "two-pass" (only L_noise sees dropped rows, in a pass of its own)

    def __post_init__(self) -> None:
        _one_of("loss.form", self.form, ("v2", "v1"))
        _one_of("loss.weighting", self.weighting, ("simple", "exact"))
        _one_of("loss.drop", self.drop, ("masked", "two-pass"))
        for name in ("rec_weight", "noise_weight", "cls_weight", "consistency_weight"):
            _in_range(f"loss.{name}", getattr(self, name), 0)
        if self.form == "v1":
            _in_range("loss.cls_weight (in form v1)", self.cls_weight, 0, 1)
        _in_range("loss.cls_temperature", self.cls_temperature, 1e-3)
        _in_range("loss.drop_condition", self.drop_condition, 0, 0.99)


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The visual encoder: a Transformer over tokens of one feature vector, beside a linear path (section 3.3.3)."""

    # "chunk" (cut the vector) | "single" (one token) | "views" (learned projections) | "spatial" (the backbone's own
    # tokens, one for each place in the photo: features from `revcd extract --tokens`)
    tokens: str = "single"
    n_tokens: int = 16  # for "chunk" and "views"
    width: int = 256  # of the condition vector and of every token
    heads: int = 4
    layers: int = 1
    feedforward: int = 512
    dropout: float = 0.1
    skip: bool = True  # a linear path around the attention: unseen classes are reached by its near-linearity
    # "classes" (the directions in which classes differ) | "standard" (z-score) | "minmax" | "l2"; of training rows only
    feature_scaling: str = "classes"

    def __post_init__(self) -> None:
        _one_of("encoder.tokens", self.tokens, ("chunk", "single", "views", "spatial"))
        _one_of("encoder.feature_scaling", self.feature_scaling, ("classes", "standard", "minmax", "l2"))
        for name in ("n_tokens", "width", "heads", "layers", "feedforward"):
            _in_range(f"encoder.{name}", getattr(self, name), 1)
        _in_range("encoder.dropout", self.dropout, 0, 0.95)
        if self.width % self.heads:
            raise ConfigError(f"encoder.width ({self.width}) must be a multiple of encoder.heads ({self.heads}).")

    def check_features(self, n_spatial: int) -> None:
        """Raise `ConfigError` unless features of `n_spatial` tokens a photo (0: pooled) are what `tokens` reads."""
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
        _in_range("denoiser.width", self.width, 1)
        _one_of("denoiser.reading", self.reading, ("A", "B"))
        _one_of("denoiser.norm", self.norm, ("layer", "batch"))
        _in_range("denoiser.dropout", self.dropout, 0, 0.95)
        _in_range("denoiser.time_width", self.time_width, 2)
        if self.time_width % 2:
            raise ConfigError(f"denoiser.time_width must be even; got {self.time_width}.")


@dataclass(frozen=True, kw_only=True)
class PrototypeConfig:
    """The Gaussian process from descriptions to visual prototypes, fitted beside the diffusion in closed form."""

    components: int = 512  # of the features, at most; 0 leaves it out, and with it the rules "prototype" and "joint"
    length: float = 2.0  # of its kernel, squared, in units of the median squared distance between seen descriptions
    noise: float = 0.2  # variance of a class's mean photo that its description does not tell, as a share
    relevance: float = 0.0  # how far weights of attributes may differ: spread of their logarithm; 0 weighs all alike
    within_shrinkage: float = 0.8  # of the covariance of photos around their class's mean, towards a round one
    between_shrinkage: float = 0.3  # of the covariance of the classes' means

    def __post_init__(self) -> None:
        _in_range("prototypes.components", self.components, 0)
        _in_range("prototypes.length", self.length, 1e-3)
        _in_range("prototypes.noise", self.noise, 1e-6)
        _in_range("prototypes.relevance", self.relevance, 0, 10)
        _in_range("prototypes.within_shrinkage", self.within_shrinkage, 0, 1)
        _in_range("prototypes.between_shrinkage", self.between_shrinkage, 0, 1)


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """How a photo's semantic vector is drawn and compared with class descriptions (sections 3.5 and 3.6)."""

    # "evidence" (likelihood against the unconditional branch) | "prototype" (likelihood by visual prototypes) | "joint"
    # (both) | "cosine" (the paper's) | "auto" (what validation chooses of these)
    rule: str = "auto"
    prototype_share: float = 0.5  # joint: weight of the prototypes, the rest is the evidence's; "auto" chooses it too
    samples: int = 16  # cosine: vectors drawn per photo, whose cosines are averaged. The paper draws one
    steps: int = 1  # cosine: denoising steps, 1..T. One step reads the posterior mean at t = T
    average: str = "cosines"  # cosine: "cosines" (mean of each sample's) | "samples" (cosine of the mean sample)
    space: str = "preconditioned"  # cosine: "preconditioned" | "attributes" (mapped back to the table's values)
    sampler: str = "ddim"  # cosine: "ddim" | "ddpm" (the full chain)
    variance: str = "posterior"  # cosine, ddpm: "posterior" | "beta"
    clip: float = 0.0  # cosine: largest absolute value of an estimate of the clean vector on the way; 0 is no limit
    eta: float = 0.0  # cosine, ddim: 0 deterministic .. 1 as noisy as ddpm
    guidance_scale: float = 1.0  # cosine: w of classifier-free guidance; 1 means none
    draws: int = 8  # evidence: (t, noise) pairs that all classes share
    band_low: float = 0.1  # evidence: lowest t used, as a share of T
    band_high: float = 0.7  # evidence: highest t used, as a share of T
    shortlist: int = 200  # joint: classes whose evidence is read, each photo's best by prototypes; 0 means all

    def __post_init__(self) -> None:
        _one_of("inference.rule", self.rule, ("auto", *RULES))
        _in_range("inference.prototype_share", self.prototype_share, 0, 1)
        _one_of("inference.average", self.average, ("cosines", "samples"))
        _one_of("inference.space", self.space, ("preconditioned", "attributes"))
        _one_of("inference.sampler", self.sampler, ("ddim", "ddpm"))
        _one_of("inference.variance", self.variance, ("posterior", "beta"))
        _in_range("inference.clip", self.clip, 0)
        for name in ("samples", "steps", "draws"):
            _in_range(f"inference.{name}", getattr(self, name), 1)
        _in_range("inference.shortlist", self.shortlist, 0)
        _in_range("inference.eta", self.eta, 0, 1)
        _in_range("inference.guidance_scale", self.guidance_scale, 0, 100)
        if not 0 <= self.band_low < self.band_high <= 1:
            raise ConfigError(
                f"inference.band_low and band_high must satisfy 0 <= low < high <= 1; "
                f"got {self.band_low:g} and {self.band_high:g}."
            )

    def with_rule(self, rule: str | None) -> InferenceConfig:
        """Return the settings with another rule; None and "auto" keep the model's own."""
        return self if rule in (None, "auto") else dataclasses.replace(self, rule=rule)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The optimisation. One epoch is as many rows as the training set has, drawn class-balanced."""

    members: int = 1  # networks of each view, alike but for the seed
    epochs: int = 20  # the most; validation chooses how many of them are kept
    batch_size: int = 128
    learning_rate: float = 1e-3  # AdamW, decaying to zero over `epochs`
    lr_schedule: str = "cosine"  # "cosine" | "linear"
    weight_decay: float = 0.01
    gradient_clip: float = 1.0  # largest gradient norm
    ema_decay: float = 0.995  # per step, of the weights that are kept
    mixup: float = 0.0  # share of conditional rows that are convex mixtures of two photos and their descriptions
    validation_classes: float = 0.2  # share of the seen classes that a fold treats as unseen, if no split says so
    validation_folds: int = 5  # at most; each seen class plays unseen in one of them at most
    validation_rows: float = 0.2  # share of each remaining class's photos held out as a fold's seen test
    evaluate_every: int = 5  # epochs between two validations
    penalty: str = "harmonic"  # on seen classes: "harmonic" (best H on validation) | "sparing" | "none" (the paper)
    false_reject: float = 0.1  # share of validation photos that --reject may withhold an answer from
    give_away: float = 0.02  # "sparing": share of validation's seen accuracy that the penalty may cost

    def __post_init__(self) -> None:
        for name in ("members", "epochs", "batch_size", "evaluate_every", "validation_folds"):
            _in_range(f"train.{name}", getattr(self, name), 1)
        _one_of("train.penalty", self.penalty, ("harmonic", "sparing", "none"))
        _one_of("train.lr_schedule", self.lr_schedule, ("cosine", "linear"))
        _in_range("train.learning_rate", self.learning_rate, 1e-8, 1)
        _in_range("train.weight_decay", self.weight_decay, 0, 10)
        _in_range("train.gradient_clip", self.gradient_clip, 1e-6)
        _in_range("train.ema_decay", self.ema_decay, 0, 0.99999)
        _in_range("train.mixup", self.mixup, 0, 1)
        _in_range("train.validation_classes", self.validation_classes, 0, 0.9)
        _in_range("train.validation_rows", self.validation_rows, 0.01, 0.9)
        _in_range("train.give_away", self.give_away, 0, 1)
        _in_range("train.false_reject", self.false_reject, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a model. `from_dict` rejects unknown keys; `to_dict` gives plain JSON values."""

    precondition: PreconditionConfig = field(default_factory=PreconditionConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    prototypes: PrototypeConfig = field(default_factory=PrototypeConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.inference.rule in ("prototype", "joint") and self.prototypes.components == 0:
            raise ConfigError(f"inference.rule = {self.inference.rule} needs prototypes.components above 0.")
        if self.denoiser.norm == "batch" and self.train.batch_size < 2:
            raise ConfigError("denoiser.norm = batch needs a train.batch_size of at least 2.")
        if self.inference.steps > self.diffusion.timesteps:
            raise ConfigError(
                f"inference.steps must be in 1..{self.diffusion.timesteps} (diffusion.timesteps); "
                f"got {self.inference.steps}."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Build a configuration from nested sections; what is missing takes its default."""
        return _build(cls, values, "")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class BackboneRecord:
    """Which features a model or a feature file holds: written beside them, compared before they are mixed."""

    tag: str  # "embedded", a full timm tag such as "resnet101.tv_in1k", or the stem of an xlsa17 feature file
    weights_sha256: str  # of the weights file; "" where unknown (features that others extracted)
    preprocessing: dict[str, Any]  # timm's resolved data config; {} where unknown
    feature_dim: int  # D, the values stored for a photo: of one vector, or of all its tokens one after the other
    precision: str = ""  # "float32", "bfloat16" or "float16"; "" where unknown
    tokens: int = 0  # spatial tokens a photo, each of feature_dim / tokens values; 0 is one pooled vector

    def __post_init__(self) -> None:
        if self.tokens < 0 or self.feature_dim % max(self.tokens, 1):
            raise ConfigError(f"{self.feature_dim} values a photo cannot be {self.tokens} tokens.")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def difference(self, other: BackboneRecord) -> str | None:
        """Say what makes the two kinds of features unlike each other, or None. Precision does not."""
        for name in ("tag", "weights_sha256", "preprocessing", "tokens", "feature_dim"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{name} is {mine!r} here and {theirs!r} there"
        return None


def _build(kind: type, values: dict[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    arguments = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f'Unknown setting "{prefix}{key}"{did_you_mean(key, hints)}.')
        arguments[key] = _convert(hints[key], value, f"{prefix}{key}")
    return kind(**arguments)


def _convert(kind: type, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{name} is a section of settings, not a value; got {value!r}.")
        return _build(kind, value, f"{name}.")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{name} must be of type {kind.__name__}; got {value!r}.")
    return value
