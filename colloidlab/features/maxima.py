"""Brightest pixels of their surroundings, and features that are too close to a heavier one."""

from __future__ import annotations

from dataclasses import dataclass

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
    window = np.array([(side - 1) // 2, side // 2, peak_px])
    found = [scratch(name, (levels.size // 4 + 16, 2), np.int32) for name in ("maxima", "peaks")]
    # In the type of the pixels, or every comparison would widen them.
    least = levels.dtype.type(np.floor(threshold))
    counts = _search(levels, window, least, margin, found[0], found[1])
    maxima, peaks = (array[:n].copy() for array, n in zip(found, counts, strict=True))
    return Maxima(maxima, peaks)


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
def _search(
    levels: np.ndarray,
    window: np.ndarray,
    threshold: int,
    margin: int,
    maxima: np.ndarray,
    peaks: np.ndarray,
) -> tuple[int, int]:
    height, width = levels.shape
    before, after, close = window
    flags = np.zeros((width + 7) // 8 * 8, np.uint8)
    eights = flags.view(np.uint64)
    column = np.empty(width, levels.dtype)
    n = m = 0
    near = min(before, 1), min(after, 1)
    for y in range(height):
        # First against the next pixels only, for a whole row at once: few are left to be looked at closely.
        here = levels[y]
        above, below = levels[max(y - near[0], 0)], levels[min(y + near[1], height - 1)]
        _flag_row(here, above, below, threshold, near[0], near[1], column, flags)
        for k in range(len(eights)):
            if eights[k] == 0:
                continue
            for x in range(8 * k, min(8 * k + 8, width)):
                if not flags[x]:
                    continue
                peak = _is_highest(levels, y, x, close, close)
                if peak and m < len(peaks) and _is_first(levels, y, x, close):
                    peaks[m, 0], peaks[m, 1] = y, x
                    m += 1
                inside = margin <= y < height - margin and margin <= x < width - margin
                # A peak is all that a wider square can hold.
                if inside and (peak or before < close) and _is_highest(levels, y, x, before, after):
                    maxima[n, 0], maxima[n, 1] = y, x
                    n += 1
                    if n == len(maxima):
                        return n, m
    return n, m


@njit(cache=True, nogil=True)
def _flag_row(
    here: np.ndarray,
    above: np.ndarray,
    below: np.ndarray,
    threshold: int,
    left: int,
    right: int,
    column: np.ndarray,
    flags: np.ndarray,
) -> None:
    """Flag pixels above the threshold that none of the pixels around them exceeds."""
    for x in range(len(here)):
        column[x] = max(max(above[x], here[x]), below[x])
        flags[x] = (here[x] > threshold) & (here[x] == column[x])
    if left:
        later, inner = here[1:], flags[1:]
        for x in range(len(later)):
            inner[x] &= later[x] >= column[x]
    if right:
        before = column[1:]
        for x in range(len(before)):
            flags[x] &= here[x] >= before[x]


@njit(cache=True, nogil=True)
def _is_highest(levels: np.ndarray, y: int, x: int, before: int, after: int) -> bool:
    height, width = levels.shape
    value = levels[y, x]
    left, right = max(x - before, 0), min(x + after + 1, width)
    for row in range(max(y - before, 0), min(y + after + 1, height)):
        window = levels[row, left:right]
        higher = False
        for k in range(len(window)):
            higher |= window[k] > value
        if higher:
            return False
    return True


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
