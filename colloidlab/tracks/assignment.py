"""Linking by sparse linear assignment, for tables that defeat the exact search of trackpy.

Between two frames the links minimise the sum of squared displacements plus R^2 for every particle that
is left without a link; R is the farthest move. The candidates split into connected groups, and each group is
one small dense assignment problem, solved exactly in polynomial time.

References
----------
Jonker and Volgenant, Computing 38, 325 (1987), as scipy.optimize.linear_sum_assignment has it.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

_LARGEST_GROUP = 1500
"""Largest dense problem; a larger group keeps only each particle's nearest few candidates."""
_NEAREST = 4


def link_by_assignment(
    frame: np.ndarray, positions: np.ndarray, search_range_px: float, memory: int = 0
) -> np.ndarray:
    """Identity of the particle of every row.

    Parameters
    ----------
    frame : int array, shape (n,)
        Sorted.
    positions : float array, shape (n, d), px
    search_range_px : float
    memory : int
        Frames that a particle may be absent.

    Returns
    -------
    int64 array, shape (n,)
    """
    particle = np.full(len(frame), -1, dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, np.diff(frame) > 0])
    next_identity = 0
    # The last row of every particle that may still come back.
    alive = np.empty(0, dtype=np.int64)
    for start, stop in zip(starts, np.r_[starts[1:], len(frame)]):
        rows = np.arange(start, stop)
        alive = alive[frame[start] - frame[alive] <= memory + 1]
        source, target = assign(positions[alive], positions[rows], search_range_px)
        particle[rows[target]] = particle[alive[source]]
        new = rows[particle[rows] < 0]
        particle[new] = next_identity + np.arange(len(new))
        next_identity += len(new)
        alive = np.r_[np.delete(alive, source), rows]
    return particle


def assign(before: np.ndarray, after: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of least total cost between two sets of points: indices into `before` and into `after`."""
    source, target, distance = candidates(before, after, reach)
    if len(source) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    n = len(before)
    graph = coo_array((np.ones(len(source)), (source, n + target)), shape=(n + len(after),) * 2)
    group = connected_components(graph, directed=False)[1][source]
    order = np.argsort(group, kind="stable")
    links = []
    for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        links.append(
            part if len(part) == 1 else part[_solve(source[part], target[part], distance[part], reach)]
        )
    chosen = np.concatenate(links)
    return source[chosen], target[chosen]


def candidates(
    before: np.ndarray, after: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs closer than `reach`: index in `before`, index in `after`, distance."""
    if len(before) == 0 or len(after) == 0:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, np.empty(0)
    near = cKDTree(before).sparse_distance_matrix(cKDTree(after), reach, output_type="ndarray")
    return near["i"].astype(np.int64), near["j"].astype(np.int64), near["v"]


def _solve(source: np.ndarray, target: np.ndarray, distance: np.ndarray, reach: float) -> np.ndarray:
    """Which candidates of one connected group are links."""
    rows, i = np.unique(source, return_inverse=True)
    columns, j = np.unique(target, return_inverse=True)
    if len(rows) > _LARGEST_GROUP:
        keep = _nearest(source, distance)
        kept = _solve_dense(i[keep], j[keep], distance[keep], reach, (len(rows), len(columns)))
        return keep[kept]
    return _solve_dense(i, j, distance, reach, (len(rows), len(columns)))


def _solve_dense(
    i: np.ndarray, j: np.ndarray, distance: np.ndarray, reach: float, shape: tuple[int, int]
) -> np.ndarray:
    # Each row owns a private column "not found" of cost R^2, so that a row is never forced into a link.
    rows, columns = shape
    never = 1e6 * reach**2
    cost = np.full((rows, columns + rows), never)
    cost[i, j] = distance**2
    cost[np.arange(rows), columns + np.arange(rows)] = reach**2
    row, column = linear_sum_assignment(cost)
    partner = np.full(rows, -1)
    partner[row] = column
    return np.flatnonzero(partner[i] == j)


def _nearest(source: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The few nearest candidates of every source."""
    order = np.lexsort((distance, source))
    first = np.r_[True, np.diff(source[order]) > 0]
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    return order[rank < _NEAREST]
