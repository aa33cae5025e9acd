"""Over how many frames a rearrangement is looked for, when the user does not say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.indicators.adjacency import NeighbourRule, find_neighbours
from colloidlab.indicators.cage import cage_relative
from colloidlab.indicators.displacement import choose_lags
from colloidlab.indicators.localisation import localisation_sigma
from colloidlab.indicators.trajectories import Floats, Snapshots, snapshots

FRACTION = 0.1
"""Cage-relative displacement at which cages begin to give way, in neighbour spacings."""

LONGEST = 100
_ORIGINS = 10


@dataclass(frozen=True)
class LagChoice:
    """Lag of D²min in frames, and the sentence that says how it was chosen."""

    lag_frames: int
    reason: str


def default_lag(
    tracks: pd.DataFrame, *, spacing_px: float, cutoff_px: float, neighbours: NeighbourRule = "cutoff"
) -> LagChoice:
    """Shortest lag at which particles have moved a tenth of a spacing relative to their neighbours (rms).

    The cage-relative displacement u_i − ⟨u_j⟩ over the neighbours within the cutoff is
    blind to drift and slow flow; where nobody has neighbours the ensemble takes their
    place. What localisation errors add, where the tracks state them, is taken off.
    The lag is at most a quarter of the recording and 100 frames, and at least 1.
    Ten origins spread over the recording are used.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    spacing_px : float
        Distance of neighbours.
    cutoff_px : float
        Neighbours closer than this at the origin make the cage.
    neighbours : {"cutoff", "delaunay"}
        As for `d2min_table`.
    """
    shots = snapshots(tracks)
    if shots.frames.size < 2:
        return LagChoice(1, "lag of 1 frame, because there are fewer than two frames")
    span = int(shots.frames[-1] - shots.frames[0]) + 1
    longest = int(np.clip(span // 4, 1, LONGEST))
    threshold = (FRACTION * spacing_px) ** 2
    # Of a displacement between two frames, all axes together; none where errors are not stated.
    variance = localisation_sigma(tracks) ** 2
    known = variance[np.isfinite(variance).all(axis=1)]
    noise = 2 * float(known.sum(axis=1).mean()) if len(known) else 0.0
    for lag in choose_lags(longest):
        value = _cage_relative_msd(shots, int(lag), cutoff_px, neighbours, noise)
        if value >= threshold:
            return LagChoice(
                int(lag),
                f"lag of {_frames(int(lag))}, the shortest at which particles have moved {FRACTION:g} of the "
                f"neighbour spacing ({spacing_px:.1f} px) relative to their neighbours (rms)",
            )
    return LagChoice(
        longest,
        f"lag of {_frames(longest)}, the longest allowed (a quarter of the recording, at most {LONGEST}): "
        f"in that time particles move less than {FRACTION:g} of the neighbour spacing ({spacing_px:.1f} px) relative to "
        f"their neighbours (rms)",
    )


def _frames(n: int) -> str:
    return f"{n} frame" if n == 1 else f"{n} frames"


def _cage_relative_msd(
    shots: Snapshots, lag: int, cutoff_px: float, rule: NeighbourRule, noise: float
) -> float:
    """Mean squared displacement relative to the neighbours over a few origins, less noise, px²; NaN without data."""
    where = {int(frame): k for k, frame in enumerate(shots.frames)}
    origins = np.flatnonzero(np.isin(shots.frames + lag, shots.frames))
    picked = np.unique(np.linspace(0, max(origins.size - 1, 0), _ORIGINS).astype(int))
    total, number = 0.0, 0
    for first in origins[picked] if origins.size else origins:
        last = where[int(shots.frames[first]) + lag]
        _, a, b = np.intersect1d(
            shots.particles[first], shots.particles[last], assume_unique=True, return_indices=True
        )
        squares = _relative_squares(
            shots.positions[first][a], shots.positions[last][b], cutoff_px, rule, noise
        )
        total += float(np.sum(squares))
        number += squares.size
    return total / number if number else float("nan")


def _relative_squares(
    start: Floats, end: Floats, cutoff_px: float, rule: NeighbourRule, noise: float
) -> Floats:
    """|u_i − ⟨u_j⟩|² of the particles with neighbours, less what noise makes: 1 + 1/n times that of one displacement."""
    adjacency = find_neighbours(start, rule, cutoff=cutoff_px)
    if not adjacency.neighbour.size:
        # A dilute gas has no cages: what counts is motion relative to the whole.
        moved = end - start
        return np.sum((moved - moved.mean(axis=0)) ** 2, axis=1) - noise if moved.size else np.zeros(0)
    relative = cage_relative(start, end, adjacency)
    number = np.diff(adjacency.start)
    squares = np.sum(relative**2, axis=1) - noise * (1 + 1 / np.maximum(number, 1))
    return np.asarray(squares[np.isfinite(squares)])
