"""Programs of backbones in the user's cache, so that the next start needs neither timm nor its network.

A file is used only if it is whole, and made by this version of revcd from these weights and this version of timm. What
cannot be written or read is passed over in silence: the ordinary way is always open.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import platformdirs
import safetensors.torch

from ... import __version__
from ...errors import RevcdError
from ...system import files
from .steps import Program, Step

_FORMAT = 3
_LARGEST = 2**28  # bytes: a greater network is quicker to build than worth the room


def programs_folder() -> Path:
    """Return the folder of the programs."""
    return Path(platformdirs.user_cache_dir("revcd")) / "programs"


def program_file(made_from: Sequence[Any]) -> Path:
    """Return where the program lies that was made from this (plain JSON: tag, weights, input, ...)."""
    versions = [_FORMAT, __version__, importlib.metadata.version("timm")]
    return programs_folder() / f"{hashlib.sha256(json.dumps([versions, *made_from]).encode()).hexdigest()[:32]}.program"


def save_program(path: Path, program: Program, about: dict[str, Any]) -> None:
    """Keep a program with a few words (plain JSON) about it, if that can be done."""
    if sum(tensor.nbytes for tensor in program.tensors.values()) > _LARGEST:
        return
    text = json.dumps({"about": about, "steps": [step.to_dict() for step in program.steps]})
    tensors = {name: tensor.contiguous() for name, tensor in program.tensors.items()}
    content = safetensors.torch.save(tensors, {"revcd": text})
    with contextlib.suppress(RevcdError, OSError):
        files.write_checksummed(path, content)


def load_program(path: Path) -> tuple[Program, dict[str, Any]] | None:
    """Return a program that was kept, and the words about it, or None."""
    try:
        content = files.read_checksummed(path)
    except (OSError, ValueError):
        return None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    found = json.loads(header["__metadata__"]["revcd"])
    steps = tuple(Step(step["kind"], tuple(step["inputs"]), step["options"]) for step in found["steps"])
    return Program(steps, safetensors.torch.load(content)), found["about"]
