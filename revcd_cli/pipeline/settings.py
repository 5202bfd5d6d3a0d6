"""From defaults, a TOML file and `--set a.b=c` to one configuration, with the origin of every value."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """One value and where it comes from: "default", the preset's or the file's name, or "--set"."""

    name: str  # such as "train.epochs"
    value: Any
    origin: str


@dataclass(frozen=True)
class Settings:
    """A resolved configuration."""

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
    """Return the names that `--config` takes beside files."""
    return ["default", *sorted(path.stem for path in _PRESETS.glob("*.toml"))]


def resolve_settings(file: Path | str | None = None, assignments: Sequence[str] = ()) -> Settings:
    """Layer `--set` over a TOML file or preset over the defaults.

    Unknown names are errors that give the nearest known one.
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
    """Write a configuration as TOML that `--config` reads back."""
    lines: list[str] = []
    for section, values in config.to_dict().items():
        lines += [f"[{section}]", *(f"{key} = {_toml_value(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)


def flat(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield "section.key" and value of every entry of a nested dictionary."""
    for section, entries in values.items():
        for key, value in entries.items() if isinstance(entries, dict) else ():
            yield f"{section}.{key}", value


def save_config(config: Config, path: Path) -> None:
    """Write the resolved configuration beside a model."""
    write_bytes(path, to_toml(config).encode())


def _find(name: Path | str | None) -> Path | None:
    """Return the file that `--config` means; a file of that name goes before a preset."""
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
    """Raise now, with the file's name, what is wrong in the file alone."""
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


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
