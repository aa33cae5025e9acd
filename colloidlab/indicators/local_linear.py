"""Linear fits to scattered values in round neighbourhoods, weighted by distance.

At a place c the values near it are fitted by v(x) = v_c + G (x − c), with weights (1 − r²/h²)² that vanish
smoothly at the radius h. The fit is exact for affine fields, also beside an edge. Where the field
bends, v_c is off by h²/16 ∇²v in two dimensions and h²/18 ∇²v in three.

| symbol | name |
|---|---|
| h | radius |
| X = (1, (x − c)/h) | offset, without the leading 1 |
| A = Σ w X Xᵀ, B = Σ w² X Xᵀ | normal, second |

References
----------
Fan & Gijbels, Local Polynomial Modelling and its Applications (1996), section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from colloidlab.indicators.cells import Cells, points_near
from colloidlab.indicators.trajectories import Floats, Integers

_LEAST_SHAPE = 1e-4
"""Least det/(tr/D)^D of the weighted covariance of the places: 1 for a round neighbourhood, 0 for a line."""


_FARTHEST = 4.0
"""Distance of a place from the weighted mean of its points, in their standard deviations along that way: 1.5 beside an
edge, 2 in a corner. Beyond it a fit would be carried on into the void."""


@dataclass(frozen=True)
class Moments:
    """Sums over the neighbourhoods of m places, p = 1 + D.

    Parameters
    ----------
    normal, second : float array, shape (m, p, p)
    right : float array, shape (m, p, D)
        Σ w X vᵀ.
    number : int array, shape (m,)
        Values in the neighbourhood.
    """

    normal: Floats
    second: Floats
    right: Floats
    number: Integers

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.normal + other.normal,
            self.second + other.second,
            self.right + other.right,
            self.number + other.number,
        )


def least_number(n_dim: int) -> int:
    """Values that a fit must have: twice its coefficients."""
    return 2 * (1 + n_dim)


def inverses(sums: Moments) -> tuple[Floats, NDArray[np.bool_]]:
    """A⁻¹, shape (m, p, p), NaN where values are few, nearly on a line or all far to one side; and where it is known."""
    n_dim = sums.right.shape[2]
    weight = np.maximum(sums.normal[:, 0, 0], 1e-300)
    mean = sums.normal[:, 0, 1:] / weight[:, None]
    spread = sums.normal[:, 1:, 1:] / weight[:, None, None] - mean[:, :, None] * mean[:, None, :]
    size = np.trace(spread, axis1=1, axis2=2) / n_dim
    known = (sums.number >= least_number(n_dim)) & (np.linalg.det(spread) > _LEAST_SHAPE * size**n_dim)
    inverse = np.full_like(sums.normal, np.nan)
    inverse[known] = np.linalg.inv(sums.normal[known])
    # The first element of A⁻¹ is (1 + distance²)/Σw.
    known[known] = inverse[known, 0, 0] * weight[known] < 1 + _FARTHEST**2
    inverse[~known] = np.nan
    return inverse, known


def moments(cells: Cells, places: Floats, values: Floats, *, without_itself: bool = False) -> Moments:
    """Sums over the neighbourhoods of m places.

    Parameters
    ----------
    cells : Cells
        Of the points.
    places : float array, shape (m, D)
        Those that are not finite have no neighbours.
    values : float array, shape (n, D)
        One for each of the points, as given.
    without_itself : bool
        The places are the points, and none is a neighbour of itself.
    """
    c = cells
    return Moments(
        *_sum_moments(
            places,
            values,
            without_itself,
            c.points,
            c.order,
            c.first,
            c.low,
            c.size,
            c.shape,
            c.box,
            c.radius,
        )
    )


def sum_residuals(
    cells: Cells, places: Floats, values: Floats, fit: Floats, squares: Floats, scores: Floats
) -> None:
    """Add Σ w r² to `squares`, shape (m, D), and Σ w X r to `scores`, shape (m, p, D), r being what a fit leaves."""
    c = cells
    _sum_residuals(
        places,
        values,
        fit,
        squares,
        scores,
        c.points,
        c.order,
        c.first,
        c.low,
        c.size,
        c.shape,
        c.box,
        c.radius,
    )


@numba.njit(cache=True, nogil=True)
def _sum_moments(
    places: Floats,
    values: Floats,
    without_itself: bool,
    points: Floats,
    order: Integers,
    first: Integers,
    low: Floats,
    size: Floats,
    shape: Integers,
    box: Floats,
    radius: float,
) -> tuple[Floats, Floats, Floats, Integers]:
    m, n_dim = places.shape
    p = 1 + n_dim
    normal, second, right = np.zeros((m, p, p)), np.zeros((m, p, p)), np.zeros((m, p, n_dim))
    number = np.zeros(m, dtype=np.int64)
    # One row more: the candidate that is looked at before it is known to be near.
    rows, offsets = np.empty(order.size + 1, dtype=np.int64), np.empty((order.size + 1, p + 1))
    for i in range(m):
        found = points_near(places[i], points, first, low, size, shape, box, radius, rows, offsets)
        for k in range(found):
            j = order[rows[k]]
            if without_itself and i == j:
                continue
            number[i] += 1
            w = offsets[k, p]
            for a in range(p):
                wx = w * offsets[k, a]
                for b in range(a + 1):
                    normal[i, a, b] += wx * offsets[k, b]
                    second[i, a, b] += w * wx * offsets[k, b]
                for d in range(n_dim):
                    right[i, a, d] += wx * values[j, d]
        for a in range(p):
            for b in range(a):
                normal[i, b, a] = normal[i, a, b]
                second[i, b, a] = second[i, a, b]
    return normal, second, right, number


@numba.njit(cache=True, nogil=True)
def _sum_residuals(
    places: Floats,
    values: Floats,
    fit: Floats,
    squares: Floats,
    scores: Floats,
    points: Floats,
    order: Integers,
    first: Integers,
    low: Floats,
    size: Floats,
    shape: Integers,
    box: Floats,
    radius: float,
) -> None:
    m, n_dim = places.shape
    p = 1 + n_dim
    rows, offsets = np.empty(order.size + 1, dtype=np.int64), np.empty((order.size + 1, p + 1))
    for i in range(m):
        found = points_near(places[i], points, first, low, size, shape, box, radius, rows, offsets)
        for k in range(found):
            for d in range(n_dim):
                left = values[order[rows[k]], d]
                for a in range(p):
                    left -= fit[i, a, d] * offsets[k, a]
                squares[i, d] += offsets[k, p] * left * left
                for a in range(p):
                    scores[i, a, d] += offsets[k, p] * offsets[k, a] * left
