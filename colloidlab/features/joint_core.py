"""The cores of particles alone, for images of which one template is only nearly true.

Weights from the noise of the camera are right when the template leaves nothing but noise. Where it leaves more
(light of touching rims that does not add up, video compression), the rims, which are dark and so have little noise,
would decide with their misfit. There the pixels of the cores count alike, and those between them hardly.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

CORE = 0.8
"""Radius of a core, in scales; neighbours in contact do not reach into it with their own."""
_RIM = 0.02
"""Weight of the other pixels, which still hold what is cut off by an edge or has lost its core."""


def core_weights(residual: np.ndarray, weight: np.ndarray, particles: np.ndarray) -> np.ndarray:
    """Weights that are even inside the cores, in the unit in which chi-square of the cores is one.

    Parameters
    ----------
    residual, weight : float32 array, shape (height, width)
        Of the fit; pixels of weight 0 keep it.
    particles : float array, shape (n, 4)
        x, y, amplitude, scale.

    Returns
    -------
    float32 array, shape (height, width)
    """
    inside = np.zeros(residual.shape, dtype=np.bool_)
    _mark(inside, particles, CORE)
    used = inside & (weight > 0)
    if not used.any():
        return weight
    even = 1.0 / max(float(np.mean(residual[used].astype(float) ** 2)), 1e-12)
    return np.where(weight > 0, np.where(inside, even, _RIM * even), 0.0).astype(np.float32)


@njit(cache=True, nogil=True)
def _mark(inside: np.ndarray, particles: np.ndarray, core: float) -> None:
    height, width = inside.shape
    for k in range(len(particles)):
        x, y, reach = particles[k, 0], particles[k, 1], core * particles[k, 3]
        for row in range(max(0, math.ceil(y - reach)), min(height - 1, math.floor(y + reach)) + 1):
            half = math.sqrt(max(reach * reach - (row - y) ** 2, 0.0))
            for column in range(max(0, math.ceil(x - half)), min(width - 1, math.floor(x + half)) + 1):
                inside[row, column] = True
