"""Which particles are in two frames that are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from colloidlab.errors import InputError
from colloidlab.indicators.trajectories import Integers, Snapshots
from colloidlab.progress import Monitor


@dataclass(frozen=True)
class FramePair:
    """Two snapshots and who is in both.

    Parameters
    ----------
    reference, current : int
        Places of the two in the list of snapshots.
    there, here : int array, shape (n_common,)
        Rows of the particles that are in both, in the reference and in the current snapshot.
    """

    reference: int
    current: int
    there: Integers
    here: Integers


def frame_pairs(
    shots: Snapshots,
    *,
    lag_frames: int | None,
    reference_frame: int | None,
    monitor: Monitor,
    label: str,
) -> Iterator[FramePair]:
    """Every frame with the one `lag_frames` earlier, or every other frame with `reference_frame`.

    Raises
    ------
    InputError
        Neither or both are given, the lag is shorter than a frame, the reference frame is empty.
    """
    if (lag_frames is None) == (reference_frame is None):
        raise InputError(
            f"{label} compares with an earlier frame: give lag_frames or reference_frame, not both"
        )
    if lag_frames is not None and lag_frames < 1:
        raise InputError(f"the lag of {label} is {lag_frames} frames; it must be at least 1")
    where = {int(frame): k for k, frame in enumerate(shots.frames)}
    if reference_frame is not None and where and reference_frame not in where:
        raise InputError(
            f"the reference frame {reference_frame} of {label} holds no particle; choose another"
        )
    for current, frame in enumerate(monitor.track(shots.frames, label)):
        reference = (
            where.get(int(frame) - lag_frames) if lag_frames is not None else where[reference_frame or 0]
        )
        if reference is None or reference == current:
            continue
        before, after = shots.particles[reference], shots.particles[current]
        place = np.minimum(np.searchsorted(before, after), before.size - 1)
        here = np.flatnonzero(before[place] == after)
        yield FramePair(reference, current, place[here], here)
