"""Extract the image features of a dataset that has only photos, with the cache of `feature_cache`.

An interrupted extraction is resumed. If another run extracts the same features, this one waits for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...backbones.backbone import Backbone, load_backbone, load_recorded
from ...checkpoint.model_file import Checkpoint
from ...data.datasets.dataset import Dataset, FeaturedDataset, add_features, attach_features
from ...data.features.files import read_features
from ...errors import RevcdError
from ...system.files import OutputInUse, wait_until_free
from ..known_classes.resolve import with_known_classes
from . import feature_cache
from .extract import OnProgress, extract_sources
from .feature_cache import find_cached, photos_of, read_cached, remember_photos, writable_cache


def with_features(
    dataset: Dataset,
    *,
    backbone: str = "auto",
    weights: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    tokens: bool = False,
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], None] | None = None,
    on_detail: Callable[[str], None] | None = None,
) -> FeaturedDataset:
    """Return the dataset with features: its own, or those of this backbone, cached or extracted now.

    tokens: extract spatial tokens instead of pooled vectors. The labels of known classes are looked up, too.
    """
    if not isinstance(dataset, FeaturedDataset):
        load = functools.partial(
            load_backbone, backbone, weights=weights, device=device, precision=precision, tokens=tokens
        )
        dataset = _extracted(dataset, load, precision, on_progress, on_note, on_detail)
    return with_known_classes(dataset, weights=weights, on_note=on_note)


def with_recorded_features(
    dataset: Dataset,
    checkpoint: Checkpoint,
    *,
    weights: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], None] | None = None,
    on_detail: Callable[[str], None] | None = None,
) -> FeaturedDataset:
    """Return the dataset with features: its own, or those of the backbone that the model was trained with."""
    if isinstance(dataset, FeaturedDataset):
        return dataset
    load = functools.partial(load_recorded, checkpoint.backbone, weights=weights, device=device, precision=precision)
    return _extracted(dataset, load, precision, on_progress, on_note, on_detail)


def _extracted(
    dataset: Dataset,
    load: Callable[[], Backbone],
    precision: str,
    on_progress: OnProgress | None,
    on_note: Callable[[str], None] | None,
    on_detail: Callable[[str], None] | None,
) -> FeaturedDataset:
    if dataset.known_table is not None and not len(dataset.labels):  # known classes alone
        record = load().record
        return add_features(dataset, np.empty((0, record.feature_dim), dtype=np.float32), record)
    if dataset.images_root is None:
        raise RevcdError(
            f"{dataset.name} has neither features nor photos here.",
            hint="Give --features FILE, or --images DIR with the benchmark's own photos.",
        )
    note = on_note or (lambda text: None)
    model = load()
    photos = functools.partial(photos_of, dataset.images_root, dataset.paths)
    name, found = find_cached(dataset.name, dataset.images_root, photos, model.record, precision, note)
    if found is not None:
        note(f"Features of {model.record.tag} are cached: {feature_cache.features_cache() / name}")
        return attach_features(dataset, found)
    note(model.note)
    with writable_cache(note) as folder:
        while found is None:
            try:
                extract_sources(
                    model,
                    photos,
                    folder / name,
                    total=len(dataset.paths),
                    overwrite=True,
                    on_progress=on_progress,
                    on_note=on_note,
                    on_detail=on_detail,
                )
            except OutputInUse as error:
                note(f"Another run (process {error.process}) extracts the features of these photos; waiting for it.")
                wait_until_free(folder / name)
                found = read_cached(folder / name, photos, note)
            else:
                found = read_features(folder / name)
                remember_photos(folder / name, photos)
    return attach_features(dataset, found)
