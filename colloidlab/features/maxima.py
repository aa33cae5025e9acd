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
    before, after = max(side - 1, 0) // 2, side // 2
    peaks = _collect(levels, _highest(levels, peak_px, peak_px, least), 0, peak_px)
    return Maxima(_collect(levels, _highest(levels, before, after, least), margin, 0), peaks)


def _highest(levels: np.ndarray, before: int, after: int, least: int) -> np.ndarray:
    """True for the pixels above `least` that none in the square around them exceeds; overwritten by the next call."""
    window = np.ones((before + after + 1, before + after + 1), np.uint8)
    largest, high = scratch("largest", levels.shape, levels.dtype), scratch("high", levels.shape, np.bool_)
    above = scratch("above", levels.shape, np.bool_)
    cv2.dilate(levels, window, dst=largest, anchor=(before, before))
    np.equal(levels, largest, out=high)
    return np.logical_and(high, np.greater(levels, least, out=above), out=high)


def _collect(levels: np.ndarray, high: np.ndarray, margin: int, plateau: int) -> np.ndarray:
    """Row and column of what is high, no nearer to an edge than `margin`; see `_gather_high`."""
    found = scratch("found", (levels.size // 4 + 16, 2), np.int32)
    n = _gather_high(levels, high.reshape(-1).view(np.uint8), margin, plateau, found)
    return found[:n].copy()


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
def _gather_high(levels: np.ndarray, high: np.ndarray, margin: int, plateau: int, found: np.ndarray) -> int:
    """Write the places of what is high; where `plateau` is not 0, only the first one within so many pixels."""
    height, width = levels.shape
    # Eight pixels at a time: few are high.
    eights = high[: len(high) // 8 * 8].view(np.uint64)
    n = 0
    for k in range(len(eights) + 1):
        if k < len(eights) and eights[k] == 0:
            continue
        for i in range(8 * k, min(8 * k + 8, len(high))):
            if not high[i] or n == len(found):
                continue
            y, x = i // width, i % width
            inside = margin <= y < height - margin and margin <= x < width - margin
            if inside and (plateau == 0 or _is_first(levels, y, x, plateau)):
                found[n, 0], found[n, 1] = y, x
                n += 1
    return n


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
