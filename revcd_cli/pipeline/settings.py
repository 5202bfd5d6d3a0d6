"""Read and write settings: defaults, a TOML file or preset, and `--set`, each value with its origin."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from ..config import Config
from ..errors import ConfigError, InputFileError, UsageError, brief, did_you_mean
from ..system.files import write_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PRESETS = Path(__file__).parent.parent / "presets"


@dataclass(frozen=True)
class Setting:
    """One setting. origin: "default", "preset NAME", the name of the file, or "--set"."""

    name: str  # such as "train.epochs"
    value: Any
    origin: str


@dataclass(frozen=True)
class Settings:
    """A configuration with the origin of each of its values."""

    config: Config
    origins: dict[str, str]  # of the values that are not defaults

    def __iter__(self) -> Iterator[Setting]:
        for name, value in flat(self.config.to_dict()):
            yield Setting(name, value, self.origins.get(name, "default"))

    def assigned(self) -> Iterator[tuple[str, Any]]:
        """Yield the name and value of each setting that `--set` gave."""
        return ((setting.name, setting.value) for setting in self if setting.origin == "--set")

    def to_toml(self) -> str:
        return to_toml(self.config)


def preset_names() -> list[str]:
    """Return the names of the presets, which `--config` takes as it takes a file."""
    return ["default", *sorted(path.stem for path in _PRESETS.glob("*.toml"))]


def resolve_settings(file: Path | str | None = None, assignments: Sequence[str] = ()) -> Settings:
    """Return the configuration: defaults, overridden by a TOML file or preset, overridden by `--set` assignments.

    Raises `UsageError` for a file that cannot be read, `InputFileError` for an error in it, and `ConfigError` for an
    error in an assignment. An unknown name is an error that suggests the nearest known one.
    """
    file = _find(file)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if file is not None:
        values = _read_toml(file)
        _check(values, file)
        origin = f"preset {file.stem}" if file.parent == _PRESETS else str(file)
        origins = {name: origin for name, _ in flat(values)}
    for assignment in assignments:
        name, value = _parse_assignment(assignment)
        _put(values, name, value)
        origins[name] = "--set"
    return Settings(Config.from_dict(values), origins)


def to_toml(config: Config) -> str:
    """Return a configuration as TOML, one line for each setting, that `--config` reads back."""
    return tomli_w.dumps(config.to_dict())


def flat(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield ("section.key", value) for each entry of a nested dictionary."""
    for section, entries in values.items():
        for key, value in entries.items() if isinstance(entries, dict) else ():
            yield f"{section}.{key}", value


def save_config(config: Config, path: Path) -> None:
    """Write a configuration to a TOML file."""
    write_bytes(path, to_toml(config).encode())


def _find(name: Path | str | None) -> Path | None:
    """Return the file that `--config` names, None for the defaults. A file takes precedence over a preset."""
    if name is None or (str(name) == "default" and not Path(name).exists()):
        return None
    path, preset = Path(name).expanduser(), _PRESETS / f"{name}.toml"
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    if not preset.is_file():
        raise UsageError(
            f'"{name}" is neither a file nor a preset{did_you_mean(str(name), preset_names())}.',
            hint=f"Presets: {', '.join(preset_names())}.",
        )
    return preset


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror or error}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputFileError(file, f"is not valid TOML: {brief(error)}.") from error


def _check(values: dict[str, Any], file: Path) -> None:
    """Raise `InputFileError`, which names the file, if its values alone are not valid."""
    try:
        Config.from_dict(values)
    except ConfigError as error:
        raise InputFileError(file, error.message, hint=error.hint) from error


def _parse_assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or name.count(".") != 1:
        raise ConfigError(f'--set takes section.name=value, got "{text}".', hint="For example: --set train.epochs=20")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return name.strip(), value.strip()  # a word without quotes


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    section, _, key = name.partition(".")
    values.setdefault(section, {})[key] = value
