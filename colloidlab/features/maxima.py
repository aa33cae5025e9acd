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
    """Bright places of an image; overwritten by the next search in the same thread.

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
    wide = _largest("wide", levels, max(side - 1, 0) // 2, side // 2)
    narrow = _largest("narrow", levels, peak_px, peak_px)
    found = scratch("found", (2, levels.size // 4 + 16, 2), np.int32)
    n_maxima, n_peaks = _gather_high(levels, wide, narrow, least, margin, peak_px, found[0], found[1])
    return Maxima(found[0, :n_maxima], found[1, :n_peaks])


def _largest(name: str, levels: np.ndarray, before: int, after: int) -> np.ndarray:
    """Largest level of the square around every pixel; overwritten by the next call of that name."""
    largest = scratch(name, levels.shape, levels.dtype)
    window = np.ones((before + after + 1, before + after + 1), np.uint8)
    cv2.dilate(levels, window, dst=largest, anchor=(before, before))
    return largest


@njit(cache=True, nogil=True)
def heights(levels: np.ndarray, peaks: np.ndarray, factor: float) -> np.ndarray:
    """x, y and height (level / factor) of peaks; shape (m, 3)."""
    seen = np.empty((len(peaks), 3))
    for k in range(len(peaks)):
        y, x = peaks[k, 0], peaks[k, 1]
        seen[k, 0], seen[k, 1], seen[k, 2] = x, y, levels[y, x] / factor
    return seen


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
def _gather_high(
    levels: np.ndarray,
    wide: np.ndarray,
    narrow: np.ndarray,
    least: int,
    margin: int,
    plateau: int,
    maxima: np.ndarray,
    peaks: np.ndarray,
) -> tuple[int, int]:
    """Write the places of the pixels above `least` that are the largest of the wide and of the narrow square."""
    height, width = levels.shape
    high = np.zeros((width + 7) // 8 * 8, np.uint8)
    eights = high.view(np.uint64)
    n_maxima = n_peaks = 0
    for y in range(height):
        row, most, nearest = levels[y], wide[y], narrow[y]
        for x in range(width):
            high[x] = (row[x] > least) & ((row[x] == most[x]) | (row[x] == nearest[x]))
        # Eight pixels at a time: few are high.
        for k in range(len(eights)):
            if eights[k] == 0:
                continue
            for x in range(8 * k, min(8 * k + 8, width)):
                if not high[x]:
                    continue
                inside = margin <= y < height - margin and margin <= x < width - margin
                if inside and row[x] == most[x] and n_maxima < len(maxima):
                    maxima[n_maxima, 0], maxima[n_maxima, 1] = y, x
                    n_maxima += 1
                if row[x] == nearest[x] and n_peaks < len(peaks) and _is_first(levels, y, x, plateau):
                    peaks[n_peaks, 0], peaks[n_peaks, 1] = y, x
                    n_peaks += 1
    return n_maxima, n_peaks


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
        # Every pair once: earlier features of the same cell, and four of the cells around it.
        _mark_cell(positions, masses, limit, i, following[i], following, drop)
        if column > 0:
            _mark_cell(positions, masses, limit, i, head[row * columns + column - 1], following, drop)
        if row > 0:
            for c in range(max(column - 1, 0), min(column + 2, columns)):
                _mark_cell(positions, masses, limit, i, head[(row - 1) * columns + c], following, drop)


@njit(cache=True, nogil=True)
def _mark_cell(
    positions: np.ndarray,
    masses: np.ndarray,
    limit: float,
    i: int,
    first: int,
    following: np.ndarray,
    drop: np.ndarray,
) -> None:
    """Compare a feature with those of a cell, beginning with `first`."""
    j = first
    while j >= 0:
        dy, dx = positions[i, 0] - positions[j, 0], positions[i, 1] - positions[j, 1]
        if dy * dy + dx * dx <= limit * limit:
            drop[_lighter(positions, masses, min(i, j), max(i, j))] = True
        j = following[j]


@njit(cache=True, nogil=True)
def _lighter(positions: np.ndarray, masses: np.ndarray, first: int, second: int) -> int:
    """The one of the two that goes."""
    if masses[first] != masses[second]:
        return second if masses[first] > masses[second] else first
    sums = positions[first, 0] + positions[first, 1], positions[second, 0] + positions[second, 1]
    return second if sums[0] > sums[1] else first
