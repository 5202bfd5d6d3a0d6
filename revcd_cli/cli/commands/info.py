"""`revcd info`: versions, device, folders and models on this machine, for bug reports."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from ...version import __version__
from ..options import JsonOption
from ..terminal import console

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "pillow",
    "pyarrow",
    "safetensors",
    "huggingface-hub",
    "typer",
    "rich",
)


def info(as_json: JsonOption = False) -> None:
    """Print versions, device, folders and models, for bug reports."""
    facts = {
        "revcd": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **_computing(),
        **_places(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    if as_json:
        console.result_json(facts)
    else:
        console.result_pairs((name.replace("_", " "), _text(value)) for name, value in facts.items())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _places() -> dict[str, Any]:
    from ...backbones import hub
    from ...backbones.source import EMBEDDED, EMBEDDED_PACKAGE, PAPER_TAG
    from ...checkpoint.metadata import list_checkpoints, shipped_folder
    from ...data.datasets.registry import data_roots
    from ...system.offline import is_offline

    cached = hub.cached_weights(f"timm/{PAPER_TAG}")
    return {
        "backbones": {EMBEDDED: _version(EMBEDDED_PACKAGE), PAPER_TAG: str(cached) if cached else None},
        "models": {path.stem: str(path) for path in list_checkpoints()},
        "model_folder": str(shipped_folder()),
        "data_folders": [str(root) for root in data_roots()],
        "cache": str(hub.cache_folder()),
        "offline": is_offline(),
    }


def _computing() -> dict[str, Any]:
    """Return device, precision and threads. A torch that cannot be imported is reported, not raised."""
    try:
        from ...system.device import choose_device
        from ...system.precision import choose_precision
        from ...system.threads import choose_threads
    except (ImportError, OSError) as error:
        return {"device": f"none: torch cannot be loaded ({error})", "precision": None, "threads": None}
    device = choose_device()
    return {
        "device": device.reason,
        "precision": choose_precision("auto", device.value).reason,
        "threads": choose_threads().reason,
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_text(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list):
        return "\n".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not available" if value is None else str(value)
