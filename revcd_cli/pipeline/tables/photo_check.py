"""Checks of `data check` that read the photos of a dataset: copies and near copies across parts and classes."""

from __future__ import annotations

from collections.abc import Callable

from ...data.datasets.dataset import Dataset
from ...data.datasets.splits import copy_findings
from ...data.findings import NOTE, WARNING, Finding
from ...data.photos.copies import identical_files
from ...data.photos.near_copies import describe_photos, near_pairs
from ...errors import listed

_NAMED = 3  # pairs that a sentence lists
_MOST_ITEMS = 1000  # pairs that a finding holds

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


def _near_findings(dataset: Dataset, pairs: list[tuple[int, int]]) -> list[Finding]:
    part_of = {row: part for part, rows in dataset.split.parts() for row in rows.tolist()}
    sorted_pairs: dict[str, list[str]] = {"parts": [], "classes": [], "": []}
    for one, other in pairs:
        if one not in part_of or other not in part_of:
            continue
        across_parts = "trainval" in (part_of[one], part_of[other]) and part_of[one] != part_of[other]
        kind = "parts" if across_parts else "classes" if dataset.labels[one] != dataset.labels[other] else ""
        sorted_pairs[kind].append(f"{dataset.paths[one]} ({part_of[one]}) ~ {dataset.paths[other]} ({part_of[other]})")
    words = "look the same (another size, compression or brightness, or mirrored)"
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
