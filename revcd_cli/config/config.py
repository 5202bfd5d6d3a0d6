"""All settings of a model as one tree, and its conversion from and to plain JSON values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from ..errors import ConfigError, did_you_mean
from .combinations import check_combination, check_estimates
from .method import DenoiserConfig, DiffusionConfig, EncoderConfig, LossConfig, PreconditionConfig
from .scoring import Auto, ClassNetworkConfig, InferenceConfig, PrototypeConfig
from .simulation import SimulationConfig
from .training import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a model. `from_dict` rejects unknown keys; `to_dict` gives plain JSON values."""

    precondition: PreconditionConfig = field(default_factory=PreconditionConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    prototypes: PrototypeConfig = field(default_factory=PrototypeConfig)
    class_network: ClassNetworkConfig = field(default_factory=ClassNetworkConfig)
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        check_combination(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Build a configuration from nested sections; missing settings take their defaults."""
        config: Config = _build(cls, values, "")
        return config

    def inference_by(self, rule: str | None) -> InferenceConfig:
        """Return the inference settings with another rule; None and "auto" keep the model's own.

        Raises `ConfigError` if a model that was trained with these settings cannot be used by this rule.
        """
        inference = self.inference.with_rule(rule)
        self.check_inference(inference)
        return inference

    def check_inference(self, inference: InferenceConfig) -> None:
        """Raise `ConfigError` if a model that was trained with these settings cannot be used with those."""
        check_estimates(self, inference)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


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
    if kind == Auto:  # the setting checks its strings itself
        return value if isinstance(value, str) else _convert(float, value, name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{name} must be of type {kind.__name__}; got {value!r}.")
    return value
