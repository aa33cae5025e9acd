"""The compiled loops behind p_hop; symbols as in `hop`.

The rows of all tracks lie one after the other, sorted by particle and then frame, so that the
window around a row is found by walking a few rows back and forth.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from colloidlab.indicators.nonaffine_kernels import LEAST_SHAPE, image
from colloidlab.indicators.trajectories import Floats, Integers

_LARGEST_WEIGHTS = 1.0
"""Most Σ w²: beyond it the neighbours' motion is not averaged but extrapolated to the particle."""


@njit(cache=True, nogil=True)
def hop_rows(  # type: ignore[no-untyped-def]
    values,
    variances,
    frames,
    first,
    last,
    rows,
    start,
    neighbour,
    sides,
    inverse,
    half_width,
    least,
    relative,
):
    """p_hop of some rows of one frame and what noise does to it.

    Parameters
    ----------
    values, variances : float array, shape (n_rows, D)
    frames, first, last : int array, shape (n_rows,)
        Frame of each row; the track that it belongs to has the rows first to last - 1.
    rows : int array, shape (n,)
        Those of the frame.
    start, neighbour : Adjacency
        Among the n.
    sides, inverse : tuple of float
        Of the periodic box; see `open_or_periodic`. The values themselves are not wrapped into it.
    relative : bool
        Whether motion is relative to the neighbours.

    Returns
    -------
    out : float array, shape (n, 4 + 2 D)
        p_hop; variance of p_hop; samples before and after; per axis, variances of the mean place before and
        after.
    """
    n_dim = values.shape[1]
    n_slots = 2 * half_width
    most = np.max(np.diff(start)) if rows.size else 0
    out = np.full((rows.size, 4 + 2 * n_dim), np.nan)
    window = np.empty((most + 1, n_slots), np.int64)
    there = np.empty(most + 1, np.bool_)
    weights = np.zeros(most + 1)
    place, noise = np.empty((n_slots, n_dim)), np.empty((n_slots, n_dim))
    slots = np.empty(n_slots, np.int64)
    bonds, shape = np.empty((most + 1, n_dim)), np.empty((n_dim, n_dim + 1))
    for i in range(rows.size):
        row = rows[i]
        m = np.int64(1)  # a literal is a type of its own: what is called with it would be compiled twice
        _window(frames, first, last, row, half_width, window[0])
        weights[0] = 1.0
        there[0] = True
        if relative:
            for k in range(start[i], start[i + 1]):
                _window(frames, first, last, rows[neighbour[k]], half_width, window[m])
                there[m] = True
                m += 1
        n_before, n_after = _choose_slots(window, there, m, least, slots)
        if n_before < least or n_after < least:
            continue
        if relative and not _affine_weights(
            values, window, there, m, half_width, sides, inverse, weights, bonds, shape
        ):
            continue
        for s in range(n_before + n_after):
            for d in range(n_dim):
                place[s, d] = 0.0
                noise[s, d] = 0.0
                for k in range(m):
                    if there[k]:
                        place[s, d] += weights[k] * values[window[k, slots[s]], d]
                        noise[s, d] += weights[k] ** 2 * variances[window[k, slots[s]], d]
        _hop(place, noise, n_before, n_after, out[i])
    return out


@njit(cache=True, nogil=True)
def _window(frames, first, last, row, half_width, slots):  # type: ignore[no-untyped-def]
    """Rows of the same track from `half_width` frames before to `half_width` - 1 after; -1 where absent."""
    slots[:] = -1
    begin = frames[row] - half_width
    k = row
    while k >= first[row] and frames[k] >= begin:
        slots[frames[k] - begin] = k
        k -= 1
    k = row + 1
    while k < last[row] and frames[k] < begin + 2 * half_width:
        slots[frames[k] - begin] = k
        k += 1


@njit(cache=True, nogil=True)
def _choose_slots(window, there, m, least, slots):  # type: ignore[no-untyped-def]
    """Frames in which the particle and all its neighbours are seen.

    Where these are too few, the neighbour that is missing most often is no longer one.
    """
    n_slots = slots.size
    while True:
        n, n_before = 0, 0
        for s in range(n_slots):
            whole = True
            for k in range(m):
                if there[k] and window[k, s] < 0:
                    whole = False
                    break
            if whole:
                slots[n] = s
                n += 1
                if s < n_slots // 2:
                    n_before += 1
        if n_before >= least and n - n_before >= least:
            return n_before, n - n_before
        worst, most = 0, 0
        for k in range(1, m):
            if there[k]:
                missing = 0
                for s in range(n_slots):
                    if window[k, s] < 0 and window[0, s] >= 0:
                        missing += 1
                if missing > most:
                    worst, most = k, missing
        if most == 0:
            return n_before, n - n_before
        there[worst] = False


