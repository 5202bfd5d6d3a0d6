"""What commands that test a model begin with: its data set, with features of the kind that it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import console

if TYPE_CHECKING:
    from ..checkpoint.model_file import Checkpoint
    from ..data.datasets.dataset import Dataset


def open_with_model(
    dataset: str,
    model: str | None,
    *,
    features: str | None,
    images: Path | None,
    data_root: Path | None,
    missing: str,
    **computing: Any,
) -> tuple[Checkpoint, Dataset]:
    """Open a data set and a model, by default `DATASET.safetensors`; extract features if there are none.

    computing: weights, device and precision of the backbone.
    """
    from ..checkpoint.model_file import load_checkpoint
    from ..data.datasets.open import open_dataset
    from ..pipeline.extract.dataset_features import with_recorded_features

    opened = open_dataset(dataset, data_root=data_root, features=features, images=images, missing=missing)
    for text in opened.notes:
        console.note(text)
    checkpoint = load_checkpoint(model or f"{opened.name}.safetensors")
    with console.progress("Extracting") as on_progress:
        opened = with_recorded_features(opened, checkpoint, on_progress=on_progress, on_note=console.note, **computing)
    return checkpoint, opened
