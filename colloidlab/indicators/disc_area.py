"""How much of a disc or ball lies inside a rectangle: the correction of local counts at the edge of the view."""

from __future__ import annotations

import numpy as np

from colloidlab.indicators.trajectories import Floats

_SLICES = 64


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
    before, after = lower - centres, lower + sides - centres
    if centres.shape[1] == 2:
        return _area(before, after, radius)
    inside = (before[:, 2] <= -radius) & (after[:, 2] >= radius)
    inside &= (before[:, :2] <= -radius[:, None]).all(axis=1) & (after[:, :2] >= radius[:, None]).all(axis=1)
    out = 4 / 3 * np.pi * radius**3
    cut = np.flatnonzero(~inside)
    # Slices equally spaced in the angle from the pole: their number near the poles makes up for the square root.
    low = np.arcsin(np.clip(before[cut, 2] / radius[cut], -1, 1))
    high = np.arcsin(np.clip(after[cut, 2] / radius[cut], -1, 1))
    nodes, weights = np.polynomial.legendre.leggauss(_SLICES)
    total = np.zeros(cut.size)
    for node, weight in zip(nodes, weights):
        angle = 0.5 * (low + high) + 0.5 * (high - low) * node
        slice_radius = radius[cut] * np.cos(angle)
        area = _area(before[cut, :2], after[cut, :2], slice_radius)
        total += 0.5 * (high - low) * weight * area * slice_radius
    out[cut] = total
    return out


def _area(before: Floats, after: Floats, radius: Floats) -> Floats:
    """Area of discs around the origin between the corners `before` and `after`, shape (n, 2) each."""

    def quadrant(x: Floats, y: Floats) -> Floats:
        return _quadrant(np.clip(x, -radius, radius), np.clip(y, -radius, radius), radius)

    return (
        quadrant(after[:, 0], after[:, 1])
        - quadrant(before[:, 0], after[:, 1])
        - quadrant(after[:, 0], before[:, 1])
        + quadrant(before[:, 0], before[:, 1])
    )


def _quadrant(a: Floats, b: Floats, radius: Floats) -> Floats:
    """Area of the disc left of x = a and below y = b, both within ± radius."""

    def below(t: Floats) -> Floats:
        """∫ √(R² − x²) dx from −R to t."""
        root = np.sqrt(np.maximum(radius**2 - t**2, 0))
        ratio = np.divide(t, radius, out=np.zeros_like(t), where=radius > 0)
        return 0.5 * (t * root + radius**2 * (np.arcsin(np.clip(ratio, -1, 1)) + np.pi / 2))

    # The line y = b meets the circle at x = ± reach; between them a column ends at the line.
    reach = np.sqrt(np.maximum(radius**2 - b**2, 0))
    within = np.clip(a, -reach, reach)
    middle = below(within) - below(-reach) + b * (within + reach)
    sides = 2 * (below(a) - below(within) + below(-reach))
    # Right of the left meeting point only; left of it the column is whole or empty.
    sides = np.where(a < -reach, 2 * below(a), sides)
    return np.asarray(np.where(b >= 0, sides + middle, middle))
