"""Brightest pixels of their surroundings, and features that are too close to a heavier one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from colloidlab.features.scratch import scratch

CLOSER = 1 - 1e-7
"""Features that are one separation apart up to rounding both stay, as with trackpy."""


@dataclass(frozen=True)
class Maxima:
    """Bright places of an image.

    Attributes
    ----------
    maxima : int32 array, shape (n, 2)
        Row and column of the pixels that nothing within the separation exceeds.
    peaks : int32 array, shape (m, 2)
        Row and column of the pixels that nothing within a few pixels exceeds; the first one of a plateau.
    """

    maxima: np.ndarray
    peaks: np.ndarray


def local_maxima(
    levels: np.ndarray, separation_px: float, threshold: float, *, margin: int, peak_px: int
) -> Maxima:
    """Pixels above the threshold that no pixel of the square around them exceeds.

    The square is the largest that fits into the circle of the separation, and reaches one pixel farther to the
    right and down where its side is even: both as in trackpy. Peaks are those of a square of +- `peak_px`.

    Parameters
    ----------
    levels : uint8 or uint16 array, shape (height, width)
    margin : int
        Maxima nearer to an edge are left out.
    """
    side = int(2 * separation_px / np.sqrt(2))
    # In the type of the pixels, or every comparison would widen them.
    least = levels.dtype.type(np.floor(threshold))
    peaks = _highest(levels, peak_px, peak_px, least)
    maxima = _highest(levels, max(side - 1, 0) // 2, side // 2, least)
    inside = (maxima >= margin) & (maxima < np.array(levels.shape) - margin)
    return Maxima(maxima[inside.all(axis=1)], peaks[_first(levels, peaks, peak_px)])


def _highest(levels: np.ndarray, before: int, after: int, least: int) -> np.ndarray:
    """Row and column of the pixels above `least` that none in the square around them exceeds, row after row."""
    window = np.ones((before + after + 1, before + after + 1), np.uint8)
    largest, high = scratch("largest", levels.shape, levels.dtype), scratch("high", levels.shape, np.bool_)
    above = scratch("above", levels.shape, np.bool_)
    cv2.dilate(levels, window, dst=largest, anchor=(before, before))
    np.equal(levels, largest, out=high)
    np.logical_and(high, np.greater(levels, least, out=above), out=high)
    rows, columns = np.divmod(np.flatnonzero(high).astype(np.int32), np.int32(levels.shape[1]))
    return np.column_stack([rows, columns])


def too_close(positions: np.ndarray, masses: np.ndarray, separation_px: float) -> np.ndarray:
    """True for features nearer than the separation to a heavier one (of equal ones, the upper left).

    Parameters
    ----------
    positions : float array, shape (n, 2), px
        Row and column.
    masses : float array, shape (n,)
    """
    drop = np.zeros(len(positions), dtype=np.bool_)
    if separation_px > 0 and len(positions):
        _mark_lighter(np.ascontiguousarray(positions), np.ascontiguousarray(masses), separation_px, drop)
    return drop


@njit(cache=True, nogil=True)
def _first(levels: np.ndarray, peaks: np.ndarray, reach: int) -> np.ndarray:
    """True for peaks that are the first pixel of their plateau."""
    first = np.empty(len(peaks), np.bool_)
    for k in range(len(peaks)):
        first[k] = _is_first(levels, peaks[k, 0], peaks[k, 1], reach)
    return first


@njit(cache=True, nogil=True)
def _is_first(levels: np.ndarray, y: int, x: int, reach: int) -> bool:
    """True when no pixel above or to the left in the square is as bright."""
    value = levels[y, x]
    for row in range(max(y - reach, 0), y + 1):
        last = x if row == y else min(x + reach + 1, levels.shape[1])
        for column in range(max(x - reach, 0), last):
            if levels[row, column] == value:
                return False
    return True


@njit(cache=True, nogil=True)
def _mark_lighter(positions: np.ndarray, masses: np.ndarray, separation: float, drop: np.ndarray) -> None:
    n = len(positions)
    limit = separation * CLOSER
    low_y, low_x = positions[:, 0].min(), positions[:, 1].min()
    rows = int((positions[:, 0].max() - low_y) / separation) + 1
    columns = int((positions[:, 1].max() - low_x) / separation) + 1
    head, following = np.full(rows * columns, -1, np.int64), np.empty(n, np.int64)
    for i in range(n):
        cell = int((positions[i, 0] - low_y) / separation) * columns
        cell += int((positions[i, 1] - low_x) / separation)
        following[i] = head[cell]
        head[cell] = i
    for i in range(n):
        row, column = int((positions[i, 0] - low_y) / separation), int((positions[i, 1] - low_x) / separation)
        for r in range(max(row - 1, 0), min(row + 2, rows)):
            for c in range(max(column - 1, 0), min(column + 2, columns)):
                j = head[r * columns + c]
                while j >= 0:
                    if j < i:
                        dy, dx = positions[i, 0] - positions[j, 0], positions[i, 1] - positions[j, 1]
                        if dy * dy + dx * dx <= limit * limit:
                            drop[_lighter(positions, masses, j, i)] = True
                    j = following[j]


@njit(cache=True, nogil=True)
def _lighter(positions: np.ndarray, masses: np.ndarray, first: int, second: int) -> int:
    """The one of the two that goes."""
    if masses[first] != masses[second]:
        return second if masses[first] > masses[second] else first
    sums = positions[first, 0] + positions[first, 1], positions[second, 0] + positions[second, 1]
    return second if sums[0] > sums[1] else first