@njit(cache=True, nogil=True)
def _affine_weights(  # type: ignore[no-untyped-def]
    values, window, there, m, now, sides, inverse, weights, bonds, shape
):
    """Weights 1 and -w_j, with Σ w_j = 1 and Σ w_j r_j = r_i at the central frame and least Σ w².

    False where the neighbours are too few, lie on a line or plane, or all on one side. `bonds` (m, D)
    and `shape` (D, D + 1) are room to work in.
    """
    n_dim = values.shape[1]
    own = window[0, now]
    n = 0
    shape[:] = 0.0
    # Row 0 of the bonds: from the particle to the middle of its neighbours; then from there to each.
    bonds[0] = 0.0
    for k in range(1, m):
        if there[k]:
            n += 1
            for d in range(n_dim):
                # Which image of the neighbour it is changes its place by a constant, which is no part of p_hop.
                bonds[k, d] = image(values[window[k, now], d] - values[own, d], sides[d], inverse[d])
                bonds[0, d] += bonds[k, d]
    if n <= n_dim:
        return False
    for d in range(n_dim):
        bonds[0, d] /= n
        shape[d, n_dim] = -bonds[0, d]
    for k in range(1, m):
        if there[k]:
            for a in range(n_dim):
                bonds[k, a] -= bonds[0, a]
            for a in range(n_dim):
                for b in range(n_dim):
                    shape[a, b] += bonds[k, a] * bonds[k, b]
    if not _solve(shape):
        return False
    squared = 0.0
    for k in range(1, m):
        weights[k] = 0.0
        if there[k]:
            weights[k] = -1.0 / n
            for d in range(n_dim):
                weights[k] -= shape[d, n_dim] * bonds[k, d]
            squared += weights[k] ** 2
    return squared <= _LARGEST_WEIGHTS


@njit(cache=True, nogil=True)
def _solve(system):  # type: ignore[no-untyped-def]
    """Eliminate in place: the last column becomes the solution. False where the shape is nearly flat."""
    n_dim = system.shape[0]
    size, volume = 0.0, 1.0
    for a in range(n_dim):
        size += system[a, a] / n_dim
    for a in range(n_dim):
        volume *= system[a, a]
        if not system[a, a] > 0:
            return False
        for b in range(n_dim):
            if b != a:
                factor = system[b, a] / system[a, a]
                for c in range(a, n_dim + 1):
                    system[b, c] -= factor * system[a, c]
    for a in range(n_dim):
        system[a, n_dim] /= system[a, a]
    return volume > LEAST_SHAPE * size**n_dim


@njit(cache=True, nogil=True)
def _hop(place, noise, n_before, n_after, out):  # type: ignore[no-untyped-def]
    n_dim = place.shape[1]
    n = n_before + n_after
    before, after = np.zeros(n_dim), np.zeros(n_dim)
    noise_before, noise_after = np.zeros(n_dim), np.zeros(n_dim)
    for s in range(n):
        for d in range(n_dim):
            if s < n_before:
                before[d] += place[s, d] / n_before
                noise_before[d] += noise[s, d] / n_before
            else:
                after[d] += place[s, d] / n_after
                noise_after[d] += noise[s, d] / n_after
    X, Y = 0.0, 0.0
    for s in range(n):
        for d in range(n_dim):
            if s < n_before:
                X += (place[s, d] - after[d]) ** 2 / n_before
            else:
                Y += (place[s, d] - before[d]) ** 2 / n_after
    out[0] = np.sqrt(X * Y)
    # p_hop changes as the quadratic form α X + β Y.
    alpha = 0.5 * np.sqrt(Y / X) if X > 0 and Y > 0 else 0.5
    beta = 0.5 * np.sqrt(X / Y) if X > 0 and Y > 0 else 0.5
    seen, squared = 0.0, 0.0
    out[2], out[3] = n_before, n_after
    for d in range(n_dim):
        step = after[d] - before[d]
        for s in range(n):
            if s < n_before:
                change = (alpha * (place[s, d] - after[d]) - beta * step) / n_before
            else:
                change = (beta * (place[s, d] - before[d]) + alpha * step) / n_after
            seen += change**2 * noise[s, d]
        u, v = noise_before[d] / n_before, noise_after[d] / n_after
        squared += (n_before - 1) * (alpha * u) ** 2 + (n_after - 1) * (beta * v) ** 2
        squared += ((alpha + beta) * (u + v)) ** 2
        out[4 + d], out[4 + n_dim + d] = u, v
    out[1] = 2 * squared + 4 * max(seen - squared, 0.0)


@njit(cache=True, nogil=True)
def peaks(hop: Floats, frames: Integers, offsets: Integers, reach: int) -> NDArray[np.bool_]:
    """Rows where a track's p_hop is the largest within `reach` frames; of equals the first."""
    found = np.zeros(hop.size, np.bool_)
    for track in range(offsets.size - 1):
        for row in range(offsets[track], offsets[track + 1]):
            top = not np.isnan(hop[row])
            k = row - 1
            while top and k >= offsets[track] and frames[row] - frames[k] <= reach:
                top = not hop[k] >= hop[row]
                k -= 1
            k = row + 1
            while top and k < offsets[track + 1] and frames[k] - frames[row] <= reach:
                top = not hop[k] > hop[row]
                k += 1
            found[row] = top
    return found
