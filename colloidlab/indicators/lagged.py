"""Averages over all pairs of positions of a particle that are a given time apart."""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np

from colloidlab.indicators.trajectories import Floats, Integers, Trajectories

_PIECE = 16384
"""Pairs that are measured at a time."""

Measure = Callable[[Floats, Floats], Floats]
"""(earlier, later) values, shape (n, D) each -> what is averaged, shape (n, m)."""


def rows_apart(tracks: Trajectories, lag: int) -> tuple[Integers, Integers]:
    """Rows (earlier, later) of the same track exactly `lag` frames apart, whatever is missing in between."""
    return _rows_apart(tracks.frames, tracks.offsets, lag)


@numba.njit(cache=True, nogil=True)
def _rows_apart(frames: Integers, offsets: Integers, lag: int) -> tuple[Integers, Integers]:
    first = np.empty(frames.size, dtype=np.int64)
    second = np.empty(frames.size, dtype=np.int64)
    n = 0
    for track in range(offsets.size - 1):
        later, end = offsets[track], offsets[track + 1]
        for row in range(offsets[track], end):
            wanted = frames[row] + lag
            while later < end and frames[later] < wanted:
                later += 1
            if later == end:
                break
            if frames[later] == wanted:
                first[n], second[n] = row, later
                n += 1
    return first[:n], second[:n]


def lagged_sums(
    tracks: Trajectories, lags: Integers, measure: Measure, groups: Integers, n_groups: int
) -> tuple[Floats, Floats]:
    """Sums of a measure over all pairs of rows a lag apart, per group of the earlier row, and numbers of pairs.

    Parameters
    ----------
    tracks : Trajectories
    lags : int array, shape (n_lags,), frames
    measure : callable
    groups : int array, shape (n_rows,)
        Block to which a pair that begins at the row belongs.
    n_groups : int

    Returns
    -------
    sums : float array, shape (n_groups, m, n_lags)
    counts : float array, shape (n_groups, n_lags)
    """
    sums, counts = [], []
    for lag in lags:
        earlier, later = rows_apart(tracks, int(lag))
        owner = groups[earlier]
        # In pieces that stay in the processor's cache.
        for start in range(0, max(earlier.size, 1), _PIECE):
            piece = slice(start, start + _PIECE)
            values = measure(
                tracks.values.take(earlier[piece], axis=0), tracks.values.take(later[piece], axis=0)
            )
            part = np.stack([np.bincount(owner[piece], column, n_groups) for column in values.T], axis=1)
            if start == 0:
                sums.append(part)
            else:
                sums[-1] += part
        counts.append(np.bincount(owner, minlength=n_groups).astype(np.float64))
    return np.stack(sums, axis=2), np.stack(counts, axis=1)


def squared_displacement(earlier: Floats, later: Floats) -> Floats:
    """|r(t + τ) − r(t)|², shape (n, 1)."""
    moved = later - earlier
    return np.einsum("ij,ij->i", moved, moved)[:, None]
