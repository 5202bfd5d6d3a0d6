"""Checks of single values, which raise `ConfigError` with the setting, the value and what is allowed."""

from __future__ import annotations

import math

from ..errors import ConfigError, did_you_mean

AUTO = "auto"  # in place of a number: validation chooses it


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise unless the value is one of those allowed."""
    if value not in allowed:
        raise ConfigError(f'{name} must be one of {", ".join(allowed)}; got "{value}"{did_you_mean(value, allowed)}.')


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise unless low <= value <= high and the value is finite."""
    if not (low <= value <= high and math.isfinite(value)):
        bound = f"at least {low:g}" if high == math.inf else f"in {low:g}..{high:g}"
        raise ConfigError(f"{name} must be {bound}; got {value:g}.")


def check_range_or_auto(name: str, value: float | str, low: float, high: float = math.inf) -> None:
    """Raise unless the value is `AUTO`, or a number within the bounds."""
    if value == AUTO:
        return
    if isinstance(value, str):
        raise ConfigError(f'{name} must be a number or "{AUTO}"; got "{value}"{did_you_mean(value, (AUTO,))}.')
    check_range(name, value, low, high)
