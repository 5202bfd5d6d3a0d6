"""Extract the image features of a dataset that has only photos, and cache them.

The name of the cache file is a digest of the photos (paths, sizes, modification times) and of the backbone, so features
are used only for the photos and the backbone that they were computed from. An interrupted extraction is resumed.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import platformdirs

from ...backbones.backbone import Backbone, load_backbone, load_recorded
from ...checkpoint.model_file import Checkpoint
from ...config import BackboneRecord
from ...data.datasets.dataset import Dataset, FeaturedDataset, attach_features
from ...data.features.files import read_features
from ...data.photos.image_source import ImageSource, file_source
from ...errors import RevcdError
from ..known_classes.resolve import with_known_classes
from .extract import OnProgress, extract_sources

# Reasons of failures that may not recur although the photo has not changed.
_TRANSIENT = {"permission", "out_of_memory", "vanished", "not_found"}


def features_cache() -> Path:
    """Return the folder of the features that commands extracted for their datasets."""
    return Path(platformdirs.user_cache_dir("revcd")) / "features"


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
        dataset = _extracted(dataset, load, on_progress, on_note, on_detail)
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
    return _extracted(dataset, load, on_progress, on_note, on_detail)


def _extracted(
    dataset: Dataset,
    load: Callable[[], Backbone],
    on_progress: OnProgress | None,
    on_note: Callable[[str], None] | None,
    on_detail: Callable[[str], None] | None,
) -> FeaturedDataset:
    if dataset.images_root is None:
        raise RevcdError(
            f"{dataset.name} has neither features nor photos here.",
            hint="Give --features FILE, or --images DIR with the benchmark's own photos.",
        )
    note = on_note or (lambda text: None)
    model = load()
    photos = functools.partial(_photos, dataset.images_root, dataset.paths)
    place = str(dataset.images_root.resolve())
    cached = features_cache() / f"{dataset.name}-{_digest(place, photos(), model.record)[:16]}.parquet"
    found = read_features(cached) if cached.exists() else None
    if found is not None and not _TRANSIENT.intersection(found.reason):
        note(f"Features of {model.record.tag} are cached: {cached}")
    else:
        note(model.note)
        extract_sources(
            model,
            photos,
            cached,
            total=len(dataset.paths),
            overwrite=True,
            on_progress=on_progress,
            on_note=on_note,
            on_detail=on_detail,
        )
        found = read_features(cached)
    attached = attach_features(dataset, found)
    for text in attached.notes[len(dataset.notes) :]:
        note(text)
    return attached


def _photos(folder: Path, paths: Sequence[str]) -> Iterator[ImageSource]:
    for path in paths:
        yield file_source(str(folder / path), path)


def _digest(place: str, photos: Iterable[ImageSource], record: BackboneRecord) -> str:
    kind = dataclasses.replace(record, precision="")  # features agree closely enough in all precisions
    digest = hashlib.sha256(json.dumps([place, kind.to_dict()], sort_keys=True).encode())
    for photo in photos:
        digest.update(json.dumps([photo.path, photo.signature]).encode())
    return digest.hexdigest()
