"""Checks of `data check` that read the photos of a dataset: copies and near copies across parts and classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...data.classes.similarity import unit_rows
from ...data.datasets.dataset import Dataset, FeaturedDataset
from ...data.datasets.splits import copy_findings
from ...data.findings import NOTE, WARNING, Finding
from ...data.photos.copies import identical_files
from ...data.photos.near_copies import BOUND, describe_photos, mirrored, near_pairs
from ...errors import listed

_NAMED = 1  # pairs that a sentence lists; two paths and their parts fill lines of a terminal
_MOST_ITEMS = 1000  # pairs that a finding holds
_ALIKE = 0.95  # cosine of the features of near copies
_MOST_COMPARED = 200_000_000  # pairs of photos; some seconds
_TILE = 1024

OnProgress = Callable[[int, "int | None", int], None]


def photo_findings(dataset: Dataset, on_progress: OnProgress | None = None) -> list[Finding]:
    """Return findings about photos with equal bytes and photos that look the same; [] without photos on the disk."""
    root = dataset.images_root
    if root is None or not all(dataset.paths):
        return []
    groups = identical_files(root, dataset.paths)
    known = {finding.kind for finding in dataset.findings}
    exact = copy_findings(groups, dataset.paths, dataset.labels, dataset.split, dataset.classes.names)
    exact = [finding for finding in exact if finding.kind not in known]
    same_bytes = {row: number for number, group in enumerate(groups) for row in group}
    vectors = describe_photos(root, dataset.paths, on_progress)
    pairs = [
        (one, other)
        for one, other in near_pairs(vectors)
        if one not in same_bytes or same_bytes[one] != same_bytes.get(other)
    ]
    return [*exact, *_near_findings(dataset, pairs)]


def near_copies_by_features(dataset: FeaturedDataset) -> list[Finding]:
    """Return a warning about near copies of training photos among the test photos, from features that are there.

    Pairs with nearly equal features are confirmed on the photos, so only these are read. [] if the photos are not on
    the disk, for spatial tokens, and for very large datasets; `data check` finds those.
    """
    root, split = dataset.images_root, dataset.split
    train, test = split.trainval, np.concatenate([split.test_seen, split.test_unseen])
    if root is None or dataset.backbone.tokens or len(train) * len(test) > _MOST_COMPARED or not all(dataset.paths):
        return []
    known, units = unit_rows(dataset.features[train]), unit_rows(dataset.features[test])
    candidates: list[tuple[int, int]] = []
    for start in range(0, len(test), _TILE):
        cosines = units[start : start + _TILE] @ known.T
        rows, columns = np.nonzero(cosines >= _ALIKE)
        candidates += [(int(train[c]), int(test[start + r])) for r, c in zip(rows, columns, strict=True)]
    if not candidates or len(candidates) > _MOST_ITEMS:
        return []
    chosen = sorted({row for pair in candidates for row in pair})
    vectors = dict(zip(chosen, describe_photos(root, [dataset.paths[row] for row in chosen]), strict=True))
    pairs = [
        (one, other)
        for one, other in candidates
        if max(vectors[one] @ vectors[other], vectors[one] @ mirrored(vectors[other][None])[0]) >= BOUND
    ]
    return _near_findings(dataset, pairs)


def _near_findings(dataset: Dataset, pairs: list[tuple[int, int]]) -> list[Finding]:
    part_of = {row: part for part, rows in dataset.split.parts() for row in rows.tolist()}
    sorted_pairs: dict[str, list[str]] = {"parts": [], "classes": [], "": []}
    for one, other in pairs:
        if one not in part_of or other not in part_of:
            continue
        across_parts = "trainval" in (part_of[one], part_of[other]) and part_of[one] != part_of[other]
        kind = "parts" if across_parts else "classes" if dataset.labels[one] != dataset.labels[other] else ""
        sorted_pairs[kind].append(f"{dataset.paths[one]} ({part_of[one]}) ~ {dataset.paths[other]} ({part_of[other]})")
    words = "look the same (also in another size, format or brightness, or mirrored)"
    ranks = (
        (
            "parts",
            WARNING,
            "near copies across parts",
            "one for training and one for testing, so tests may look too good",
        ),
        ("classes", WARNING, "near copies across classes", "in two classes"),
        ("", NOTE, "near copies", "in one class and part"),
    )
    return [
        Finding(
            rank,
            kind,
            f"{len(found):,} pairs of photos {words}, {where}: {listed(found, _NAMED)}.",
            items=tuple(found[:_MOST_ITEMS]),
        )
        for key, rank, kind, where in ranks
        if (found := sorted_pairs[key])
    ]
