"""Placing frames on the grid of a constant frame rate, so that a lost frame never shifts the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GAP = 1.5
"""An interval longer than this many usual intervals has lost frames in it."""

TOLERANCE = 0.25
"""How far, in usual intervals, an interval may be from a whole number of them and still fit the grid."""

FITTING = 0.9
"""Fraction of the intervals that must fit for the rate to count as constant."""


@dataclass(frozen=True)
class Placement:
    """Where each delivered frame belongs.

    Parameters
    ----------
    slots : int array, shape (n,)
        Frame index of each delivered frame, strictly increasing, from 0.
    repeated : bool array, shape (n,)
        True where the time stamp equals the one before.
    interval : float or None
        Usual interval in the unit of the time stamps; None when the rate is not constant.
    """

    slots: np.ndarray
    repeated: np.ndarray
    interval: float | None


def place(times: np.ndarray, resolution: float = 0.0) -> Placement:
    """Find the frame index of each time stamp by its distance to the one before.

    Distances are compared with their median one by one: a rounding of the stamps
    or a slow drift of the clock does not add up. Nothing is filled in when the rate
    is not constant, or when more frames would be lost than are there.

    Parameters
    ----------
    times : array, shape (n,)
        Time stamps in any unit; a clock that was set back makes the rate not constant.
    resolution : float
        Smallest step of the time stamps, same unit.

    >>> place(np.array([0.0, 1.0, 2.0, 4.0, 5.0])).slots
    array([0, 1, 2, 4, 5])
    """
    n = len(times)
    order = np.arange(n)
    steps_t = np.diff(np.asarray(times, dtype=float))
    repeated = np.concatenate(([False], steps_t == 0))[:n]
    forward = steps_t[steps_t > 0]
    if not len(forward) or np.any(steps_t < 0):
        return Placement(order, repeated, None)
    interval = float(np.median(forward))
    off_grid = np.abs(forward / interval - np.maximum(1, np.rint(forward / interval)))
    if np.mean(off_grid <= TOLERANCE + resolution / interval) < FITTING:
        return Placement(order, repeated, None)
    if interval < 4 * resolution and np.mean(np.abs(forward - interval) < 0.5 * resolution) < FITTING:
        # Stamps as coarse as this look alike for a lost frame and for rounding.
        return Placement(order, repeated, None)
    steps = np.where(steps_t > GAP * interval, np.rint(steps_t / interval), 1.0)
    # A frame stamped twice and then a gap: the second one took the place of the lost one.
    late = np.flatnonzero(repeated[1:-1] & (steps[1:] > 1)) + 1
    steps[late] -= 1
    if steps.sum() > 2 * (n - 1):
        return Placement(order, repeated, None)
    return Placement(np.concatenate(([0], np.cumsum(steps))).astype(np.int64), repeated, interval)


def chronological(times: np.ndarray) -> np.ndarray:
    """Order in which images must be read so that their time stamps rise; the file's own when that helps nothing.

    Images written out of order belong where their stamps say, if all stamps then make
    one even series. A clock that was set back does not: there the order of the file stands.

    >>> chronological(np.array([0.0, 1.0, 3.0, 2.0, 4.0]))
    array([0, 1, 3, 2, 4])
    """
    as_written = np.arange(len(times))
    if not np.any(np.diff(times) < 0):
        return as_written
    order = np.argsort(times, kind="stable")
    placement = place(times[order])
    return as_written if placement.interval is None or placement.repeated.any() else order


def spread(times: np.ndarray, slots: np.ndarray, n_frames: int) -> np.ndarray:
    """Time stamps for every index, from the first delivered frame; linear where a frame is missing."""
    return np.interp(np.arange(n_frames), slots, np.asarray(times, dtype=float) - float(times[0]))
