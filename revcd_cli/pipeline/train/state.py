"""The state of an unfinished training: what `--resume` goes on from.

It lies beside the output as `<output>.state`, written with `files.write_checksummed`, and is replaced whole each time.
What the run depends on is written into it as a fingerprint; a run with another fingerprint does not touch it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ...errors import CheckpointError, UsageError, brief
from ...system.files import read_checksummed, write_checksummed
from ..fingerprint import differences

_KEY = "revcd-state"
_FORMAT = 2  # 1 (not written down) named the tensors of one network and of several differently


@dataclass
class Progress:
    """How far a training has come: everything but the tensors."""

    fingerprint: dict[str, Any]
    epochs: int  # of the final training: those that validation chose, once it has
    rule: str  # likewise
    prototype_share: float  # of the rule "joint", likewise
    decided: bool = False  # whether validation has chosen
    done: dict[str, int] = field(default_factory=dict)  # epochs of each fold and of the final training, by their names
    best: dict[str, Any] = field(default_factory=dict)  # validation's figures for what it chose
    calibrations: dict[str, dict[str, Any]] = field(default_factory=dict)  # and its calibration for each rule
    by_rule: dict[str, dict[str, Any]] = field(default_factory=dict)  # validation's figures of every rule
    attributes: dict[str, float | None] = field(default_factory=dict)  # how well photos show each, on validation
    history: list[dict[str, Any]] = field(default_factory=list)


def state_path(output: Path) -> Path:
    return output.with_name(output.name + ".state")


def save_state(output: Path, progress: Progress, tensors: dict[str, Tensor]) -> None:
    """Write the state; the file before it is replaced only when this one is whole."""
    plain = {name: value.cpu().contiguous() for name, value in tensors.items()}
    document = json.dumps({"format": _FORMAT} | asdict(progress))
    write_checksummed(state_path(output), safetensors.torch.save(plain, {_KEY: document}))


def load_state(output: Path, fingerprint: dict[str, Any]) -> tuple[Progress, dict[str, Tensor]] | None:
    """Return the state that was saved for this output, or None if there is none.

    Raises `UsageError`, listing the differences, if it belongs to a training with other settings or data, and
    `CheckpointError` if it cannot be read or another version of revcd has written it.
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
            f"{path}: is not a readable training state ({brief(error)}).", hint="Delete it to begin again."
        ) from error
    changed = differences(progress.fingerprint, json.loads(json.dumps(fingerprint)))
    if changed:
        raise UsageError(
            f"{path}: belongs to a training with other settings: {'; '.join(changed[:5])}.",
            hint="Use the same settings, choose another -o, or delete that file to begin again.",
        )
    return progress, tensors
