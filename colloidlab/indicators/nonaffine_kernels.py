"""The compiled loop behind D²min, one particle after the other.

The sides of the box come as a tuple: its length, the number of dimensions, is known when the loop is
compiled, and so the loops over components cost nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from colloidlab.indicators.trajectories import Floats

LEAST_SHAPE = 1e-6
"""Least det Y / (tr Y / D)^D, 1 for a neighbourhood that is round and 0 for one on a line."""


def open_or_periodic(box: Floats | None, n_dim: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Sides of the box and their inverses as the kernels want them: both 0 without a box."""
    if box is None:
        return (0.0,) * n_dim, (0.0,) * n_dim
    return tuple(float(side) for side in box), tuple(1 / float(side) for side in box)


@njit(cache=True, nogil=True)
def image(separation: float, side: float, inverse: float) -> float:
    """Separation to the nearest periodic image."""
    return separation - side * np.rint(separation * inverse)


@njit(cache=True, nogil=True)
def both_seen(reference, current):  # type: ignore[no-untyped-def]
    """Rows that are finite in both."""
    present = np.ones(reference.shape[0], np.bool_)
    for i in range(reference.shape[0]):
        for a in range(reference.shape[1]):
            present[i] &= np.isfinite(reference[i, a]) and np.isfinite(current[i, a])
    return present


@njit(cache=True, nogil=True)
def fit_rows(reference, current, start, neighbour, sides, inverse):  # type: ignore[no-untyped-def]
    """Residuals (n,), strains and maps (n, D, D), numbers of neighbours (n,); see `affine_fit`."""
    n_dim = len(sides)
    n = reference.shape[0]
    present = both_seen(reference, current)
    residual = np.full(n, np.nan)
    maps = np.full((n, n_dim, n_dim), np.nan)
    strain = np.full((n, n_dim, n_dim), np.nan)
    number = np.zeros(n, np.int64)
    cross, shape = np.empty((n_dim, n_dim)), np.empty((n_dim, n_dim))
    most = np.max(np.diff(start)) if n else 0
    before, after = np.empty((most, n_dim)), np.empty((most, n_dim))
    for i in range(n):
        if not present[i]:
            continue
        m = 0
        for k in range(start[i], start[i + 1]):
            j = neighbour[k]
            if present[j]:
                for a in range(n_dim):
                    before[m, a] = image(reference[j, a] - reference[i, a], sides[a], inverse[a])
                    after[m, a] = image(current[j, a] - current[i, a], sides[a], inverse[a])
                m += 1
        number[i] = m
        for a in range(n_dim):
            for b in range(n_dim):
                total = 0.0
                for k in range(m):
                    total += after[k, a] * before[k, b]
                cross[a, b] = total
            for b in range(a + 1):
                total = 0.0
                for k in range(m):
                    total += before[k, a] * before[k, b]
                shape[a, b] = total
        size = 0.0
        for a in range(n_dim):
            size += shape[a, a] / n_dim
        # Square-root free Cholesky decomposition of the shape, in its lower half.
        volume = 1.0
        for a in range(n_dim):
            for c in range(a):
                shape[a, a] -= shape[a, c] ** 2 * shape[c, c]
            volume *= shape[a, a]
            for b in range(a + 1, n_dim):
                for c in range(a):
                    shape[b, a] -= shape[b, c] * shape[a, c] * shape[c, c]
                shape[b, a] /= shape[a, a] if shape[a, a] > 0 else 1.0
        if m <= n_dim or not volume > LEAST_SHAPE * size**n_dim:
            continue
        for a in range(n_dim):
            for b in range(n_dim):
                for c in range(b):
                    cross[a, b] -= shape[b, c] * cross[a, c]
            for b in range(n_dim):
                cross[a, b] /= shape[b, b]
            for b in range(n_dim - 2, -1, -1):
                for c in range(b + 1, n_dim):
                    cross[a, b] -= shape[c, b] * cross[a, c]
            for b in range(n_dim):
                maps[i, a, b] = cross[a, b]
        for a in range(n_dim):
            for b in range(n_dim):
                total = -1.0 if a == b else 0.0
                for c in range(n_dim):
                    total += cross[c, a] * cross[c, b]
                strain[i, a, b] = 0.5 * total
        # The residual is summed bond by bond: as a difference of sums it would lose its digits.
        total = 0.0
        for k in range(m):
            for a in range(n_dim):
                left = after[k, a]
                for b in range(n_dim):
                    left -= cross[a, b] * before[k, b]
                total += left**2
        residual[i] = total
    return residual, strain, maps, number
