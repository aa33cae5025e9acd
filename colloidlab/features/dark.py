"""Brightness of the dark pixels, which no particle lights, as trackpy measures it for its static error.

A pixel is dark when the disc around it holds no signal of the band-passed image. Signal is kept as one bit a
pixel, so that 64 pixels are widened at once.

References
----------
Savin and Doyle, Biophys. J. 88, 623 (2005), figure C.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_WORD = 64
_ONE = np.uint64(1)
_LAST = np.uint64(63)
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)


def measure_dark(raw: np.ndarray, levels: np.ndarray, reach: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the raw pixels farther than a disc from any signal; NaN without any.

    Parameters
    ----------
    raw, levels : array, shape (height, width)
        Image of the camera, and its band-pass.
    reach : int64 array, shape (2 radius + 1,)
        Half width of every row of the disc.
    """
    height, width = levels.shape
    words = -(-width // _WORD)
    packed = np.zeros((height, 8 * words), np.uint8)
    packed[:, : -(-width // 8)] = np.packbits(levels != 0, axis=1, bitorder="little")
    origin = raw[0, 0]
    n, total, squares = _sum_dark(raw, packed.view(np.uint64), reach, float(origin))
    if n == 0:
        return float("nan"), float("nan")
    mean = total / n
    spread = float(np.sqrt(max(squares / n - mean**2, 0.0))) if n > 1 else float("nan")
    return float(origin) + mean, spread


@njit(cache=True, nogil=True)
def _sum_dark(
    raw: np.ndarray, signal: np.ndarray, reach: np.ndarray, origin: float
) -> tuple[int, float, float]:
    """Number, sum and sum of squares (from `origin`) of the dark pixels."""
    height, words = signal.shape
    radius = len(reach) // 2
    rows = 2 * radius + 1
    # wide[row, s] is the signal of a row widened by s pixels to both sides, for the rows that a disc can reach.
    wide = np.zeros((rows, radius + 1, words), np.uint64)
    lit = np.empty(words, np.uint64)
    n, total, squares = 0, 0.0, 0.0
    for y in range(-radius, height):
        ahead = y + radius
        if ahead < height:
            _widen(signal[ahead], wide[ahead % rows])
        if y < 0:
            continue
        lit[:] = 0
        for j in range(max(y - radius, 0), min(y + radius + 1, height)):
            part = wide[j % rows, reach[j - y + radius]]
            for k in range(words):
                lit[k] |= part[k]
        some, first, second = _sum_row(raw[y], lit, origin)
        n += some
        total += first
        squares += second
    return n, total, squares


@njit(cache=True, nogil=True)
def _widen(signal: np.ndarray, wide: np.ndarray) -> None:
    """wide[s] = signal, shifted by up to s pixels to both sides."""
    last = len(signal) - 1
    for k in range(last + 1):
        wide[0, k] = signal[k]
    for s in range(1, len(wide)):
        before, after = wide[s - 1], wide[s]
        for k in range(last + 1):
            word = before[k]
            word |= (before[k] << _ONE) | (before[k] >> _ONE)
            if k > 0:
                word |= before[k - 1] >> _LAST
            if k < last:
                word |= before[k + 1] << _LAST
            after[k] = word


@njit(cache=True, nogil=True, fastmath=True)
def _sum_row(row: np.ndarray, lit: np.ndarray, origin: float) -> tuple[int, float, float]:
    n, total, squares = 0, 0.0, 0.0
    for k in range(len(lit)):
        word = lit[k]
        if word == _FULL:
            continue
        part = row[_WORD * k : _WORD * k + _WORD]
        if word == 0:
            n += len(part)
            for i in range(len(part)):
                value = part[i] - origin
                total += value
                squares += value * value
            continue
        # Without a branch: where words are mixed, none could be foreseen.
        for i in range(len(part)):
            value, dark = part[i] - origin, ~(word >> np.uint64(i)) & _ONE
            n += int(dark)
            value *= np.float64(dark)
            total += value
            squares += value * value
    return n, total, squares
