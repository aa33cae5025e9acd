"""Two particles taken for one: told by a scale that wants to grow beyond the population, parted along its length."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from colloidlab.features.joint_kernels import SCALE, X, Y

_APART = 0.7
"""Each half starts so many scales from the middle; particles in contact lie one from it."""


def halves(residual: np.ndarray, weight: np.ndarray, particles: np.ndarray, reach: float) -> np.ndarray:
    """Where the two centres may be of which each particle is the middle.

    Parameters
    ----------
    residual, weight : float32 array, shape (height, width)
        Of a fit that holds the particles as one each.
    particles : float array, shape (n, 4)
        x, y, amplitude, scale.
    reach : float
        Of the template.

    Returns
    -------
    float array, shape (2 n, 2), px
        x, y on both sides of each, along the direction in which the residual has most light far out.
    """
    angle = _long_axis(residual, weight, particles, reach)
    step = (_APART * particles[:, SCALE])[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return np.concatenate([particles[:, :2] - step, particles[:, :2] + step])


@njit(cache=True, nogil=True)
def _long_axis(residual: np.ndarray, weight: np.ndarray, particles: np.ndarray, reach: float) -> np.ndarray:
    """Direction of the quadrupole of the residual around each particle, radians."""
    height, width = residual.shape
    angle = np.zeros(len(particles))
    for k in range(len(particles)):
        x, y, extent = particles[k, X], particles[k, Y], reach * particles[k, SCALE]
        along = across = 0.0
        for row in range(max(0, math.ceil(y - extent)), min(height - 1, math.floor(y + extent)) + 1):
            for column in range(max(0, math.ceil(x - extent)), min(width - 1, math.floor(x + extent)) + 1):
                dx, dy = column - x, row - y
                if dx * dx + dy * dy < extent * extent and weight[row, column] > 0:
                    along += residual[row, column] * (dx * dx - dy * dy)
                    across += residual[row, column] * 2 * dx * dy
        angle[k] = 0.5 * math.atan2(across, along)
    return angle
