"""Every setting of a model and its training: name, default, range and reason. Standard library only.

Each section is a frozen dataclass of plain JSON values; `Config` holds them all. Defaults are defined here and nowhere
else, and nothing derived is stored. May import `errors`.
"""

from .checks import AUTO
from .config import Config
from .method import DenoiserConfig, DiffusionConfig, EncoderConfig, LossConfig, PreconditionConfig
from .record import BackboneRecord
from .scoring import PROTOTYPE_GRID, RULES, ClassNetworkConfig, InferenceConfig, PrototypeConfig
from .simulation import SimulationConfig
from .training import TrainConfig

__all__ = [
    "AUTO",
    "PROTOTYPE_GRID",
    "RULES",
    "BackboneRecord",
    "ClassNetworkConfig",
    "Config",
    "DenoiserConfig",
    "DiffusionConfig",
    "EncoderConfig",
    "InferenceConfig",
    "LossConfig",
    "PreconditionConfig",
    "PrototypeConfig",
    "SimulationConfig",
    "TrainConfig",
]
