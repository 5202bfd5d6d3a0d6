"""Finding model files and reading their JSON metadata, without torch.

A model is one `.safetensors` file: weights and class table are tensors, everything else is a JSON document under the
metadata key "revcd". Layout of the document, format 6:

    format, config, classes {names, seen, attributes, known {name: labels}, label_owners}, backbone,
    calibrations {rule: {gamma, temperature, ...}}, dataset {name, split_sha256, photos}, metrics, seed, versions,
    photos {class: number of photos that were given for it after the training}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, did_you_mean, is_address, why_absent
from .upgrade import OLDEST_FORMAT, mark_older_training, upgrade_document

FORMAT = 6
KEY = "revcd"
_HEADER_LIMIT = 100_000_000  # the safetensors format's own limit


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the JSON document of a model file, upgraded to the present format; its format number stays.

    Raises `CheckpointError` for a file that is not a model, and for one of a format that this version does not read.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
            size = int.from_bytes(start, "little")
            if len(start) == 8 and size <= min(_HEADER_LIMIT, path.stat().st_size):
                start += stream.read(size)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return parse_metadata(path, start)


def parse_metadata(path: Path, data: bytes) -> dict[str, Any]:
    """Return the JSON document in the bytes of a model file, or of its beginning; as `read_metadata`."""
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= len(data) - 8:
        raise CheckpointError(f"{path}: {_kind_of_file(path)}, not a safetensors model file.")
    try:
        document = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][KEY])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: is not a revcd model (no readable revcd metadata in its header).",
            hint="A model is what `revcd train` writes. Backbone weights go to --weights.",
        ) from error
    found = document.get("format") if isinstance(document, dict) else None
    if type(found) is not int or not OLDEST_FORMAT <= found <= FORMAT:
        raise CheckpointError(
            f"{path}: has model format {found!r}; this version reads {OLDEST_FORMAT} to {FORMAT}.",
            hint="Upgrade revcd." if isinstance(found, int) and found > FORMAT else "Copy or train it again.",
        )
    return mark_older_training(path, document if found == FORMAT else upgrade_document(path, document))


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Return the file for a path or for the name of a shipped model. Raises `CheckpointError` if there is none."""
    path = Path(name_or_path).expanduser()
    try:
        if path.is_dir():
            raise CheckpointError(f"{path}: is a folder, not a model file.")
        if path.exists():
            return path
    except OSError as error:  # a name that no file can have
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if is_address(name_or_path):
        raise CheckpointError(f"{name_or_path}: {why_absent(name_or_path)}", hint="Download the model first.")
    shipped = {candidate.stem: candidate for candidate in list_checkpoints()}
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    raise CheckpointError(
        f'No model "{name_or_path}": there is no such file, and no shipped model of that name'
        f"{did_you_mean(str(name_or_path), shipped)}.",
        hint="List the shipped models with: revcd models list",
    )


def list_checkpoints() -> list[Path]:
    """Return the model files that come with revcd, sorted by name."""
    return sorted(shipped_folder().glob("*.safetensors"))


def shipped_folder() -> Path:
    """Return the folder of shipped models: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def _kind_of_file(path: Path) -> str:
    """Name the kind of a file that is not a model, from its first bytes."""
    with path.open("rb") as stream:
        start = stream.read(200).lstrip()
    if not start:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer"
    if start[:1] == b"<":
        return "is a web page"
    if start.startswith((b"PK\x03\x04", b"\x80\x02")):
        return "is a PyTorch pickle"
    return "is damaged or of another kind"
