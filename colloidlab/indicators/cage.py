"""Displacement relative to the cage of neighbours: blind to drift, slow flow and long waves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from colloidlab.errors import InputError
from colloidlab.indicators.adjacency import Adjacency, NeighbourRule, find_neighbours
from colloidlab.indicators.frame_pairs import frame_pairs
from colloidlab.indicators.neighbours import minimum_image
from colloidlab.indicators.trajectories import Floats, Integers, snapshots
from colloidlab.progress import SILENT, Monitor


def cage_relative(
    reference: Floats, current: Floats, adjacency: Adjacency, *, box: Floats | None = None
) -> Floats:
    """Displacement of each particle less the mean displacement of its neighbours in the reference.

    Parameters
    ----------
    reference, current : float array, shape (n, D)
        The same particles, row by row; rows with NaN are absent, also as neighbours.
    adjacency : Adjacency
        Of the reference, from `find_neighbours` or `adjacency_of`.
    box : float array, shape (D,), optional
        Sides of a periodic box; displacements are then to the nearest image.

    Returns
    -------
    relative : float array, shape (n, D)
        u_i − ⟨u_j⟩; NaN for particles that are absent or have no neighbour.

    References
    ----------
    Mazoyer, Ebert, Maret & Keim, EPL 88, 66004 (2009), equation 3.

    Examples
    --------
    >>> from colloidlab.indicators.adjacency import adjacency_of
    >>> here = np.array([[0.0, 0], [1, 0], [0, 1]])
    >>> pairs = np.array([[0, 1], [0, 2], [1, 2]])
    >>> cage_relative(here, here + [[0.1, 0], [0, 0], [0, 0]], adjacency_of(pairs, 3)).round(3)
    array([[ 0.1 ,  0.  ],
           [-0.05,  0.  ],
           [-0.05,  0.  ]])
    """
    reference = np.asarray(reference, dtype=np.float64)
    current = np.asarray(current, dtype=np.float64)
    if reference.shape != current.shape or adjacency.start.size != reference.shape[0] + 1:
        raise InputError(
            f"cage-relative displacements need arrays of one shape and their neighbours, not {reference.shape}, "
            f"{current.shape} and the neighbours of {adjacency.start.size - 1} particles"
        )
    moved = minimum_image(current - reference, None if box is None else np.asarray(box, dtype=np.float64))
    return _less_neighbours(np.ascontiguousarray(moved), *adjacency)


def cage_table(
    tracks: pd.DataFrame,
    *,
    cutoff_px: float | None = None,
    lag_frames: int | None = None,
    reference_frame: int | None = None,
    neighbours: NeighbourRule = "cutoff",
    box: Floats | None = None,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """Cage-relative displacement of every particle over a fixed lag, or since one frame.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    cutoff_px, lag_frames, reference_frame, neighbours, box, monitor
        As for `d2min_table`.

    Returns
    -------
    DataFrame
        frame (the later one), particle, cage_dx_px, cage_dy_px[, cage_dz_px]; NaN without neighbours.
    """
    shots = snapshots(tracks)
    sides = None if box is None else np.asarray(box, dtype=np.float64)
    names = [f"cage_d{axis}_px" for axis in ("xyz" if "z" in tracks.columns else "xy")]
    frames, particles = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    moved = [np.zeros((0, len(names)))]
    for pair in frame_pairs(
        shots,
        lag_frames=lag_frames,
        reference_frame=reference_frame,
        monitor=monitor,
        label="cage-relative motion",
    ):
        before = shots.positions[pair.reference]
        after = np.full_like(before, np.nan)
        after[pair.there] = shots.positions[pair.current][pair.here]
        adjacency = find_neighbours(before, neighbours, cutoff=cutoff_px, box=sides)
        moved.append(cage_relative(before, after, adjacency, box=sides)[pair.there])
        particles.append(shots.particles[pair.reference][pair.there])
        frames.append(np.full(pair.there.size, shots.frames[pair.current]))
    table = pd.DataFrame({"frame": np.concatenate(frames), "particle": np.concatenate(particles)})
    return table.assign(**dict(zip(names, np.concatenate(moved).T)))


@njit(cache=True, nogil=True)
def _less_neighbours(moved: Floats, start: Integers, neighbour: Integers) -> Floats:
    n, n_dim = moved.shape
    present = np.ones(n, np.bool_)
    for i in range(n):
        for d in range(n_dim):
            present[i] &= not np.isnan(moved[i, d])
    relative = np.full((n, n_dim), np.nan)
    total = np.empty(n_dim)
    for i in range(n):
        if not present[i]:
            continue
        total[:] = 0.0
        number = 0
        for k in range(start[i], start[i + 1]):
            if present[neighbour[k]]:
                number += 1
                for d in range(n_dim):
                    total[d] += moved[neighbour[k], d]
        if number:
            for d in range(n_dim):
                relative[i, d] = moved[i, d] - total[d] / number
    return relative
