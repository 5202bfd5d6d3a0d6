"""Match two lists of photo paths that are relative to different folders."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np


def match_paths(wanted: Sequence[str], offered: Sequence[str]) -> np.ndarray:
    """Return for each wanted path the row of the matching offered path, or -1: (N,) int64.

    Two paths match if they are equal, or else if one ends with all the components of the other. Ambiguous matches are
    -1, because a guess could mislabel photos.
    """
    targets, sources = ([_parts(path) for path in paths] for paths in (wanted, offered))
    by_target, by_source = _rows_by_parts(targets), _rows_by_parts(sources)
    candidates = [set(by_source.get(parts, ())) for parts in targets]
    inexact = {row for row, found in enumerate(candidates) if not found}
    for row in inexact:  # the offered path is the shorter one
        for end in _ends(targets[row]):
            candidates[row].update(by_source.get(end, ()))
    for source, parts in enumerate(sources):  # the offered path is the longer one
        for end in _ends(parts):
            for row in by_target.get(end, ()):
                if row in inexact:
                    candidates[row].add(source)
    claims = Counter(source for found in candidates for source in found)
    unique = [next(iter(found)) if len(found) == 1 else -1 for found in candidates]
    return np.array([source if claims[source] == 1 else -1 for source in unique], dtype=np.int64)


def _parts(path: str) -> tuple[str, ...]:
    normal = unicodedata.normalize("NFC", path).replace("\\", "/")
    return tuple(part for part in normal.split("/") if part not in ("", ".", ".."))


def _ends(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [parts[start:] for start in range(1, len(parts))]


def _rows_by_parts(paths: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], list[int]]:
    rows = defaultdict(list)
    for row, parts in enumerate(paths):
        rows[parts].append(row)
    return dict(rows)
