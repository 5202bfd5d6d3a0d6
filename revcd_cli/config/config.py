"""All settings of a model as one tree, and its conversion from and to plain JSON values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from ..errors import ConfigError, did_you_mean
from .method import DenoiserConfig, DiffusionConfig, EncoderConfig, LossConfig, PreconditionConfig
from .scoring import InferenceConfig, PrototypeConfig
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
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.inference.rule in ("prototype", "joint") and self.prototypes.components == 0:
            raise ConfigError(f"inference.rule = {self.inference.rule} needs prototypes.components above 0.")
        if self.simulation.share > 0 and self.prototypes.components == 0:
            raise ConfigError(
                f"simulation.share = {self.simulation.share:g} needs prototypes.components above 0.",
                hint="Classes are simulated by the visual prototypes; without them, set simulation.share to 0, too.",
            )
        if self.denoiser.norm == "batch" and self.train.batch_size < 2:
            raise ConfigError("denoiser.norm = batch needs a train.batch_size of at least 2.")
        if self.inference.steps > self.diffusion.timesteps:
            raise ConfigError(
                f"inference.steps must be in 1..{self.diffusion.timesteps} (diffusion.timesteps); "
                f"got {self.inference.steps}."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Build a configuration from nested sections; missing settings take their defaults."""
        config: Config = _build(cls, values, "")
        return config

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
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{name} must be of type {kind.__name__}; got {value!r}.")
    return value
