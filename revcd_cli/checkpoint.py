"""A trained model as one `.safetensors` file: weights and class table as tensors, everything else as JSON metadata.

The metadata is readable without torch (`read_metadata`); loading the weights needs it. Layout of the JSON document
under the metadata key "revcd", format 1:

    format, config, classes {names, seen, attributes}, backbone, calibration {gamma, temperature},
    dataset {name, split_sha256, photos}, metrics, seed, versions
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import BackboneRecord, Config
from .errors import CheckpointError, RevcdError, did_you_mean
from .files import atomic_write, file_sha256

if TYPE_CHECKING:
    import numpy as np
    import torch

    from .core.model import RevCD
    from .data.attributes import ClassAttributes

FORMAT = 1
_KEY = "revcd"
_TABLE = "class_table"
_HEADER_LIMIT = 100_000_000  # the safetensors format's own limit


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How scores become answers; fitted on validation, never on test photos."""

    gamma: float = 0.0  # the seen penalty of calibrated stacking, in units of the score
    temperature: float = 1.0  # probability = softmax(score / temperature)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model with all that is needed to use it and to judge it."""

    model: RevCD
    classes: ClassAttributes  # every class of the training table, seen or not
    seen: frozenset[str]  # the names of the classes it was trained on
    backbone: BackboneRecord
    calibration: Calibration
    dataset: dict[str, Any]
    metrics: dict[str, Any]
    seed: int
    name: str = ""
    sha256: str = ""  # of the file it was read from

    def calibration_for(self, rule: str) -> Calibration:
        """Return the calibration of a rule: penalty and temperature are in units of the score they were fitted to."""
        return self.calibration if rule == self.model.config.inference.rule else Calibration()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file atomically. The same checkpoint gives the same bytes."""
    import torch
    from safetensors.torch import save

    from . import __version__

    document = {
        "format": FORMAT,
        "config": checkpoint.model.config.to_dict(),
        "classes": {
            "names": checkpoint.classes.names,
            "seen": sorted(checkpoint.seen),
            "attributes": checkpoint.classes.attributes,
        },
        "backbone": checkpoint.backbone.to_dict(),
        "calibration": dataclasses.asdict(checkpoint.calibration),
        "dataset": checkpoint.dataset,
        "metrics": checkpoint.metrics,
        "seed": checkpoint.seed,
        "versions": {"revcd": __version__, "torch": torch.__version__},
    }
    tensors = {f"model.{key}": value.cpu().contiguous() for key, value in checkpoint.model.state_dict().items()}
    tensors[_TABLE] = torch.from_numpy(checkpoint.classes.values)
    with atomic_write(path) as stream:
        stream.write(save(tensors, {_KEY: json.dumps(document, allow_nan=False)}))


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the JSON document of a model file, without torch. Raises CheckpointError for anything else."""
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
            size = int.from_bytes(start, "little")
            if len(start) == 8 and size <= min(_HEADER_LIMIT, path.stat().st_size):
                start += stream.read(size)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return _parse_metadata(path, start)


def _parse_metadata(path: Path, data: bytes) -> dict[str, Any]:
    """Find the JSON document in the bytes of a model file, or of its beginning."""
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= len(data) - 8:
        raise CheckpointError(f"{path}: {_what_it_is(path)}, not a safetensors model file.")
    try:
        document = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_KEY])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: is not a revcd model (no readable revcd metadata in its header).",
            hint="A model is what `revcd train` writes. Backbone weights go to --weights.",
        ) from error
    found = document.get("format") if isinstance(document, dict) else None
    if not isinstance(found, int) or found > FORMAT:
        raise CheckpointError(
            f"{path}: has model format {found!r}; this version reads up to {FORMAT}.", hint="Upgrade revcd."
        )
    return document


def read_class_table(name_or_path: str | Path) -> ClassAttributes:
    """Read the class table of a model, without torch."""
    from safetensors import SafetensorError, safe_open

    path = find_checkpoint(name_or_path)
    document = read_metadata(path)
    try:
        with safe_open(path, framework="numpy") as opened:
            values = opened.get_tensor(_TABLE)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    return _class_table(path, document, values, file_sha256(path))


