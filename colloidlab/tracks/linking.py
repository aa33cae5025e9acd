"""Linking features into tracks.

References
----------
Crocker and Grier, J. Colloid Interface Sci. 179, 298 (1996), for the objective of `link_arrays`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from colloidlab.tracks import checks, costs
from colloidlab.tracks.assignment import Integers
from colloidlab.tracks.chain import follow


def link(
    features: pd.DataFrame, search_range_px: float | Sequence[float], *, memory: int = 0
) -> pd.DataFrame:
    """Give every feature the identity of its particle.

    The links from frame to frame minimise the sum of squared displacements plus R^2 for every particle that
    finds no feature, exactly and however dense the features are: `trackpy.link` gives the same links wherever
    it finishes. Particles compete for `memory` frames more from the place where they were last seen.

    Parameters
    ----------
    features : DataFrame
        Columns frame, x, y (z where there is one); others are kept.
    search_range_px : float or sequence of float
        Farthest move R between two sightings, px; one value, or as trackpy has it one per axis in the order
        (y, x) or (z, y, x).
    memory : int
        Frames that a particle may be absent and keep its identity. Frames that the table lacks count.

    Returns
    -------
    DataFrame
        A copy with `particle` (int64), sorted by frame, with the rows of a frame in the order and with
        the index that they had.

    Raises
    ------
    InputError
        A column is missing, a position is not finite, a frame is not a whole number.
    UsageError
        The range or the memory is impossible.
    """
    names = checks.axes(features)
    frame = checks.whole_frames(features["frame"].to_numpy())
    table = features.assign(frame=frame)
    if (frame[1:] < frame[:-1]).any():
        order = np.argsort(frame, kind="stable")
        table, frame = table.iloc[order], frame[order]
    return table.assign(particle=link_arrays(frame, table[names].to_numpy(), search_range_px, memory=memory))


def link_arrays(
    frame: np.ndarray, positions: np.ndarray, search_range_px: float | Sequence[float], *, memory: int = 0
) -> Integers:
    """Identity of the particle of every row, as `link` finds it, without a table.

    Parameters
    ----------
    frame : int array, shape (n,)
        In any order.
    positions : float array, shape (n, 2) or (n, 3), px
    search_range_px : float or sequence of float
        One value, or one for each column of `positions`.
    memory : int

    Returns
    -------
    int64 array, shape (n,)
        Numbered from 0 in the order of first appearance.

    Raises
    ------
    InputError, UsageError
        As `link`.
    """
    frames = checks.whole_frames(np.asarray(frame))
    points = checks.finite_positions(frames, np.asarray(positions))
    reach, scale = checks.ranges(search_range_px, points.shape[1])
    frames_away = checks.frames_of_memory(memory)
    order = None
    if (frames[1:] < frames[:-1]).any():
        order = np.argsort(frames, kind="stable")
        frames, points = frames[order], points[order]
    particle = follow(frames, points, costs.squared(reach), memory=frames_away, scale=scale).particle
    if order is not None:
        particle[order] = particle.copy()
    return particle
