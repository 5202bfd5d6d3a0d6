"""The vector space in which class descriptions are compared: preconditioned by a model, or standardised values.

The model file is read without torch, whose import takes seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoint.metadata import find_checkpoint, list_checkpoints, read_metadata
from ...checkpoint.model_file import read_class_table
from ...data.classes.attributes import ClassAttributes
from ...data.classes.similarity import unit_rows
from ...errors import CheckpointError
from .taken_photos import SeenPhotos, read_seen_photos

_MEAN, _MAP = "preconditioner.mean", "preconditioner.forward_map"


@dataclass(frozen=True, eq=False)
class DescriptionSpace:
    """The class table of a model, and the preconditioning of its networks."""

    name: str
    classes: ClassAttributes  # the table that it was trained on
    seen: frozenset[str]
    views: tuple[tuple[np.ndarray, np.ndarray], ...]  # for each network: mean (A,) and linear map (A, A)
    reliability: dict[str, float | None] | None  # of each attribute in photos; None if not measured
    path: Path = Path()  # of the model file

    @functools.cached_property
    def seen_photos(self) -> SeenPhotos | None:
        """What the model knows of photos of its seen classes; None without a file, and without visual prototypes."""
        return None if self.path == Path() else read_seen_photos(self.path)

    def units(self, values: np.ndarray) -> np.ndarray:
        """Map descriptions (C, A) to unit rows (C, F), whose products are the mean cosines over the networks."""
        parts = [unit_rows((values.astype(np.float64) - mean) @ view.T) for mean, view in self.views]
        return np.concatenate(parts, axis=1) / np.float32(len(parts) ** 0.5)


def read_description_space(name_or_path: str | Path) -> DescriptionSpace:
    """Read a model's class table and preconditioning. Raises `CheckpointError` for a file that has none."""
    from safetensors import SafetensorError, safe_open

    path = find_checkpoint(name_or_path)
    document, table = read_metadata(path), read_class_table(path)
    try:
        with safe_open(path, framework="numpy") as opened:
            starts = sorted(key.removesuffix(_MEAN) for key in opened.keys() if key.endswith(_MEAN))  # noqa: SIM118
            views = tuple(
                tuple(opened.get_tensor(start + part).astype(np.float64) for part in (_MEAN, _MAP)) for start in starts
            )
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}).", hint="Copy or train it again.") from error
    width = len(table.attributes)
    if not views or any(mean.shape != (width,) or view.shape != (width, width) for mean, view in views):
        raise CheckpointError(f"{path}: has no preconditioning that fits its {width} attributes.")
    seen = frozenset(map(str, document["classes"].get("seen", ())))
    return DescriptionSpace(path.stem, table, seen, views, _reliability(document, table.attributes), path)


def _reliability(document: dict[str, Any], attributes: tuple[str, ...]) -> dict[str, float | None] | None:
    metrics = document.get("metrics")
    found = metrics.get("attributes") if isinstance(metrics, dict) else None
    if not found or not isinstance(found, dict):
        return None
    return {name: _number(found.get(name)) for name in attributes}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def models_with(attributes: Sequence[str]) -> list[str]:
    """Return the names of the shipped models that have exactly these attributes, in any order."""
    wanted = {name.strip() for name in attributes}
    return [
        path.stem
        for path in list_checkpoints()
        if {str(name).strip() for name in read_metadata(path)["classes"]["attributes"]} == wanted
    ]


def own_units(values: np.ndarray) -> np.ndarray:
    """Return descriptions (C, A) as unit rows, each attribute standardised over these classes."""
    values = values.astype(np.float64)
    return unit_rows(np.where(varies(values), values - values.mean(axis=0), 0) / spreads(values))


def spreads(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each attribute over classes (C, A); 1 for a constant one."""
    values = values.astype(np.float64)
    return np.where(varies(values), values.std(axis=0), 1.0)


def varies(values: np.ndarray) -> np.ndarray:
    """Return whether each attribute has more than one value over classes (C, A): (A,) bool."""
    return values.max(axis=0) > values.min(axis=0)
