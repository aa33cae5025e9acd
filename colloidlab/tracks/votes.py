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
from scipy import ndimage

from colloidlab.tracks.assignment import Floats, Integers
from colloidlab.tracks.candidates import sort_into_cells

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
_CLEAR = 4.0
"""Standard deviations above the other displacements that a peak must reach."""


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
    counts = _vote(before, after, tile[:, 0] * shape[1] + tile[:, 1], int(np.prod(shape)), _REACH * spacing)
    width = 2 * _WINDOW + 1
    near = ndimage.uniform_filter(counts.astype(float), (0, width, width), mode="constant") * width**2
    flat = near.reshape(len(near), -1)
    best, usual = flat.max(axis=1), flat.mean(axis=1)
    peak = np.stack(np.unravel_index(flat.argmax(axis=1), near.shape[1:]), axis=-1) - _BINS
    still = near[:, _BINS, _BINS] >= _AS_GOOD * best
    found = np.where(still[:, None], 0.0, peak * (_REACH * spacing / _BINS)).reshape(*shape, 2)
    clear = (best > usual + _CLEAR * np.sqrt(usual + 1.0)).reshape(*shape)
    return _consistent(np.where(clear[..., None], found, np.nan), spacing)


@njit(cache=True, nogil=True)
def _vote(before: Floats, after: Floats, tile: Integers, n_tiles: int, reach: float) -> Integers:
    """Histogram of the differences of all pairs, by the tile of the first, shape (n_tiles, n, n)."""
    n = 2 * _BINS + 1
    counts = np.zeros((n_tiles, n, n), dtype=np.int64)
    low, edge, (n_x, n_y, n_z), first, _, points = sort_into_cells(after, 1.5 * reach)
    per_bin = _BINS / reach
    for i in range(len(before)):
        x, y = before[i, 0], before[i, 1]
        x0 = int(max((x - low[0]) / edge - 1.0, 0.0))
        x1 = int(min((x - low[0]) / edge + 2.0, float(n_x)))
        for cell_y in range(
            int(max((y - low[1]) / edge - 1.0, 0.0)), int(min((y - low[1]) / edge + 2.0, float(n_y)))
        ):
            for cell_z in range(n_z):
                row = (cell_y * n_z + cell_z) * n_x
                for k in range(first[row + x0], first[row + max(x1, x0)]):
                    a = round((points[k, 0] - x) * per_bin) + _BINS
                    b = round((points[k, 1] - y) * per_bin) + _BINS
                    if 0 <= a < n and 0 <= b < n:
                        counts[tile[i], a, b] += 1
    return counts


def _consistent(found: Floats, spacing: float) -> Floats:
    """Replace tiles that have no peak, or one that disagrees with all around it, by the median around them."""
    out = found.copy()
    for a in range(2):
        around = ndimage.generic_filter(found[..., a], _middle, size=3, mode="constant", cval=np.nan)
        wrong = ~(np.abs(found[..., a] - around) < 0.5 * spacing)
        out[..., a] = np.where(wrong, around, found[..., a])
    out[np.isnan(out).any(axis=-1)] = 0.0
    return out


def _middle(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else np.nan
