"""Open the dataset and the model of a command, and extract the image features that the dataset lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .terminal import console
from .terminal.findings import print_findings

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
    rescale_rows: bool = False,
    seed: int = 0,
    write_split: bool = True,
    known: Path | None = None,
    is_trained: bool = False,
) -> Dataset:
    """Open and check a dataset, and print its notes and warnings.

    The parameters are those of `data.datasets.open.open_dataset`; rescale_rows converts rows of the class table that
    are on another scale. is_trained: there is a model, so the warning of few training photos is left out. Raises
    `InputFileError` for errors.
    """
    from ..data.datasets.inspect import FEW_PHOTOS, inspect_dataset, rescaled
    from ..data.datasets.open import open_dataset as read
    from ..data.findings import WARNING, raise_first_error

    opened = read(
        dataset,
        data_root=data_root,
        features=features,
        images=images,
        seed=seed,
        missing=missing,
        write_split=write_split,
        known=known,
    )
    for text in opened.notes:
        console.note(text)
    if rescale_rows:
        opened, findings = rescaled(opened)
        print_findings(findings)
    findings = inspect_dataset(opened, column_rank=WARNING)
    print_findings(finding for finding in findings if not (is_trained and finding.kind == FEW_PHOTOS))
    raise_first_error(findings, opened.classes.source)
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
            featured = with_recorded_features(dataset, checkpoint, **computing)
        else:
            featured = with_features(dataset, backbone=backbone, tokens=tokens, **computing)
    if featured is not dataset:
        print_findings(featured.findings[len(dataset.findings) :])
    return featured


def exit_if_photos_lack(dataset: Dataset) -> None:
    """Exit with 3 if photos of the dataset were missing or unreadable, as for other inputs that failed."""
    if dataset.lacks_photos:
        raise typer.Exit(3)


def open_with_features(
    dataset: str,
    *,
    features: str | None,
    images: Path | None,
    data_root: Path | None,
    missing: str,
    rescale_rows: bool = False,
    seed: int = 0,
    backbone: str,
    weights: Path | None,
    device: str,
    precision: str,
    tokens: bool = False,
    known: Path | None = None,
) -> FeaturedDataset:
    """Open and check a dataset, and extract the features that it lacks."""
    opened = open_dataset(
        dataset,
        features=features,
        images=images,
        data_root=data_root,
        missing=missing,
        rescale_rows=rescale_rows,
        seed=seed,
        known=known,
    )
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
    rescale_rows: bool = False,
    weights: Path | None,
    device: str,
    precision: str,
) -> tuple[Checkpoint, FeaturedDataset]:
    """Open a dataset and a model (default: `DATASET.safetensors`), and extract features as the model needs them.

    With missing="impute", attributes that the dataset's table lacks are added, with a note: from the model's rows of
    the same classes where the other values agree, and imputed elsewhere.
    """
    import dataclasses

    from ..checkpoint.model_file import load_checkpoint
    from ..data.classes.completion import complete
    from ..data.datasets.inspect import compare_tables
    from ..data.findings import raise_first_error
    from ..pipeline.evaluate.evaluate import refuse_leaks

    opened = open_dataset(
        dataset,
        features=features,
        images=images,
        data_root=data_root,
        missing=missing,
        rescale_rows=rescale_rows,
        is_trained=True,
    )
    checkpoint = load_checkpoint(model or f"{opened.name}.safetensors")
    if missing == "impute" and len(opened.classes.attributes) < len(checkpoint.classes.attributes):
        lacking = len(checkpoint.classes.attributes) - len(opened.classes.attributes)
        opened = dataclasses.replace(opened, classes=complete(opened.classes, checkpoint.classes))
        console.note(
            f"{lacking} attributes that {opened.classes.source} lacks were added from the model's rows of the same "
            f"classes. {opened.classes.filled_text}".rstrip()
        )
    featured = extract_features(opened, checkpoint=checkpoint, weights=weights, device=device, precision=precision)
    refuse_leaks(checkpoint, featured)
    findings = compare_tables(featured, checkpoint.classes)
    print_findings(findings)
    raise_first_error(findings, featured.classes.source)
    return checkpoint, featured
