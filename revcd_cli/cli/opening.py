"""Open the dataset and the model of a command, and extract the image features that the dataset lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import console

if TYPE_CHECKING:
    from ..checkpoint.model_file import Checkpoint
    from ..data.datasets.dataset import Dataset, FeaturedDataset


def open_dataset(
    dataset: str,
    *,
    features: str | None,
    images: Path | None,
    data_root: Path | None,
    missing: str,
    seed: int = 0,
    write_split: bool = True,
) -> Dataset:
    """Open a dataset and print its notes. The parameters are those of `data.datasets.open.open_dataset`."""
    from ..data.datasets.open import open_dataset as read

    opened = read(
        dataset,
        data_root=data_root,
        features=features,
        images=images,
        seed=seed,
        missing=missing,
        write_split=write_split,
    )
    for text in opened.notes:
        console.note(text)
    return opened


def extract_features(
    dataset: Dataset,
    *,
    checkpoint: Checkpoint | None = None,
    backbone: str = "auto",
    weights: Path | None,
    device: str,
    precision: str,
    tokens: bool = False,
) -> FeaturedDataset:
    """Return the dataset with features: its own, cached ones, or extracted ones, with a progress bar.

    checkpoint: extract with the backbone that this model was trained on, instead of `backbone` and `tokens`.
    """
    from ..pipeline.extract.dataset_features import with_features, with_recorded_features

    with console.progress("Extracting") as on_progress:
        computing: dict[str, Any] = {
            "weights": weights,
            "device": device,
            "precision": precision,
            "on_progress": on_progress,
            "on_note": console.note,
            "on_detail": console.detail,
        }
        if checkpoint is not None:
            return with_recorded_features(dataset, checkpoint, **computing)
        return with_features(dataset, backbone=backbone, tokens=tokens, **computing)


def open_with_features(
    dataset: str,
    *,
    features: str | None,
    images: Path | None,
    data_root: Path | None,
    missing: str,
    seed: int = 0,
    backbone: str,
    weights: Path | None,
    device: str,
    precision: str,
    tokens: bool = False,
) -> FeaturedDataset:
    """Open a dataset, print its notes, and extract the features that it lacks."""
    opened = open_dataset(dataset, features=features, images=images, data_root=data_root, missing=missing, seed=seed)
    return extract_features(
        opened, backbone=backbone, weights=weights, device=device, precision=precision, tokens=tokens
    )


def open_with_model(
    dataset: str,
    model: str | None,
    *,
    features: str | None,
    images: Path | None,
    data_root: Path | None,
    missing: str,
    weights: Path | None,
    device: str,
    precision: str,
) -> tuple[Checkpoint, FeaturedDataset]:
    """Open a dataset and a model (default: `DATASET.safetensors`), and extract features as the model needs them."""
    from ..checkpoint.model_file import load_checkpoint

    opened = open_dataset(dataset, features=features, images=images, data_root=data_root, missing=missing)
    checkpoint = load_checkpoint(model or f"{opened.name}.safetensors")
    return checkpoint, extract_features(
        opened, checkpoint=checkpoint, weights=weights, device=device, precision=precision
    )
