"""Over how many frames a rearrangement is looked for, when the user does not say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.indicators.adjacency import find_neighbours
from colloidlab.indicators.cage import cage_relative
from colloidlab.indicators.displacement import choose_lags
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


def default_lag(tracks: pd.DataFrame, *, spacing_px: float, cutoff_px: float) -> LagChoice:
    """Shortest lag at which particles have moved a tenth of a spacing relative to their neighbours (rms).

    The cage-relative displacement u_i − ⟨u_j⟩ over the neighbours within the cutoff is
    blind to drift and slow flow; where nobody has neighbours the ensemble takes their
    place. The lag is at most a quarter of the recording and 100 frames, and at least 1.
    Ten origins spread over the recording are used.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    spacing_px : float
        Distance of neighbours.
    cutoff_px : float
        Neighbours closer than this at the origin make the cage.
    """
    shots = snapshots(tracks)
    if shots.frames.size < 2:
        return LagChoice(1, "lag of 1 frame, because there are fewer than two frames")
    span = int(shots.frames[-1] - shots.frames[0]) + 1
    longest = int(np.clip(span // 4, 1, LONGEST))
    threshold = (FRACTION * spacing_px) ** 2
    for lag in choose_lags(longest):
        value = _cage_relative_msd(shots, int(lag), cutoff_px)
        if value >= threshold:
            return LagChoice(
                int(lag),
                f"lag of {_frames(int(lag))}, the shortest at which particles have moved {FRACTION:g} of the "
                f"neighbour spacing ({spacing_px:.1f} px) relative to their neighbours (rms)",
            )
    return LagChoice(
        longest,
        f"lag of {_frames(longest)}, the longest allowed (a quarter of the recording, at most {LONGEST}): "
        f"particles never move {FRACTION:g} of the neighbour spacing ({spacing_px:.1f} px) relative to "
        f"their neighbours",
    )


def _frames(n: int) -> str:
    return f"{n} frame" if n == 1 else f"{n} frames"


def _cage_relative_msd(shots: Snapshots, lag: int, cutoff_px: float) -> float:
    """Mean squared displacement relative to the neighbours over a few origins, px²; NaN without data."""
    where = {int(frame): k for k, frame in enumerate(shots.frames)}
    origins = np.flatnonzero(np.isin(shots.frames + lag, shots.frames))
    picked = np.unique(np.linspace(0, max(origins.size - 1, 0), _ORIGINS).astype(int))
    total, number = 0.0, 0
    for first in origins[picked] if origins.size else origins:
        last = where[int(shots.frames[first]) + lag]
        _, a, b = np.intersect1d(
            shots.particles[first], shots.particles[last], assume_unique=True, return_indices=True
        )
        start = shots.positions[first][a]
        relative = _relative_to_neighbours(start, shots.positions[last][b], cutoff_px)
        total += float(np.sum(relative**2))
        number += relative.shape[0]
    return total / number if number else float("nan")


def _relative_to_neighbours(start: Floats, end: Floats, cutoff_px: float) -> Floats:
    adjacency = find_neighbours(start, "cutoff", cutoff=cutoff_px)
    if not adjacency.neighbour.size:
        # A dilute gas has no cages: what counts is motion relative to the whole.
        moved = end - start
        return moved - moved.mean(axis=0) if moved.size else moved
    relative = cage_relative(start, end, adjacency)
    return relative[np.isfinite(relative).all(axis=1)]
