"""Cosine similarity between many rows, in tiles of limited memory: closest pairs, groups, nearest rows, an order."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_TILE = 1024  # rows and columns of a tile of the cosine matrix

OnTile = Callable[[int, int], None]


class Closest(NamedTuple):
    """The closest pairs of R rows, and the number and groups of pairs above a bound."""

    pairs: np.ndarray  # (K, 2), each the lower row first; the closest pair first
    cosines: np.ndarray  # (K,) float32
    above: int  # number of all pairs above the bound
    groups: np.ndarray  # (R,) connected components of these pairs


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows (R, F) scaled to length 1, as float32; rows of zeros stay zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0).astype(np.float32)


def closest_pairs(
    units: np.ndarray,
    bound: float,
    keep: int,
    *,
    counts: np.ndarray | None = None,
    absolute: bool = False,
    tile: int = _TILE,
    on_tile: OnTile | None = None,
) -> Closest:
    """Find the `keep` closest pairs of unit rows (R, F), and count those whose cosine is above the bound.

    counts: (R,) multiplicity of each row; a pair then counts as all pairs of their copies. absolute: use the absolute
    value of the cosine. on_tile: called with (rows done, R).
    """
    n = len(units)
    counts = np.ones(n, np.int64) if counts is None else counts
    groups = np.arange(n)
    places, cosines, above = np.empty(0, np.int64), np.empty(0, np.float32), 0
    for top in range(0, n, tile):
        for left in range(top, n, tile):
            block = units[top : top + tile] @ units[left : left + tile].T
            block = np.abs(block) if absolute else block
            if top == left:
                block[np.tril_indices(len(block))] = -np.inf
            close = block > bound
            if close.any():
                above += int(counts[top : top + tile] @ close @ counts[left : left + tile])
                groups = _connect(groups, *(start + where for start, where in zip((top, left), close.nonzero())))  # noqa: B905
            floor = cosines[-1] if len(cosines) == keep else -np.inf
            row, column = (block > floor).nonzero()
            places = np.concatenate([places, (top + row) * n + left + column])
            cosines = np.concatenate([cosines, block[row, column]])
            if len(cosines) > keep:
                best = np.argpartition(-cosines, keep - 1)[:keep]
                places, cosines = places[best], cosines[best]
            order = np.lexsort((places, -cosines))
            places, cosines = places[order], cosines[order]
        if on_tile is not None:
            on_tile(min(top + tile, n), n)
    return Closest(np.stack([places // n, places % n], axis=1), cosines.clip(-1, 1), above, groups)


def _connect(groups: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the groups (R,) after connecting rows a and b (E,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.unique(np.stack([groups[a], groups[b]]), axis=1)
    graph = coo_array((np.ones(edges.shape[1], bool), tuple(edges)), shape=(len(groups), len(groups)))
    return connected_components(graph, directed=False)[1][groups]


def nearest(units: np.ndarray, others: np.ndarray, *, tile: int = _TILE) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the nearest of the others (S, F) to each unit row (R, F), and its cosine: (R,) each."""
    parts = [units[top : top + tile] @ others.T for top in range(0, len(units), tile)]  # S is small: seen classes
    which = np.concatenate([part.argmax(axis=1) for part in parts])
    return which, np.concatenate([part.max(axis=1) for part in parts]).clip(-1, 1)


def similarity_order(cosines: np.ndarray) -> np.ndarray:
    """Return an order (R,) in which similar rows are adjacent (hierarchical clustering). cosines: (R, R)."""
    if len(cosines) < 3:
        return np.arange(len(cosines))
    from scipy.cluster.hierarchy import leaves_list, linkage

    distances = (1 - cosines.astype(np.float64)).clip(0)
    condensed = distances[np.triu_indices(len(cosines), 1)]
    return leaves_list(linkage(condensed, "average", optimal_ordering=True))
