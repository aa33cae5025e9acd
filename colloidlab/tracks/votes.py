"""Displacement of the neighbourhood of many places between two frames, before any particle is linked.

In a tile that holds a few dozen particles, every pair of positions in the two frames votes for its
difference. The pairs of the same particle agree; all others are spread out. The peak is the displacement of
the tile however far it is in units of the spacing: particle image velocimetry on positions.

References
----------
Adrian and Westerweel, Particle Image Velocimetry, Cambridge (2011), chapter 8.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from colloidlab.tracks.assignment import Floats, Integers
from colloidlab.tracks.candidates import cells_around, sort_into_cells

_PER_TILE = 50
_MOST_TILES = 24
"""Along an axis."""
_REACH = 2.0
"""Farthest displacement in units of the spacing."""
_BINS = 20
"""On either side of zero."""
_WINDOW = 2
"""Bins on either side that count as one displacement: a quarter of the spacing."""
_AS_GOOD = 0.7
"""Share of the highest count with which a smaller displacement is preferred: a lattice agrees with every one
of its vectors."""
_CLEAR = 6.0
"""Standard deviations by which a peak must exceed the mean of all displacements, and"""
_TIMES = 2.5
"""how many times as high it must be: near the edges of the view the mean is less than the usual."""


def tiles(n_particles: float, extent: Floats) -> Integers:
    """Tiles along x and y, of about 50 particles each."""
    edge = np.sqrt(max(float(np.prod(extent)), 1e-12) * _PER_TILE / max(n_particles, 1.0))
    return np.clip((extent / max(edge, 1e-12)).astype(np.int64), 1, _MOST_TILES)


def tile_displacements(before: Floats, after: Floats, low: Floats, extent: Floats, spacing: float) -> Floats:
    """Displacement of every tile between two frames, px.

    Parameters
    ----------
    before, after : float array, shape (n, 3) and (m, 3)
        Positions; z is left out of account.
    low, extent : float array, shape (2,)
        The rectangle that is divided into tiles.
    spacing : float
        Typical distance of the particles.

    Returns
    -------
    float array, shape (n_x, n_y, 2)
        A tile without a clear peak takes the median of its neighbours, or zero.
    """
    shape = tiles(len(before), extent)
    size = extent / shape
    tile = np.clip(((before[:, :2] - low) / size).astype(np.int64), 0, shape - 1)
    number = tile[:, 0] * shape[1] + tile[:, 1]
    # Tile by tile, so that each histogram is filled while it is at hand.
    order = np.argsort(number)
    counts = _vote(before[order], after, number[order], int(np.prod(shape)), _REACH * spacing)
    width = 2 * _WINDOW + 1
    near = ndimage.uniform_filter(counts, (0, width, width), mode="constant") * width**2
    flat = near.reshape(len(near), -1)
    best, usual = flat.max(axis=1), flat.mean(axis=1)
    peak = np.stack(np.unravel_index(flat.argmax(axis=1), near.shape[1:]), axis=-1) - _BINS
    still = near[:, _BINS, _BINS] >= _AS_GOOD * best
    found = np.where(still[:, None], 0.0, peak * (_REACH * spacing / _BINS)).reshape(*shape, 2)
    clear = (best > np.maximum(usual + _CLEAR * np.sqrt(usual + 1.0), _TIMES * usual)).reshape(*shape)
    return _consistent(np.where(clear[..., None], found, np.nan), spacing)


@njit(cache=True, nogil=True, error_model="numpy")
def _vote(before: Floats, after: Floats, tile: Integers, n_tiles: int, reach: float) -> NDArray[np.float32]:
    """Histogram of the differences of all pairs, by the tile of the first, shape (n_tiles, n, n)."""
    n = 2 * _BINS + 1
    counts = np.zeros((n_tiles, n, n), dtype=np.float32)
    low, edge, (n_x, n_y, n_z), first, _, points = sort_into_cells(after, reach + reach / _BINS)
    per_bin = _BINS / reach
    for i in range(len(before)):
        x, y = before[i, 0], before[i, 1]
        x0, x1 = cells_around(x, low[0], 1.0 / edge, n_x)
        y0, y1 = cells_around(y, low[1], 1.0 / edge, n_y)
        for row in range(y0 * n_z, y1 * n_z):
            for k in range(first[row * n_x + x0], first[row * n_x + x1]):
                a = int((points[k, 0] - x) * per_bin + n / 2.0)
                b = int((points[k, 1] - y) * per_bin + n / 2.0)
                if 0 <= a < n and 0 <= b < n:
                    counts[tile[i], a, b] += 1
    return counts


def _consistent(found: Floats, spacing: float) -> Floats:
    """Replace tiles that have no peak, or one that disagrees with all around it, by the median around them."""
    n_x, n_y = found.shape[:2]
    padded = np.pad(found, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    around = np.stack([padded[i : i + n_x, j : j + n_y] for i in range(3) for j in range(3)])
    middle = np.zeros_like(found)
    known = np.isfinite(around).any(axis=0)
    middle[known] = np.nanmedian(around[:, known], axis=0)
    agrees = np.all(np.abs(found - middle) < 0.5 * spacing, axis=-1, keepdims=True)
    return np.where(agrees, found, middle)
