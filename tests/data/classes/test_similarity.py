"""Cosines between class descriptions, compared with slow loops, and the order that groups similar classes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from revcd_cli.data.classes.similarity import closest_pairs, nearest, similarity_order, unit_rows


@pytest.fixture
def units() -> np.ndarray:
    return unit_rows(np.random.default_rng(0).normal(size=(40, 5)))


def test_unit_rows_have_length_1_except_zero_rows():
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], atol=1e-7)


@pytest.mark.parametrize("tile", [1, 7, 40, 1000])
@pytest.mark.parametrize("absolute", [False, True])
def test_pairs_counts_and_groups_do_not_depend_on_the_tile_size(tile: int, absolute: bool, units: np.ndarray):
    cosines = units.astype(np.float64) @ units.T
    cosines = np.abs(cosines) if absolute else cosines
    every = sorted(combinations(range(40), 2), key=lambda pair: -cosines[pair])
    found = closest_pairs(units, 0.9, 25, absolute=absolute, tile=tile)
    assert [tuple(pair) for pair in found.pairs.tolist()] == every[:25]
    np.testing.assert_allclose(found.cosines, [cosines[pair] for pair in every[:25]], atol=1e-6)
    edges = [pair for pair in every if cosines[pair] > 0.9]
    assert found.above == len(edges)
    groups = list(range(40))
    for a, b in edges:  # slow reference
        groups = [groups[a] if group == groups[b] else group for group in groups]
    together = {(a, b) for a, b in combinations(range(40), 2) if groups[a] == groups[b]}
    assert together == {(a, b) for a, b in combinations(range(40), 2) if found.groups[a] == found.groups[b]}


def test_a_row_with_a_multiplicity_counts_that_often():
    units = unit_rows(np.array([[1.0, 0], [1, 0.01], [0, 1]]))
    assert closest_pairs(units, 0.9, 3, counts=np.array([4, 5, 6])).above == 20


def test_few_rows_give_all_pairs_and_one_row_gives_none(units: np.ndarray):
    assert len(closest_pairs(units[:4], 0.9, 100).pairs) == 6
    assert len(closest_pairs(units[:1], 0.9, 100).pairs) == 0


def test_the_nearest_other_row_has_the_largest_cosine(units: np.ndarray):
    which, cosines = nearest(units[:30], units[30:], tile=7)
    slow = units[:30].astype(np.float64) @ units[30:].T
    assert which.tolist() == slow.argmax(axis=1).tolist()
    np.testing.assert_allclose(cosines, slow.max(axis=1), atol=1e-6)


def test_the_order_keeps_rows_of_a_cluster_together():
    centres = np.array([[1.0, 0], [0, 1]])[[0, 1, 0, 1, 0, 1]]
    units = unit_rows(centres + 0.05 * np.random.default_rng(1).normal(size=(6, 2)))
    order = similarity_order(units @ units.T)
    assert sorted(order.tolist()) == list(range(6))
    assert {frozenset(order[:3].tolist()), frozenset(order[3:].tolist())} == {
        frozenset({0, 2, 4}),
        frozenset({1, 3, 5}),
    }
