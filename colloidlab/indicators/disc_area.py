"""How much of a disc or ball lies inside a rectangle: the correction of local counts at the edge of the view."""

from __future__ import annotations

import numba
import numpy as np

from colloidlab.indicators.trajectories import Floats

_SLICES = 32


def disc_in_rectangle(centres: Floats, radius: Floats | float, lower: Floats, sides: Floats) -> Floats:
    """Area of discs, or volume of balls, inside an upright rectangle.

    Exact in two dimensions. In three the areas of slices are integrated numerically, to about 1e-4 of the ball.

    Parameters
    ----------
    centres : float array, shape (n, D)
        Anywhere.
    radius : float or float array, shape (n,)
    lower, sides : float array, shape (D,)

    Returns
    -------
    volume : float array, shape (n,)

    Examples
    --------
    >>> corner = disc_in_rectangle(np.array([[0.0, 0.0]]), 1.0, np.zeros(2), np.full(2, 5.0))
    >>> np.isclose(corner, np.pi / 4)
    array([ True])
    """
    radius = np.broadcast_to(np.asarray(radius, dtype=np.float64), centres.shape[:1])
    nodes, weights = np.polynomial.legendre.leggauss(_SLICES)
    return _volumes(lower - centres, lower + sides - centres, radius, nodes, weights)


@numba.njit(cache=True, nogil=True)
def _volumes(before: Floats, after: Floats, radius: Floats, nodes: Floats, weights: Floats) -> Floats:
    """Around the origin, between the corners `before` and `after`, shape (n, D) each."""
    out = np.zeros(radius.size)
    for i in range(radius.size):
        r = radius[i]
        if before.shape[1] == 2:
            out[i] = _area(before[i], after[i], r)
            continue
        if (before[i] <= -r).all() and (after[i] >= r).all():
            out[i] = 4 / 3 * np.pi * r**3
            continue
        # Slices equally spaced in the angle from the pole: their number near the poles makes up for the square root.
        low = np.arcsin(min(max(before[i, 2] / r, -1.0), 1.0))
        high = np.arcsin(min(max(after[i, 2] / r, -1.0), 1.0))
        for k in range(nodes.size):
            slice_radius = r * np.cos(0.5 * (low + high) + 0.5 * (high - low) * nodes[k])
            area = _area(before[i], after[i], slice_radius)
            out[i] += 0.5 * (high - low) * weights[k] * area * slice_radius
    return out


@numba.njit(cache=True, nogil=True)
def _area(before: Floats, after: Floats, radius: float) -> float:
    """Area of the disc around the origin between two corners."""
    x0, x1 = min(max(before[0], -radius), radius), min(max(after[0], -radius), radius)
    y0, y1 = min(max(before[1], -radius), radius), min(max(after[1], -radius), radius)
    whole = _quadrant(x1, y1, radius) - _quadrant(x0, y1, radius)
    return whole - _quadrant(x1, y0, radius) + _quadrant(x0, y0, radius)


@numba.njit(cache=True, nogil=True)
def _quadrant(a: float, b: float, radius: float) -> float:
    """Area of the disc left of x = a and below y = b, both within ± radius."""
    # The line y = b meets the circle at x = ± reach; between them a column ends at the line.
    reach = np.sqrt(max(radius**2 - b**2, 0.0))
    within = min(max(a, -reach), reach)
    middle = _below(within, radius) - _below(-reach, radius) + b * (within + reach)
    if b < 0:
        return middle
    # Left and right of the meeting points the columns are whole.
    left = 2 * _below(min(a, -reach), radius)
    right = 2 * (_below(a, radius) - _below(reach, radius)) if a > reach else 0.0
    return left + middle + right


@numba.njit(cache=True, nogil=True)
def _below(t: float, radius: float) -> float:
    """∫ √(R² − x²) dx from −R to t."""
    root = np.sqrt(max(radius**2 - t**2, 0.0))
    ratio = min(max(t / radius, -1.0), 1.0) if radius > 0 else 0.0
    return 0.5 * (t * root + radius**2 * (np.arcsin(ratio) + np.pi / 2))
