"""Save and load the state of an unfinished training, from which `--resume` continues.

The state is one file with a checksum, `<output>.state`, which is replaced atomically. It contains a fingerprint of the
settings and data; a training with another fingerprint is refused and leaves the file unchanged.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ...config import InferenceConfig
from ...errors import CheckpointError, UsageError, brief
from ...system.files import read_checksummed, write_checksummed
from ..fingerprint import differences

_KEY = "revcd-state"
_FORMAT = 2  # 1 (not stored in the file) named the tensors of one network and of several differently


@dataclass
class Progress:
    """The progress of a training, without its tensors."""

    fingerprint: dict[str, Any]
    epochs: int  # of the final training; validation sets this and the next three
    rule: str
    prototype_share: float  # of the rule "joint"
    network_share: float = 0.0  # of the rules "prototype" and "joint"
    photo_share: float = InferenceConfig.photo_share  # of classes with given photos
    decided: bool = False  # whether validation is finished
    done: dict[str, int] = field(default_factory=dict)  # saved epochs by the name of the unit
    best: dict[str, Any] = field(default_factory=dict)  # validation figures of the chosen epoch and rule
    calibrations: dict[str, dict[str, Any]] = field(default_factory=dict)  # by rule
    by_rule: dict[str, dict[str, Any]] = field(default_factory=dict)  # validation figures by rule
    attributes: dict[str, float | None] = field(default_factory=dict)  # reliability by attribute, on validation
    history: list[dict[str, Any]] = field(default_factory=list)


def state_path(output: Path) -> Path:
    """Return the file that holds the state of an unfinished training: <output>.state."""
    return output.with_name(output.name + ".state")


def save_state(output: Path, progress: Progress, tensors: dict[str, Tensor]) -> None:
    """Write the state atomically."""
    plain = {name: value.cpu().contiguous() for name, value in tensors.items()}
    document = json.dumps({"format": _FORMAT} | asdict(progress))
    write_checksummed(state_path(output), safetensors.torch.save(plain, {_KEY: document}))


def load_state(output: Path, fingerprint: dict[str, Any]) -> tuple[Progress, dict[str, Tensor]] | None:
    """Return the saved state of an output, None if there is none.

    Raises `UsageError`, which lists the differences, if it is of a training with other settings or data, and
    `CheckpointError` if it is corrupt or another version of revcd has written it.
    """
    path = state_path(output)
    if not path.exists():
        return None
    try:
        content = read_checksummed(path)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        document = json.loads(header["__metadata__"][_KEY])
        if document.pop("format", 1) != _FORMAT and "fingerprint" in document:
            raise CheckpointError(
                f"{path}: was saved by another version of revcd, and this version cannot resume it.",
                hint="Finish the training with that version, or delete the file to begin again.",
            )
        progress = Progress(**document)
        tensors = safetensors.torch.load(content)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: is not a readable training state ({brief(error)}).", hint="Delete it to start over."
        ) from error
    changed = differences(progress.fingerprint, json.loads(json.dumps(fingerprint)))
    if changed:
        raise UsageError(
            f"{path}: belongs to a training with other settings: {'; '.join(changed[:5])}.",
            hint="Use the same settings, choose another -o, or delete that file to start over.",
        )
    return progress, tensors
