"""Photos of classes that are given to a trained model: read, and turned into the mean photo of each class.

No training is needed: the Gaussian of a class's mean photo is updated in closed form (docs/method.md, section 9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ...backbones.backbone import Backbone
from ...checkpoint.class_photos import ClassPhotos
from ...data.classes.attributes import class_key
from ...data.photos.sources import iter_sources
from ...errors import UsageError, listed
from ...scoring.candidate_kinds import CandidateKinds
from ...scoring.model import ZeroShotModel
from ..extract.stream import stream_features

OTHERS = "others"  # photos of anything else: a photo whose best class this is, is rejected
Photos = str | Path | Sequence[str | Path]


def photos_of_arguments(given: Iterable[str]) -> dict[str, list[str]]:
    """Return the photos of each class from arguments NAME=PATH, or DIR with one folder for each class.

    A name that is given twice has the photos of both. Raises `UsageError` for anything else.
    """
    found: dict[str, list[str]] = {}
    for argument in given:
        name, separator, path = argument.partition("=")
        if separator and name.strip() and path:
            found.setdefault(name.strip(), []).append(path)
            continue
        if not Path(argument).is_dir():
            raise UsageError(
                f'--photos "{argument}" is neither NAME=PATH nor a folder.',
                hint="For example: --photos okapi=okapi/, or a folder with one folder of photos for each class.",
            )
        folders = sorted(entry for entry in Path(argument).iterdir() if entry.is_dir() and entry.name[:1] != ".")
        if not folders:
            raise UsageError(
                f"--photos {argument}: has no folders; it needs one folder of photos for each class.",
                hint=f"For photos of one class: --photos NAME={argument}",
            )
        for folder in folders:
            found.setdefault(folder.name, []).append(str(folder))
    return found


def class_photos(
    model: ZeroShotModel,
    backbone: Backbone,
    photos: Mapping[str, Photos],
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    on_note: Callable[[str], None] | None = None,
) -> ClassPhotos:
    """Return the mean photo of each class. photos: files, folders or archives by class name.

    Raises `UsageError` for a class without a readable photo, and for names that differ by their spelling only.
    """
    note = on_note or (lambda text: None)
    keys = [class_key(name) for name in photos]
    if len(set(keys)) < len(keys):
        double = [name for name, key in zip(photos, keys, strict=True) if keys.count(key) > 1]
        raise UsageError(f"Photos are given twice for one class: {listed(double, 5)}.")
    means, counts = [], []
    for name, inputs in photos.items():
        paths = [str(inputs)] if isinstance(inputs, str | Path) else [str(path) for path in inputs]
        features, failed = [], []
        for photo in stream_features(backbone, iter_sources(paths), batch_size=batch_size, workers=workers):
            if photo.feature is None:
                failed.append(f"{photo.path} ({photo.reason})")
            else:
                features.append(photo.feature)
        if failed:
            note(f"{name}: {len(failed)} of {len(failed) + len(features)} photos left out: {listed(failed, 3)}.")
        if not features:
            raise UsageError(f"{name}: none of its photos can be read.")
        x = torch.from_numpy(np.stack(features)).to(next(model.parameters()).device)
        means.append(model.mean_photo(x).cpu())
        counts.append(len(features))
    return ClassPhotos(tuple(photos), torch.stack(means), tuple(counts))


def kinds_with_photos(
    own: torch.Tensor, names: Sequence[str], described: torch.Tensor, photos: ClassPhotos
) -> CandidateKinds:
    """Return the kinds of candidates of which some have given photos. own: (K,); described: (K,) bool."""
    position = {class_key(name): row for row, name in enumerate(photos.names)}
    rows = torch.tensor([position.get(class_key(name), -1) for name in names])
    counts = torch.tensor(photos.counts, dtype=torch.float32)[rows]
    is_given = rows >= 0
    return CandidateKinds(
        own,
        photos=torch.where(is_given.unsqueeze(-1), photos.means[rows], 0),
        counts=torch.where(is_given, counts, 0),
        described=described,
        broad=torch.tensor([class_key(name) == OTHERS for name in names]) & ~described,
    )
