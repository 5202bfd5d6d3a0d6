"""A trained model as one `.safetensors` file: saving and loading it. `metadata` describes the layout of the file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import BackboneRecord, Config
from ..data.classes.kinds import DESCRIBED, KNOWN, PHOTOS
from ..errors import CheckpointError, RevcdError, brief, listed
from ..system.files import atomic_write, file_sha256
from .calibration import Calibration
from .class_photos import ClassPhotos
from .metadata import FORMAT, KEY, find_checkpoint, parse_metadata, read_metadata
from .upgrade import upgrade_state

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ..data.classes.attributes import ClassAttributes
    from ..scoring.label_evidence import LabelEvidence
    from ..scoring.model import ZeroShotModel

_TABLE, _PHOTOS = "class_table", "class_photos"
_LABELS = ("label_weights", "label_bias")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model with everything that its use and its evaluation need."""

    model: ZeroShotModel
    classes: ClassAttributes  # every class of the training table, seen or not
    seen: frozenset[str]  # names of the classes with photos in training
    backbone: BackboneRecord
    calibrations: dict[str, Calibration]  # by rule
    dataset: dict[str, Any]
    metrics: dict[str, Any]
    seed: int
    known: dict[str, list[str]] = field(default_factory=dict)  # known classes of the training, with their labels
    labels: LabelEvidence | None = None  # the classifier's weights of the labels of its classes, if some are known
    photos: ClassPhotos | None = None  # of classes, given after the training
    name: str = ""
    sha256: str = ""  # of the file it was read from

    @property
    def trained_names(self) -> tuple[str, ...]:
        """Names of the classes of the training in its order, that of the class table."""
        return tuple(name for name in self.classes.names if name in self.seen or name in self.known)

    def kind(self, name: str) -> str:
        """Return how the model knows a class of this name, in any spelling: one of `data.classes.kinds.KINDS`."""
        from ..data.classes.attributes import class_key

        key = class_key(name)
        return PHOTOS if key in self._keys[0] else KNOWN if key in self._keys[1] else DESCRIBED

    @functools.cached_property
    def _keys(self) -> tuple[set[str], set[str]]:
        from ..data.classes.attributes import class_key

        return {class_key(name) for name in self.seen}, {class_key(name) for name in self.known}

    def calibration_for(self, rule: str) -> Calibration:
        """Return the calibration of a rule, or an empty one if validation did not try the rule."""
        return self.calibrations.get(rule, Calibration())


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file atomically. The same checkpoint gives the same bytes."""
    import torch
    from safetensors.torch import save

    from ..version import __version__

    document = {
        "format": FORMAT,
        "config": checkpoint.model.config.to_dict(),
        "classes": {
            "names": checkpoint.classes.names,
            "seen": sorted(checkpoint.seen),
            "attributes": checkpoint.classes.attributes,
            "known": checkpoint.known,
            "label_owners": checkpoint.labels.owners if checkpoint.labels else [],
        },
        "backbone": checkpoint.backbone.to_dict(),
        "calibrations": {rule: dataclasses.asdict(each) for rule, each in checkpoint.calibrations.items()},
        "dataset": checkpoint.dataset,
        "metrics": checkpoint.metrics,
        "seed": checkpoint.seed,
        "photos": checkpoint.photos.numbers if checkpoint.photos else {},
        "versions": {"revcd": __version__, "torch": torch.__version__},
    }
    tensors = {f"model.{key}": _compact(value) for key, value in checkpoint.model.state_dict().items()}
    tensors[_TABLE] = torch.from_numpy(checkpoint.classes.values)
    if checkpoint.labels:
        tensors |= {_LABELS[0]: checkpoint.labels.weights, _LABELS[1]: checkpoint.labels.bias}
    if checkpoint.photos:
        tensors[_PHOTOS] = checkpoint.photos.means.cpu().contiguous()
    with atomic_write(path) as stream:
        stream.write(save(tensors, {KEY: json.dumps(document, allow_nan=False)}))


def _compact(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor in half precision if that is exact, as for the weights that training rounds, else as it is."""
    import torch

    value = value.cpu().contiguous()
    half = value.half()
    return half if value.dtype == torch.float32 and torch.equal(half.float(), value) else value


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
    """Load a model by the name of a shipped one ("animals") or by its path, in evaluation mode.

    Raises `CheckpointError`, whose message is one sentence on what is wrong with the file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from ..scoring.model import build_model

    path = find_checkpoint(name_or_path)
    try:
        data = path.read_bytes()  # once: another process may replace the file
        document = parse_metadata(path, data)
        tensors = load(data)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    if _TABLE not in tensors:
        raise CheckpointError(f"{path}: has no class table.")
    sha256, of_photos = hashlib.sha256(data).hexdigest(), tensors.pop(_PHOTOS, None)
    of_labels = [tensors.pop(name, None) for name in _LABELS]
    classes = _class_table(path, document, tensors.pop(_TABLE).numpy(), sha256)
    try:
        backbone, seen = BackboneRecord(**document["backbone"]), frozenset(document["classes"]["seen"])
        known = {str(name): list(map(str, labels)) for name, labels in document["classes"].get("known", {}).items()}
        sizes = backbone.feature_dim, len(classes.attributes), len(seen) + len(known), backbone.tokens
        model = build_model(Config.from_dict(document["config"]), *sizes)
        calibrations = {str(rule): Calibration.from_json(values) for rule, values in document["calibrations"].items()}
        rest = {key: document[key] for key in ("dataset", "metrics", "seed")}
        labels = _label_evidence(document, *of_labels)
        photos = _class_photos(document.get("photos", {}), of_photos)
        state = upgrade_state({key.removeprefix("model."): value for key, value in tensors.items()}, document)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError, RevcdError) as error:
        raise CheckpointError(f"{path}: its metadata is incomplete or wrong ({brief(error)}).") from error
    if not seen | set(known) <= set(classes.names) or seen & set(known):
        raise CheckpointError(f"{path}: names seen or known classes that are not in its class table, or are both.")
    _load_state(path, model, state)
    bad = [key for key, value in tensors.items() if not value.isfinite().all()]
    if bad:
        raise CheckpointError(f"{path}: holds weights that are not finite numbers ({', '.join(bad[:5])}).")
    return Checkpoint(
        model=model.eval().to(device), classes=classes, seen=seen, backbone=backbone, calibrations=calibrations,
        known=known, labels=labels, photos=photos, name=path.stem, sha256=sha256, **rest,
    )  # fmt: skip


def _class_photos(counts: dict[str, Any], means: torch.Tensor | None) -> ClassPhotos | None:
    if means is None:
        return None
    numbers = tuple(int(count) for count in counts.values())
    if means.ndim != 2 or len(means) != len(numbers) or not means.isfinite().all() or min(numbers, default=1) < 1:
        raise ValueError("the photos given for classes do not fit their names")
    return ClassPhotos(tuple(map(str, counts)), means, numbers)


def _label_evidence(
    document: dict[str, Any], weights: torch.Tensor | None, bias: torch.Tensor | None
) -> LabelEvidence | None:
    from ..scoring.label_evidence import LabelEvidence

    owners, known = (document["classes"].get(part, ()) for part in ("label_owners", "known"))
    if weights is None or bias is None or not owners:
        return None
    if weights.shape[:1] != bias.shape or len(bias) != len(owners):
        raise ValueError("the labels of known classes do not fit their weights")
    if not (weights.isfinite().all() and bias.isfinite().all()):
        raise ValueError("the weights of labels are not finite")
    return LabelEvidence(weights, bias, tuple(map(str, owners)), frozenset(map(str, known)))


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
        some = listed(problems, 3, separator="; ")
        raise CheckpointError(f"{path}: its tensors do not fit its configuration: {some}.")
    model.load_state_dict(state)


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: is damaged ({brief(error)}).", hint="Copy or train it again.")
