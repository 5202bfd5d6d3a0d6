"""The search space of `revcd tune`: settings that need a training, and how an optuna trial chooses them.

Trial 0 has the starting values. In the trials after it, each setting keeps its starting value with probability 0.5, so
that the search explores around a good configuration. Later trials are proposed by optuna.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any, NamedTuple

from ...config import Config
from ..settings import flat
from .rescoring import BANDS, guidance_values

if TYPE_CHECKING:
    from optuna.trial import Trial

KEEP = 0.5  # probability that a random trial keeps a starting value


class LogRange(NamedTuple):
    """A positive number whose logarithm is uniform; it is rounded to two digits."""

    low: float
    high: float


Values = tuple[Any, ...] | LogRange

TRAINED: dict[str, Values] = {
    "precondition.kind": ("centre", "whiten", "centre+whiten", "standardise+whiten"),
    "precondition.shrinkage": (0.1, 0.3, 0.6),
    "loss.cls_weight": (0.0, 0.01, 0.1),
    "loss.drop_condition": (0.1, 0.2, 0.3),
    "encoder.tokens": ("chunk", "single", "views"),
    "encoder.dropout": (0.0, 0.1, 0.3),
    "prototypes.relevance": (0.0, 0.5, 1.0, 2.0),
    "prototypes.within_shrinkage": (0.5, 0.8, 0.95),
    "denoiser.width": (256, 512, 1024),
    "denoiser.dropout": (0.0, 0.1, 0.3),
    "train.epochs": (10, 20, 40),
    "train.learning_rate": LogRange(2e-4, 4e-3),
    "train.weight_decay": LogRange(1e-3, 0.3),
    "train.mixup": (0.0, 0.3, 0.6),
}


def describe_space(base: Config) -> list[tuple[str, str, str, str]]:
    """Return for each setting its name, its starting value, its possible values, and "trained" or "scored again"."""
    start = dict(flat(base.to_dict()))
    rows = [(name, str(start[name]), _describe(values), "trained") for name, values in TRAINED.items()]
    scored = ((("band_low", "band_high"), BANDS), (("guidance_scale", "samples"), guidance_values(base)))
    for names, pairs in scored:
        values = ", ".join(f"{one:g} and {other:g}" for one, other in pairs)
        now = " and ".join(f"{start[f'inference.{name}']:g}" for name in names)
        rows.append((" and ".join(f"inference.{name}" for name in names), now, values, "scored again"))
    return rows


def _describe(values: Values) -> str:
    if isinstance(values, LogRange):
        return f"{values.low:g} .. {values.high:g}, uniform in the logarithm"
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


class SearchSpace:
    """The settings of `TRAINED` around a starting point, as parameters of optuna.

    spatial: the features are tokens of places in a photo, for which `encoder.tokens` is fixed.
    """

    def __init__(self, base: Config, *, spatial: bool = False) -> None:
        self._start = {name: value for name, value in flat(base.to_dict()) if name in TRAINED}
        if spatial:
            self._start.pop("encoder.tokens", None)

    @property
    def names(self) -> frozenset[str]:
        """The names of the settings that the search changes."""
        return frozenset(self._start)

    def start_parameters(self) -> dict[str, Any]:
        """Return the starting point as parameters; a number outside its range is moved to the nearest bound."""
        return {name: self._parameter(name, value) for name, value in self._start.items()}

    def random_parameters(self, seed: int, trial: int) -> dict[str, Any]:
        """Return random parameters near the starting point; they depend on (seed, trial) alone."""
        generator = random.Random(f"tune/{seed}/{trial}")
        parameters = self.start_parameters()
        for name in parameters:
            if generator.random() < KEEP:
                continue
            values = TRAINED[name]
            if isinstance(values, LogRange):
                parameters[name] = math.exp(generator.uniform(*map(math.log, values)))
            else:
                parameters[name] = generator.choice(values)
        return parameters

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Let an optuna trial choose, and return the settings that differ from the starting point, by dotted name."""
        changed = {}
        for name, start in self._start.items():
            values = TRAINED[name]
            if isinstance(values, LogRange):
                parameter = trial.suggest_float(name, *values, log=True)
                value = start if parameter == self._parameter(name, start) else float(f"{parameter:.2g}")
            else:
                value = trial.suggest_categorical(name, tuple(dict.fromkeys((start, *values))))
            if value != start:
                changed[name] = value
        return changed

    @staticmethod
    def _parameter(name: str, value: Any) -> Any:
        values = TRAINED[name]
        return min(max(value, values.low), values.high) if isinstance(values, LogRange) else value


def with_settings(base: Config, settings: dict[str, Any]) -> Config:
    """Return the configuration with some settings changed, by dotted name. Raises `ConfigError`."""
    values = base.to_dict()
    for name, value in settings.items():
        section, _, key = name.partition(".")
        values[section][key] = value
    return Config.from_dict(values)
