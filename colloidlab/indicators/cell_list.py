"""Pairs within a distance by cells as wide as it: compiled, some ten times faster than a tree for few neighbours each."""

from __future__ import annotations

import numpy as np
from numba import njit

from colloidlab.indicators.trajectories import Floats, Integers

_MOST_CELLS_A_POINT = 4
_LEAST_PERIODIC_CELLS = 3
"""With fewer a cell would be its own neighbour's neighbour across the border."""

# Half of the cells around one; the other halves are those whose turn it is to look at this one.
_AHEAD = np.array(
    [(0, 0, 1)] + [(0, 1, c) for c in (-1, 0, 1)] + [(1, b, c) for b in (-1, 0, 1) for c in (-1, 0, 1)],
    dtype=np.int64,
)


def cell_pairs(points: Floats, cutoff: float, box: Floats | None) -> Integers | None:
    """Each pair i < j with a distance of at most `cutoff`, once, as `neighbours.pairs_within`; None where cells do not fit.

    Parameters
    ----------
    points : float array, shape (n, D), D = 2 or 3
        Finite; inside the box where there is one.
    cutoff : float
    box : float array, shape (D,), optional

    References
    ----------
    Allen & Tildesley, Computer Simulation of Liquids (2nd ed., 2017), section 5.3.2.
    """
    n, n_dim = points.shape
    lower = points.min(axis=0) if box is None else np.zeros(n_dim)
    sides = np.ptp(points, axis=0) if box is None else box
    # Few points far apart need wider cells than the cutoff, or most of them would be empty.
    fits = np.floor(sides / cutoff)
    most = max(_MOST_CELLS_A_POINT * n, 1) ** (1 / n_dim)
    cells = np.clip(fits, 1, max(most, 1)).astype(np.int64)
    if box is not None and cells.min() < _LEAST_PERIODIC_CELLS:
        return None
    three, first, scale, period = np.ones(3, dtype=np.int64), np.zeros(3), np.zeros(3), np.zeros(3)
    three[:n_dim], first[:n_dim] = cells, lower
    scale[:n_dim] = np.where(sides > 0, cells / np.where(sides > 0, sides, 1.0), 0.0)
    if box is not None:
        period[:n_dim] = box
    return _search(np.ascontiguousarray(points), three, first, scale, period, cutoff**2, _AHEAD)


@njit(cache=True, nogil=True)
def _search(
    points: Floats,
    cells: Integers,
    lower: Floats,
    scale: Floats,
    period: Floats,
    reach: float,
    ahead: Integers,
) -> Integers:
    n, n_dim = points.shape
    index = np.empty(n, np.int64)
    start = np.zeros(cells[0] * cells[1] * cells[2] + 1, np.int64)
    for i in range(n):
        cell = 0
        for d in range(3):
            step = 0
            if d < n_dim:
                step = min(int((points[i, d] - lower[d]) * scale[d]), cells[d] - 1)
            cell = cell * cells[d] + step
        index[i] = cell
        start[cell + 1] += 1
    for c in range(start.size - 1):
        start[c + 1] += start[c]
    # Points in the order of their cells, so that neighbours lie close together in memory.
    order, sorted_points = np.empty(n, np.int64), np.zeros((n, 3))
    filled = start[:-1].copy()
    for i in range(n):
        s = filled[index[i]]
        filled[index[i]] += 1
        order[s] = i
        for d in range(n_dim):
            sorted_points[s, d] = points[i, d]
    pairs = np.empty((8 * n + 16, 2), np.int64)
    found = 0
    shift = np.zeros(3)
    at = np.zeros(3, np.int64)
    for home in range(start.size - 1):
        if start[home] == start[home + 1]:
            continue
        for k in range(-1, ahead.shape[0]):
            other = home
            shift[:] = 0.0
            if k >= 0:
                at[0], at[1], at[2] = (
                    home // (cells[1] * cells[2]),
                    home // cells[2] % cells[1],
                    home % cells[2],
                )
                outside = False
                for d in range(3):
                    c = at[d] + ahead[k, d]
                    if c < 0 or c >= cells[d]:
                        outside |= period[d] == 0.0
                        shift[d] = period[d] if c >= cells[d] else -period[d]
                        c += -cells[d] if c >= cells[d] else cells[d]
                    at[d] = c
                if outside:
                    continue
                other = (at[0] * cells[1] + at[1]) * cells[2] + at[2]
            for s in range(start[home], start[home + 1]):
                x, y, z = (
                    sorted_points[s, 0] - shift[0],
                    sorted_points[s, 1] - shift[1],
                    sorted_points[s, 2] - shift[2],
                )
                for t in range(s + 1 if k < 0 else start[other], start[other + 1]):
                    dx, dy, dz = sorted_points[t, 0] - x, sorted_points[t, 1] - y, sorted_points[t, 2] - z
                    if dx * dx + dy * dy + dz * dz <= reach:
                        if found == pairs.shape[0]:
                            wider = np.empty((2 * found, 2), np.int64)
                            wider[:found] = pairs
                            pairs = wider
                        i, j = order[s], order[t]
                        pairs[found, 0] = min(i, j)
                        pairs[found, 1] = max(i, j)
                        found += 1
    return pairs[:found].copy()
