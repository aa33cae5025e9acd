"""Which links are possible between two frames, and what each costs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from colloidlab.tracks.assignment import Candidates, Floats, Integers


class Costs(NamedTuple):
    """What a link costs, by its length and by the number of frames since the particle was last seen.

    Rows are for 1, 2, ... frames; a longer time takes the last row. Lengths are in the units of the
    positions that are given with them.
    """

    reach: Floats
    """Longest possible link, shape (n_gaps,)."""
    null: Floats
    """Cost of no link, shape (n_gaps,)."""
    table: Floats
    """Cost at evenly spaced squared lengths from 0 to reach^2, shape (n_gaps, n >= 2); linear between them."""


class Cells(NamedTuple):
    """Targets sorted by place, so that only near ones are looked at and lie close together in memory."""

    low: Floats
    edge: float
    shape: tuple[int, int, int]
    first: Integers
    """Targets of cell c = (y n_z + z) n_x + x are first[c] ... first[c + 1] - 1."""
    order: Integers
    """Where each was before it was sorted, shape (m,)."""
    points: Floats
    """Positions, shape (m, 3)."""


@njit(cache=True, nogil=True, error_model="numpy")
def find_candidates(sources: Floats, gaps: Integers, cells: Cells, costs: Costs) -> Candidates:
    """All links within reach that cost no more than none; targets count as `cells` has sorted them.

    Parameters
    ----------
    sources : float array, shape (n, 3)
        Where the followed particles are expected.
    gaps : int array, shape (n,)
        Row of each in `costs`.
    cells : Cells
        No narrower than the longest reach.
    costs : Costs
    """
    first = np.zeros(len(sources) + 1, dtype=np.int64)
    target = np.empty(4 * len(sources) + 16, dtype=np.int64)
    cost = np.empty(len(target))
    # A literal 0 would be a type of its own, and the function compiled for it too.
    none: int = np.int64(0)  # type: ignore[assignment]
    complete = _fill(none, sources, gaps, cells, costs, Candidates(first, target, cost, costs.null))
    while complete < len(sources):
        target, cost = np.append(target, target), np.append(cost, cost)
        complete = _fill(complete, sources, gaps, cells, costs, Candidates(first, target, cost, costs.null))
    found = first[-1]
    return Candidates(first, target[:found], cost[:found], costs.null[gaps])


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(
    start: int, sources: Floats, gaps: Integers, cells: Cells, costs: Costs, candidates: Candidates
) -> int:
    """Write the candidates of the sources from `start` on; return the source that found no room any more.

    One loop on unpacked arrays that are never replaced: anything else costs more than the work itself.
    """
    low, edge, (n_x, n_y, n_z), begin, _, points = cells
    reaches, nulls, table = costs
    first, target, cost, _ = candidates
    n_bins = table.shape[1] - 1
    found = first[start]
    for i in range(start, len(sources)):
        gap = gaps[i]
        limit, null = reaches[gap] ** 2, nulls[gap]
        x, y, z = sources[i, 0], sources[i, 1], sources[i, 2]
        x0, x1 = cells_around(x, low[0], 1.0 / edge, n_x)
        y0, y1 = cells_around(y, low[1], 1.0 / edge, n_y)
        z0, z1 = cells_around(z, low[2], 1.0 / edge, n_z) if n_z > 1 else (0, 1)
        for cell_y in range(y0, y1):
            for cell_z in range(z0, z1):
                # Cells that follow each other along x are one stretch of points.
                row = (cell_y * n_z + cell_z) * n_x
                if found + begin[row + x1] - begin[row + x0] > len(target):
                    return i
                for k in range(begin[row + x0], begin[row + x1]):
                    dx, dy, dz = points[k, 0] - x, points[k, 1] - y, points[k, 2] - z
                    square = dx * dx + dy * dy + dz * dz
                    if square > limit:
                        continue
                    place = square / limit * n_bins
                    left = min(int(place), n_bins - 1)
                    price = table[gap, left] + (place - left) * (table[gap, left + 1] - table[gap, left])
                    if price <= null:
                        target[found], cost[found] = k, price
                        found += 1
        first[i + 1] = found
    return len(sources)


@njit(cache=True, nogil=True, error_model="numpy")
def cells_around(place: float, low: float, per_edge: float, n_cells: int) -> tuple[int, int]:
    """First cell along one axis that a link from `place` may end in, and the one after the last."""
    # In floating point until it is known to be inside: a far point's cell may exceed any integer.
    cell = np.floor((place - low) * per_edge)
    if cell < -1.0 or cell > n_cells:
        return 0, 0
    return max(int(cell) - 1, 0), min(int(cell) + 2, n_cells)


@njit(cache=True, nogil=True)
def sort_into_cells(points: Floats, reach: float) -> Cells:
    """Sort points, shape (m, 3), into cells as wide as the reach; wider where cells would outnumber points by far."""
    n = len(points)
    low, high = np.empty(3), np.empty(3)
    for a in range(3):
        low[a], high[a] = points[:, a].min(), points[:, a].max()
    edge = reach
    while np.prod(np.floor((high - low) / edge) + 1.0) > 4.0 * n + 64.0:
        edge *= 1.5
    n_x, n_y, n_z = (np.floor((high - low) / edge) + 1.0).astype(np.int64)
    cell = np.empty(n, dtype=np.int64)
    first = np.zeros(n_x * n_y * n_z + 1, dtype=np.int64)
    per_edge = 1.0 / edge
    for j in range(n):
        x = min(int((points[j, 0] - low[0]) * per_edge), n_x - 1)
        y = min(int((points[j, 1] - low[1]) * per_edge), n_y - 1)
        z = min(int((points[j, 2] - low[2]) * per_edge), n_z - 1)
        cell[j] = (y * n_z + z) * n_x + x
        first[cell[j] + 1] += 1
    for c in range(len(first) - 1):
        first[c + 1] += first[c]
    fill = first[:-1].copy()
    order = np.empty(n, dtype=np.int64)
    placed = np.empty((n, 3))
    for j in range(n):
        k = fill[cell[j]]
        fill[cell[j]] += 1
        order[k] = j
        for a in range(3):
            placed[k, a] = points[j, a]
    return Cells(low, edge, (n_x, n_y, n_z), first, order, placed)
