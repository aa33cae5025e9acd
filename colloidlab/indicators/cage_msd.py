"""Mean squared displacement relative to the cage of neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.adjacency import Adjacency, NeighbourRule, find_neighbours
from colloidlab.indicators.bootstrap import band, resample, row_groups
from colloidlab.indicators.cage import cage_relative
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.displacement import choose_lags
from colloidlab.indicators.lagged import rows_apart
from colloidlab.indicators.trajectories import Floats, Integers, trajectories
from colloidlab.progress import SILENT, Monitor

_MOST_ORIGINS = 500
_LAG_SHARE = 4


def cage_msd(
    tracks: pd.DataFrame,
    *,
    lags: Integers | None = None,
    cutoff_px: float | None = None,
    neighbours: NeighbourRule = "cutoff",
    rng: np.random.Generator | None = None,
    monitor: Monitor = SILENT,
) -> Curve:
    """Cage-relative mean squared displacement ⟨|u_i − ⟨u_j⟩|²⟩, neighbours j of each origin in time.

    In two dimensions long waves make the ordinary MSD of a solid grow without end; relative to the
    neighbours it does not. Gaussian localisation errors σ add 2 D σ² (1 + 1/n) with n neighbours.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    lags : int array, optional
        Frames [as `msd`, up to a quarter of the recording]. Lags without any pair are left out.
    cutoff_px, neighbours
        As `cutoff` and `neighbours` of `d2min`.
    rng : numpy Generator, optional
        Resampling; by default the same table always gives the same band.
    monitor : Monitor

    Returns
    -------
    Curve
        x in frames, y in px². Every frame is an origin, of long recordings 500 that are spread evenly.
        Band as for `msd`; neighbours share each other's motion, which it does not know.

    Raises
    ------
    InputError
        No particle keeps a neighbour over any of the lags.

    References
    ----------
    Mazoyer, Ebert, Maret & Keim, EPL 88, 66004 (2009); Illing et al., PNAS 114, 1856 (2017).
    """
    rows = trajectories(tracks)
    if rows.frames.size == 0:
        raise InputError("no particle has a position; find and link the features first")
    span = int(np.ptp(rows.frames)) + 1 if rows.frames.size else 0
    lags = choose_lags(max(span // _LAG_SHARE, 1)) if lags is None else np.asarray(lags, dtype=np.int64)
    if lags.size == 0 or lags.min() < 1:
        raise InputError("the cage-relative MSD needs lags of at least one frame")
    # Frame by frame neighbours lie close together in memory.
    order = np.argsort(rows.frames, kind="stable")
    place = np.argsort(order)
    start, frames = rows.values[order], rows.frames[order]
    adjacency = _neighbours_of_origins(start, frames, neighbours, cutoff_px, monitor)
    groups, n_groups = row_groups(rows, 2 * int(lags.max()))
    groups = groups[order]
    sums, counts = np.zeros((n_groups, lags.size)), np.zeros((n_groups, lags.size))
    for m, lag in enumerate(monitor.track(lags, "cage-relative MSD")):
        earlier, later = rows_apart(rows, int(lag))
        end = np.full_like(start, np.nan)
        end[place[earlier]] = rows.values[later]
        relative = cage_relative(start, end, adjacency)
        squared = np.einsum("nd,nd->n", relative, relative)
        known = np.flatnonzero(~np.isnan(squared))
        sums[:, m] = np.bincount(groups[known], squared[known], n_groups)
        counts[:, m] = np.bincount(groups[known], minlength=n_groups)
    found = counts.sum(axis=0) > 0
    if not found.any():
        raise InputError(
            "no particle keeps a neighbour over any of the lags; link the features or widen the cutoff"
        )
    sums, counts = sums[:, found], counts[:, found]
    y = sums.sum(axis=0) / counts.sum(axis=0)
    samples = resample(sums, counts, rng or np.random.default_rng(0))
    low, high = band(y, samples, np.count_nonzero(counts, axis=0))
    return Curve(lags[found].astype(np.float64), y, low, high, "frame", "px^2")


def _neighbours_of_origins(
    positions: Floats, frames: Integers, rule: NeighbourRule, cutoff_px: float | None, monitor: Monitor
) -> Adjacency:
    """Neighbours of every row among the rows of its frame, sorted by frame; none where no origin is."""
    present = np.unique(frames)
    picked = present[np.unique(np.linspace(0, max(present.size - 1, 0), _MOST_ORIGINS).astype(np.int64))]
    first = np.searchsorted(frames, picked)
    last = np.searchsorted(frames, picked, side="right")
    number = np.zeros(frames.size, dtype=np.int64)
    lists = [np.zeros(0, dtype=np.int64)]
    for a, b in monitor.track(list(zip(first, last)), "neighbours"):
        found = find_neighbours(positions[a:b], rule, cutoff=cutoff_px)
        number[a:b] = np.diff(found.start)
        lists.append(a + found.neighbour)
    return Adjacency(np.concatenate([[0], np.cumsum(number)]), np.concatenate(lists))
