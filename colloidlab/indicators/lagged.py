"""Averages over all pairs of positions of a particle that are a given time apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from colloidlab.indicators.trajectories import Floats, Integers, Trajectories

Measure = Callable[[Floats, Floats], Floats]
"""(earlier, later) values, shape (n, D) each -> what is averaged, shape (n, m)."""


def rows_apart(tracks: Trajectories, lag: int) -> tuple[Integers, Integers]:
    """Rows (earlier, later) of the same track exactly `lag` frames apart, whatever is missing in between."""
    if tracks.frames.size == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    since = tracks.frames - tracks.frames.min()
    # Rows are sorted by track and frame, so this key increases; tracks lie too far apart for a lag to bridge.
    key = tracks.track * (int(since.max()) + lag + 1) + since
    later = np.searchsorted(key, key + lag)
    found = np.flatnonzero(key[np.minimum(later, key.size - 1)] == key + lag)
    return found, later[found]


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
        values = measure(tracks.values[earlier], tracks.values[later])
        owner = groups[earlier]
        sums.append(np.stack([np.bincount(owner, column, n_groups) for column in values.T], axis=1))
        counts.append(np.bincount(owner, minlength=n_groups).astype(np.float64))
    return np.stack(sums, axis=2), np.stack(counts, axis=1)


def squared_displacement(earlier: Floats, later: Floats) -> Floats:
    """|r(t + τ) − r(t)|², shape (n, 1)."""
    return np.sum((later - earlier) ** 2, axis=1, keepdims=True)
