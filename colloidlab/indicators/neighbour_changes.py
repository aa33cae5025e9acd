"""Neighbours that a particle has lost and gained over a lag."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import InputError
from colloidlab.indicators.trajectories import Floats, Integers, snapshots
from colloidlab.indicators.triangulation import Region, Triangulation, matching
from colloidlab.progress import SILENT, Monitor

NEIGHBOUR_COLUMNS = ("frame", "particle", "neighbours_lost", "neighbours_gained")


def neighbour_changes(
    before: Triangulation, after: Triangulation, rows_before: Integers, rows_after: Integers
) -> tuple[Floats, Floats]:
    """Delaunay neighbours lost and gained by the particles that are in both of two triangulations.

    Parameters
    ----------
    before, after : Triangulation
    rows_before, rows_after : int array, shape (n_common,)
        Rows of the same particles in either.

    Returns
    -------
    lost, gained : float arrays, shape (n_common,)
        NaN where the neighbours are not certain at both times, or one of them was not
        seen at the other time.
    """
    n = rows_before.size
    old, alone_before = _pairs(before, rows_before)
    new, alone_after = _pairs(after, rows_after)
    known = before.certain[rows_before] & after.certain[rows_after] & ~alone_before & ~alone_after
    counts = []
    for pairs in (np.setdiff1d(old, new, assume_unique=True), np.setdiff1d(new, old, assume_unique=True)):
        number = np.bincount(np.concatenate([pairs // max(n, 1), pairs % max(n, 1)]), minlength=n)
        counts.append(np.where(known, number, np.nan))
    return counts[0], counts[1]


def neighbour_changes_table(
    tracks: pd.DataFrame,
    *,
    lag_frames: int,
    region: Region | None = None,
    box: Floats | None = None,
    triangulations: list[Triangulation] | None = None,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """Delaunay neighbours lost and gained by every particle over a fixed lag.

    Both ends of the lag alone count: a neighbour that left and came back in between has
    not been lost. The counts hold flips by noise and by rattling in a cage; events that
    last are those of `t1_events`.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y in px.
    lag_frames : int
    region : (x0, y0, x1, y1), optional
        Rectangle in which particles are seen [the bounding box of each frame].
    box : float array, shape (2,), optional
        Sides of a periodic box, px.
    triangulations : list of Triangulation, optional
        Of these tracks, from `triangulate_tracks`; region and box are then theirs.
    monitor : Monitor

    Returns
    -------
    DataFrame
        frame (the later one), particle, neighbours_lost, neighbours_gained: Int64, missing where
        they are not known (see `neighbour_changes`). Particles in both frames only.
    """
    if lag_frames < 1:
        raise InputError(f"the lag of neighbour changes is {lag_frames} frames; it must be at least 1")
    shots = snapshots(tracks)
    meshes = matching(shots, triangulations, region=region, box=box, monitor=monitor, label="neighbours")
    where = {int(frame): k for k, frame in enumerate(shots.frames)}
    parts = []
    for later, frame in enumerate(monitor.track(shots.frames, "neighbour changes")):
        earlier = where.get(int(frame) - lag_frames)
        if earlier is None:
            continue
        common, a, b = np.intersect1d(
            shots.particles[earlier], shots.particles[later], assume_unique=True, return_indices=True
        )
        lost, gained = neighbour_changes(meshes[earlier], meshes[later], a, b)
        columns = (np.full(common.size, frame), common, lost, gained)
        parts.append(pd.DataFrame(dict(zip(NEIGHBOUR_COLUMNS, columns))))
    none = pd.DataFrame({c: np.zeros(0, np.int64) for c in NEIGHBOUR_COLUMNS})
    table = pd.concat(parts, ignore_index=True) if parts else none
    return table.astype(dict.fromkeys(NEIGHBOUR_COLUMNS[2:], "Int64"))


def _pairs(mesh: Triangulation, rows: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Pairs of the common particles as one number each, and who has a neighbour that is not common."""
    place = np.full(mesh.n, -1, dtype=np.int64)
    place[rows] = np.arange(rows.size)
    i, j = place[mesh.edges].T
    alone = np.zeros(rows.size + 1, dtype=np.bool_)  # the last place is that of all others
    alone[i[j < 0]] = alone[j[i < 0]] = True
    both = (i >= 0) & (j >= 0)
    low, high = np.minimum(i, j)[both], np.maximum(i, j)[both]
    return low * rows.size + high, alone[:-1]
