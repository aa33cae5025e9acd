"""Pairs by cells against those of a tree."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from colloidlab.indicators.cell_list import cell_pairs
from colloidlab.indicators.neighbours import pairs_within


def ordered(pairs: np.ndarray) -> np.ndarray:
    return pairs[np.lexsort(pairs.T[::-1])]


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("n_dim", [2, 3])
@pytest.mark.parametrize(("n", "cutoff"), [(500, 1.3), (40, 2.0), (300, 0.2), (20, 1.9)])
def test_pairs_are_those_of_a_tree(n: int, cutoff: float, n_dim: int, periodic: bool) -> None:
    rng = np.random.default_rng(n)
    box = np.array([9.0, 7.0, 6.5])[:n_dim]
    points = rng.uniform(0, box, (n, n_dim))
    found = cell_pairs(points, cutoff, box if periodic else None)
    assert found is not None
    expected = cKDTree(points, boxsize=box if periodic else None).query_pairs(cutoff, output_type="ndarray")
    np.testing.assert_array_equal(ordered(found), ordered(expected.reshape(-1, 2)))


def test_small_boxes_lines_and_far_points() -> None:
    rng = np.random.default_rng(0)
    box = np.array([4.0, 4.0])
    points = rng.uniform(0, box, (30, 2))
    assert cell_pairs(points, 1.9, box) is None  # two cells along a side
    expected = cKDTree(points, boxsize=box).query_pairs(1.9, output_type="ndarray")
    np.testing.assert_array_equal(ordered(pairs_within(points, 1.9, box)), ordered(expected))
    np.testing.assert_array_equal(pairs_within(np.array([[0.1, 2.0], [3.9, 2.0]]), 1.9, box), [[0, 1]])
    line = np.column_stack([np.arange(6.0), np.zeros(6)])
    assert len(pairs_within(line, 1.0)) == 5
    same = np.zeros((4, 2))
    assert len(pairs_within(same, 0.1)) == 6
    # A stray point must not make a grid of a million million cells.
    far = np.vstack([points, [1e9, 1e9]])
    assert len(pairs_within(far, 1.0)) == len(pairs_within(points, 1.0))
