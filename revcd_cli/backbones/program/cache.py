"""Cache programs of backbones on disk, so that the next start does not build the network with timm.

A file is used only if its checksum is right, and the versions of revcd and timm, the weights and the input match. A
cache that cannot be read or written is not an error: the program is then recorded again.
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

from ...errors import RevcdError
from ...system import files
from ...version import __version__
from .steps import Program, Step

_FORMAT = 3
_MAX_BYTES = 2**28  # of a program; larger ones would fill the cache


def programs_folder() -> Path:
    """Return the folder of the cached programs."""
    return Path(platformdirs.user_cache_dir("revcd")) / "programs"


def program_file(made_from: Sequence[Any]) -> Path:
    """Return the path of a program. made_from: plain JSON that identifies it (tag, sha256 of the weights, input)."""
    versions = [_FORMAT, __version__, importlib.metadata.version("timm")]
    return programs_folder() / f"{hashlib.sha256(json.dumps([versions, *made_from]).encode()).hexdigest()[:32]}.program"


def save_program(path: Path, program: Program, about: dict[str, Any]) -> None:
    """Write a program and the fields `about` it (plain JSON) to the cache, if possible."""
    if sum(tensor.nbytes for tensor in program.tensors.values()) > _MAX_BYTES:
        return
    text = json.dumps({"about": about, "steps": [step.to_dict() for step in program.steps]})
    tensors = {name: tensor.contiguous() for name, tensor in program.tensors.items()}
    content = safetensors.torch.save(tensors, {"revcd": text})
    with contextlib.suppress(RevcdError, OSError):
        files.write_checksummed(path, content)


def load_program(path: Path) -> tuple[Program, dict[str, Any]] | None:
    """Return a program from the cache and the fields about it, or None."""
    try:
        content = files.read_checksummed(path)
    except (OSError, ValueError):
        return None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    found = json.loads(header["__metadata__"]["revcd"])
    steps = tuple(Step(step["kind"], tuple(step["inputs"]), step["options"]) for step in found["steps"])
    return Program(steps, safetensors.torch.load(content)), found["about"]