def load_checkpoint(name_or_path: str | Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Load a model by its shipped name ("animals") or its path, ready for inference.

    Raises CheckpointError, with one sentence for each way in which the file can be wrong.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from .core.model import RevCD

    path = find_checkpoint(name_or_path)
    try:
        data = path.read_bytes()  # once: another process may replace the file meanwhile
        document = _parse_metadata(path, data)
        tensors = load(data)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    if _TABLE not in tensors:
        raise CheckpointError(f"{path}: has no class table.")
    sha256 = hashlib.sha256(data).hexdigest()
    classes = _class_table(path, document, tensors.pop(_TABLE).numpy(), sha256)
    try:
        backbone = BackboneRecord(**document["backbone"])
        model = RevCD(
            Config.from_dict(document["config"]), backbone.feature_dim, len(classes.attributes), backbone.tokens
        )
        calibration = Calibration(**{name: float(value) for name, value in document["calibration"].items()})
        seen = frozenset(document["classes"]["seen"])
        rest = {key: document[key] for key in ("dataset", "metrics", "seed")}
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError, RevcdError) as error:
        raise CheckpointError(f"{path}: its metadata is incomplete or wrong ({error}).") from error
    if not seen <= set(classes.names):
        raise CheckpointError(f"{path}: names seen classes that are not in its class table.")
    _load_state(path, model, {key.removeprefix("model."): value for key, value in tensors.items()})
    bad = [key for key, value in tensors.items() if not value.isfinite().all()]
    if bad:
        raise CheckpointError(f"{path}: holds weights that are not finite numbers ({', '.join(bad[:5])}).")
    return Checkpoint(
        model=model.eval().to(device), classes=classes, seen=seen, backbone=backbone, calibration=calibration,
        name=path.stem, sha256=sha256, **rest,
    )  # fmt: skip


def _class_table(path: Path, document: dict[str, Any], values: np.ndarray, sha256: str) -> ClassAttributes:
    import numpy as np

    from .data.attributes import ClassAttributes

    try:
        names, attributes = (tuple(map(str, document["classes"][part])) for part in ("names", "attributes"))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: its metadata is incomplete or wrong ({error}).") from error
    if values.shape != (len(names), len(attributes)):
        raise CheckpointError(
            f"{path}: its class table is {tuple(values.shape)}, but it names {len(names)} classes and "
            f"{len(attributes)} attributes."
        )
    if values.dtype != np.float32 or not np.isfinite(values).all():
        raise CheckpointError(f"{path}: its class table holds values that are not finite float32 numbers.")
    if len(set(names)) != len(names) or len(set(attributes)) != len(attributes):
        raise CheckpointError(f"{path}: names a class or an attribute twice.")
    return ClassAttributes(names, attributes, values, str(path), sha256)


def _load_state(path: Path, model: RevCD, state: dict[str, torch.Tensor]) -> None:
    wanted = {key: value.shape for key, value in model.state_dict().items()}
    problems = [f"{key} is missing" for key in wanted if key not in state]
    problems += [f"{key} is not expected" for key in state if key not in wanted]
    problems += [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(shape)}"
        for key, shape in wanted.items()
        if key in state and state[key].shape != shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(f"{path}: its tensors do not fit its configuration: {'; '.join(problems[:5])}{more}.")
    model.load_state_dict(state)


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Return the file that a shipped model's name or a path stands for."""
    path = Path(name_or_path).expanduser()
    try:
        if path.is_dir():
            raise CheckpointError(f"{path}: is a folder, not a model file.")
        if path.exists():
            return path
    except OSError as error:  # a name that no file can have
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}).") from error
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
    """Return the folder of shipped models: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: is damaged ({error}).", hint="Copy or train it again.")


def _what_it_is(path: Path) -> str:
    """Name the kinds of file that often stand where a model should."""
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
