"""A trained model as one `.safetensors` file: weights and class table as tensors, everything else as JSON metadata.

The metadata is readable without torch (`read_metadata`); loading the weights needs it. Layout of the JSON document
under the metadata key "revcd", format 5:

    format, config, classes {names, seen, attributes}, backbone, calibrations {rule: {gamma, temperature, ...}},
    dataset {name, split_sha256, photos}, metrics, seed, versions
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import BackboneRecord, Config
from ..errors import CheckpointError, RevcdError, brief, did_you_mean
from ..system.files import atomic_write, file_sha256

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ..data.classes.attributes import ClassAttributes
    from ..scoring.model import ZeroShotModel

FORMAT = 5
_OLDEST = 4  # the oldest format that `upgrade` reads
_KEY = "revcd"
_TABLE = "class_table"
_HEADER_LIMIT = 100_000_000  # the safetensors format's own limit


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How the scores of one rule become answers; fitted on validation, never on test photos."""

    gamma: float = 0.0  # the seen penalty of calibrated stacking
    temperature: float = 1.0  # probability = softmax((score - gamma [class is seen]) / temperature)
    threshold: float | None = None  # a photo whose rejection score is below it is of none of the classes
    false_reject: float | None = None  # share of validation photos of candidate classes below the threshold
    false_accept: float | None = None  # and of photos of no candidate class above it

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} of a calibration is {value}, not a finite number")
        if self.temperature <= 0:
            raise ValueError(f"temperature of a calibration is {self.temperature}, not above 0")

    def apply(self, scores: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Return calibrated scores (N, C) from those of the model. seen: (C,) bool."""
        from ..scoring.calibration import calibrated

        return calibrated(scores, seen, self.gamma)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model with all that is needed to use it and to judge it."""

    model: ZeroShotModel
    classes: ClassAttributes  # every class of the training table, seen or not
    seen: frozenset[str]  # the names of the classes it was trained on
    backbone: BackboneRecord
    calibrations: dict[str, Calibration]  # by rule
    dataset: dict[str, Any]
    metrics: dict[str, Any]
    seed: int
    name: str = ""
    sha256: str = ""  # of the file it was read from

    def calibration_for(self, rule: str) -> Calibration:
        """Return the calibration of a rule; for one that validation never tried, that is none."""
        return self.calibrations.get(rule, Calibration())


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file atomically. The same checkpoint gives the same bytes."""
    import torch
    from safetensors.torch import save

    from .. import __version__

    document = {
        "format": FORMAT,
        "config": checkpoint.model.config.to_dict(),
        "classes": {
            "names": checkpoint.classes.names,
            "seen": sorted(checkpoint.seen),
            "attributes": checkpoint.classes.attributes,
        },
        "backbone": checkpoint.backbone.to_dict(),
        "calibrations": {rule: dataclasses.asdict(each) for rule, each in checkpoint.calibrations.items()},
        "dataset": checkpoint.dataset,
        "metrics": checkpoint.metrics,
        "seed": checkpoint.seed,
        "versions": {"revcd": __version__, "torch": torch.__version__},
    }
    tensors = {f"model.{key}": _compact(value) for key, value in checkpoint.model.state_dict().items()}
    tensors[_TABLE] = torch.from_numpy(checkpoint.classes.values)
    with atomic_write(path) as stream:
        stream.write(save(tensors, {_KEY: json.dumps(document, allow_nan=False)}))


def _compact(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor in half precision if that loses nothing (training rounds weights so), else as it is."""
    import torch

    value = value.cpu().contiguous()
    half = value.half()
    return half if value.dtype == torch.float32 and torch.equal(half.float(), value) else value


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
    if type(found) is not int or not _OLDEST <= found <= FORMAT:
        raise CheckpointError(
            f"{path}: has model format {found!r}; this version reads {_OLDEST} to {FORMAT}.",
            hint="Upgrade revcd." if isinstance(found, int) and found > FORMAT else "Copy or train it again.",
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

    from ..scoring.model import build_model
    from .upgrade import upgrade_state

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
        backbone, seen = BackboneRecord(**document["backbone"]), frozenset(document["classes"]["seen"])
        sizes = backbone.feature_dim, len(classes.attributes), len(seen), backbone.tokens
        model = build_model(Config.from_dict(document["config"]), *sizes)
        calibrations = {str(rule): _calibration(values) for rule, values in document["calibrations"].items()}
        rest = {key: document[key] for key in ("dataset", "metrics", "seed")}
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError, RevcdError) as error:
        raise CheckpointError(f"{path}: its metadata is incomplete or wrong ({brief(error)}).") from error
    if not seen <= set(classes.names):
        raise CheckpointError(f"{path}: names seen classes that are not in its class table.")
    state = {key.removeprefix("model."): value for key, value in tensors.items()}
    _load_state(path, model, upgrade_state(state) if document["format"] == 4 else state)
    bad = [key for key, value in tensors.items() if not value.isfinite().all()]
    if bad:
        raise CheckpointError(f"{path}: holds weights that are not finite numbers ({', '.join(bad[:5])}).")
    return Checkpoint(
        model=model.eval().to(device), classes=classes, seen=seen, backbone=backbone, calibrations=calibrations,
        name=path.stem, sha256=sha256, **rest,
    )  # fmt: skip


def _calibration(values: dict[str, Any]) -> Calibration:
    return Calibration(**{name: None if value is None else float(value) for name, value in values.items()})


def _class_table(path: Path, document: dict[str, Any], values: np.ndarray, sha256: str) -> ClassAttributes:
    import numpy as np

    from ..data.classes.attributes import ClassAttributes

    try:
        names, attributes = (tuple(map(str, document["classes"][part])) for part in ("names", "attributes"))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: its metadata is incomplete or wrong ({brief(error)}).") from error
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


def _load_state(path: Path, model: ZeroShotModel, state: dict[str, torch.Tensor]) -> None:
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
    package = Path(__file__).parent.parent
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: is damaged ({brief(error)}).", hint="Copy or train it again.")


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
