"""Points sorted into cells, so that compiled loops find those around any place without a list of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from colloidlab.errors import InputError
from colloidlab.indicators.trajectories import Floats, Integers

_MOST_CELLS = 256
"""Along an axis: a lone particle far away must not make millions of them."""


@dataclass(frozen=True)
class Cells:
    """Points sorted into cells no smaller than the radius, so that neighbours are in the same cell or beside it.

    Parameters
    ----------
    points : float array, shape (n, D)
        In the order of the cells.
    order : int array, shape (n,)
        Index of each in the given array.
    first : int array, shape (n_cells + 1,)
    low, size : float array, shape (D,)
    shape : int array, shape (D,)
    box : float array, shape (D,)
        Zero where it is open.
    radius : float
    """

    points: Floats
    order: Integers
    first: Integers
    low: Floats
    size: Floats
    shape: Integers
    box: Floats
    radius: float


def sort_into_cells(points: Floats, radius: float, box: Floats | None = None) -> Cells:
    """Finite points, ready to be found by their places.

    Raises
    ------
    InputError
        The radius is not positive, or exceeds half the box (images would be ambiguous).
    """
    if not radius > 0:
        raise InputError(f"the radius of the mean flow is {radius}; it must be larger than zero")
    if box is not None and radius > 0.5 * np.min(box):
        raise InputError(
            f"the radius {radius:g} of the mean flow exceeds half the shortest side of the box ({np.min(box):g})"
        )
    whole = np.flatnonzero(np.isfinite(points).all(axis=1))
    points = points[whole] if box is None else points[whole] % box
    n_dim = points.shape[1]
    low = points.min(axis=0) if box is None and whole.size else np.zeros(n_dim)
    extent = np.ptp(points, axis=0) if box is None and whole.size else np.ones(n_dim) if box is None else box
    shape = np.clip(extent / radius, 1, _MOST_CELLS).astype(np.int64)
    if box is not None:
        # Of two cells in a ring each is on both sides of the other.
        shape[shape < 3] = 1
    size = np.maximum(extent / shape, radius)
    index = np.clip(((points - low) / size).astype(np.int64), 0, shape - 1)
    flat = np.ravel_multi_index(tuple(index.T), tuple(shape))
    order = np.argsort(flat, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=int(shape.prod())))])
    sides = np.zeros(n_dim) if box is None else box.astype(np.float64)
    return Cells(points[order], whole[order], first.astype(np.int64), low, size, shape, sides, float(radius))


@numba.njit(cache=True, nogil=True)
def points_near(
    place: Floats,
    points: Floats,
    first: Integers,
    low: Floats,
    size: Floats,
    shape: Integers,
    box: Floats,
    radius: float,
    rows: Integers,
    offsets: Floats,
) -> int:
    """Fill `rows` with the points nearer than the radius, `offsets` with (1, (x − c)/h, weight); how many there are."""
    n_dim = place.size
    found = 0
    cell = np.empty(n_dim, dtype=np.int64)
    for d in range(n_dim):
        if not np.isfinite(place[d]):
            return 0
        along = place[d] - low[d]
        if box[d] > 0:
            along -= box[d] * np.floor(along / box[d])
        cell[d] = min(max(int(np.floor(along / size[d])), 0), shape[d] - 1)
    for neighbour in range(3**n_dim):
        flat, rest, inside = 0, neighbour, True
        for d in range(n_dim):
            shift = rest % 3 - 1
            rest //= 3
            here = cell[d] + shift
            if box[d] > 0 and shape[d] > 1:
                here %= shape[d]
            inside = inside and 0 <= here < shape[d]
            flat = flat * shape[d] + here
        if not inside:
            continue
        for row in range(first[flat], first[flat + 1]):
            square = 0.0
            for d in range(n_dim):
                apart = points[row, d] - place[d]
                if box[d] > 0:
                    apart -= box[d] * np.round(apart / box[d])
                offsets[found, 1 + d] = apart / radius
                square += offsets[found, 1 + d] ** 2
            if square < 1:
                rows[found] = row
                offsets[found, 0] = 1.0
                offsets[found, 1 + n_dim] = (1 - square) ** 2
                found += 1
    return found
