"""Who is whose neighbour, as arrays that compiled loops walk along."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numba import njit
from scipy.spatial import Delaunay, QhullError

from colloidlab.errors import InputError
from colloidlab.indicators.neighbours import minimum_image, pairs_within
from colloidlab.indicators.trajectories import Floats, Integers

NeighbourRule = Literal["cutoff", "delaunay"]


class Adjacency(NamedTuple):
    """Neighbours of every particle, one list after the other (compressed sparse rows).

    Attributes
    ----------
    start : int64 array, shape (n + 1,)
        Particle i has the neighbours neighbour[start[i]] … neighbour[start[i + 1] - 1].
    neighbour : int64 array, shape (n_bonds,)
        Each pair is there twice, once for either end.
    """

    start: Integers
    neighbour: Integers


def adjacency_of(pairs: Integers, n: int) -> Adjacency:
    """Neighbour lists from pairs that are each given once.

    Parameters
    ----------
    pairs : int array, shape (n_pairs, 2)
    n : int
        Number of particles.

    Examples
    --------
    >>> adjacency_of(np.array([[0, 2], [1, 2]]), 3)
    Adjacency(start=array([0, 1, 2, 4]), neighbour=array([2, 2, 0, 1]))
    """
    return Adjacency(*_sort_bonds(np.ascontiguousarray(pairs, dtype=np.int64).reshape(-1, 2), n))


def find_neighbours(
    positions: Floats, rule: NeighbourRule, *, cutoff: float | None, box: Floats | None = None
) -> Adjacency:
    """Neighbours by distance, or by the Delaunay triangulation.

    Parameters
    ----------
    positions : float array, shape (n, D)
        Rows that are not finite have no neighbours.
    rule : {"cutoff", "delaunay"}
    cutoff : float, optional
        In the unit of the positions. The Delaunay triangulation can do without; with it, its longer
        bonds (slivers along the edge) are left out.
    box : float array, shape (D,), optional
        Sides of a periodic box.

    Raises
    ------
    InputError
        Unknown rule, no cutoff where one is needed, a cutoff that does not fit the box.
    """
    if rule == "cutoff":
        if cutoff is None:
            raise InputError("neighbours by distance need a cutoff; give cutoff, or neighbours='delaunay'")
        return adjacency_of(pairs_within(positions, cutoff, box), positions.shape[0])
    if rule != "delaunay":
        raise InputError(f"neighbours are found by 'cutoff' or 'delaunay', not by {rule!r}")
    if cutoff is not None and not cutoff > 0:
        raise InputError(f"the neighbour cutoff is {cutoff}; it must be larger than zero")
    pairs = _delaunay_pairs(positions, box)
    if cutoff is not None:
        bond = minimum_image(positions[pairs[:, 1]] - positions[pairs[:, 0]], box)
        pairs = pairs[np.sum(bond**2, axis=1) <= cutoff**2]
    return adjacency_of(pairs, positions.shape[0])


def _delaunay_pairs(positions: Floats, box: Floats | None) -> Integers:
    if box is not None:
        raise InputError("Delaunay neighbours in a periodic box are not found here; use a cutoff")
    whole = np.flatnonzero(np.isfinite(positions).all(axis=1))
    if whole.size < positions.shape[1] + 2:
        return np.zeros((0, 2), dtype=np.int64)
    points = positions[whole]
    try:
        # Qhull works with absolute tolerances: far from the origin it would lose digits.
        starts, ends = Delaunay(points - points.mean(axis=0)).vertex_neighbor_vertices
    except QhullError:
        return np.zeros((0, 2), dtype=np.int64)  # all on one line or plane
    origin = np.repeat(np.arange(whole.size), np.diff(starts))
    once = origin < ends
    return np.column_stack([whole[origin[once]], whole[ends[once]]]).astype(np.int64)


@njit(cache=True, nogil=True)
def _sort_bonds(pairs: Integers, n: int) -> tuple[Integers, Integers]:
    start = np.zeros(n + 1, np.int64)
    for p in range(pairs.shape[0]):
        start[pairs[p, 0] + 1] += 1
        start[pairs[p, 1] + 1] += 1
    for i in range(n):
        start[i + 1] += start[i]
    place = start[:-1].copy()
    neighbour = np.empty(2 * pairs.shape[0], np.int64)
    for p in range(pairs.shape[0]):
        for end in range(2):
            i = pairs[p, end]
            neighbour[place[i]] = pairs[p, 1 - end]
            place[i] += 1
    return start, neighbour
