"""Find files with equal bytes, by size and then by sha256, so that only files of equal size are read."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from ...system.files import file_sha256


def identical_files(root: Path, paths: Sequence[str]) -> list[list[int]]:
    """Return the groups of at least two positions in `paths` whose files have equal bytes; files of no bytes differ.

    paths: relative to `root`. Files that cannot be read are left out.
    """
    sizes: list[int] = []
    for path in paths:
        try:
            sizes.append(os.stat(root / path).st_size)  # noqa: PTH116 (paths may be undecodable)
        except OSError:
            sizes.append(0)
    groups = []
    for candidates in equal_groups(sizes):
        digests = []
        for row in candidates:
            try:
                digests.append(file_sha256(root / paths[row]))
            except OSError:
                digests.append("")
        groups += [[candidates[place] for place in group] for group in equal_groups(digests)]
    return sorted(groups)


def equal_groups(values: Iterable[Hashable]) -> list[list[int]]:
    """Return the groups of at least two positions with equal values; empty and zero values are left out."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, value in enumerate(values):
        if value:
            places[value].append(place)
    return [group for group in places.values() if len(group) > 1]
