"""Centroids and moments of the brightness in the disc around each feature, as trackpy measures them.

| symbol | column | meaning |
|---|---|---|
| m = sum I | mass | brightness in the disc, after the band-pass |
| (x, y) = sum r I / m | x, y | centroid; the disc moves by whole pixels until it is centred within 0.6 px |
| sqrt(sum r^2 I / m) | size | radius of gyration |
| abs(sum exp(2 i phi) I) / (m - I_centre) | ecc | eccentricity |
| max I | signal | |
| sum of the raw image | raw_mass | |

References
----------
Crocker and Grier, J. Colloid Interface Sci. 179, 298 (1996), sections 3 and 4.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit

MASS, SIZE, ECC, SIGNAL, RAW_MASS, RIM, LIT = range(7)
"""Columns of `characterise_discs`."""

_SHIFT = 0.6
"""A disc moves when its centroid is farther than this from its centre; more than a half, or it might not rest."""
_TINY = 1e-6
"""trackpy's guard against a division by zero in the eccentricity."""


@lru_cache(maxsize=32)
def disc(radius: int) -> np.ndarray:
    """Half width of every row of the disc x^2 + y^2 <= radius^2; shape (2 radius + 1,)."""
    rows = np.arange(-radius, radius + 1)
    return np.array([int(np.sqrt(radius**2 - row**2 + 1e-9)) for row in rows], dtype=np.int64)


@lru_cache(maxsize=32)
def _weights(radius: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """r^2, cos(2 phi) and sin(2 phi) on the square that holds the disc."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    angle = 2 * np.arctan2(y, x)
    return (
        (x**2 + y**2).astype(np.float32),
        np.cos(angle).astype(np.float32),
        np.sin(angle).astype(np.float32),
    )


def centre(
    levels: np.ndarray, maxima: np.ndarray, radius: int, max_moves: int
) -> tuple[np.ndarray, np.ndarray]:
    """Move a disc from every maximum to its centroid.

    Returns
    -------
    found : float array, shape (n, 3)
        Row, column and mass.
    centres : int32 array, shape (n, 2)
        Row and column of the disc's centre pixel.
    """
    found, centres = np.empty((len(maxima), 3)), np.empty((len(maxima), 2), np.int32)
    _centre(levels, maxima, disc(radius), max_moves, found, centres)
    return found, centres


def characterise_discs(raw: np.ndarray, levels: np.ndarray, centres: np.ndarray, radius: int) -> np.ndarray:
    """Measures of discs around whole pixels; shape (n, 7), columns `MASS` to `LIT`.

    Discs must lie inside the image. Rim is the mean brightness at the ends of the disc's rows, lit the share
    of the disc's sum r^2 whose pixels are not zero: where noise reaches the centroid.
    """
    out = np.empty((len(centres), LIT + 1))
    _moments(raw, levels, centres, disc(radius), *_weights(radius), out)
    return out


@njit(cache=True, nogil=True)
def _centre(
    levels: np.ndarray,
    maxima: np.ndarray,
    reach: np.ndarray,
    max_moves: int,
    found: np.ndarray,
    centres: np.ndarray,
) -> None:
    height, width = levels.shape
    radius = len(reach) // 2
    for k in range(len(maxima)):
        y, x = maxima[k, 0], maxima[k, 1]
        at_y, at_x = y, x
        off_y = off_x = 0.0
        mass = 0
        for _ in range(max_moves):
            mass = moment_y = moment_x = 0
            for j in range(2 * radius + 1):
                half = reach[j]
                row = levels[y - radius + j, x - half : x + half + 1]
                total: Any = np.int32(0)
                weighted: Any = np.int32(0)
                for i in range(len(row)):
                    value = np.int32(row[i])
                    total += value
                    weighted += value * np.int32(i)
                mass += total
                moment_y += total * j
                moment_x += weighted + total * (radius - half)
            at_y, at_x = y, x
            if mass > 0:
                # From the corner of the square, as trackpy does: rounding decides at exactly 0.6.
                off_y, off_x = moment_y / mass - radius, moment_x / mass - radius
            else:
                off_y = off_x = 0.0
            if abs(off_y) < _SHIFT and abs(off_x) < _SHIFT:
                break
            y += (off_y > _SHIFT) - (off_y < -_SHIFT)
            x += (off_x > _SHIFT) - (off_x < -_SHIFT)
            y = min(max(y, radius), height - 1 - radius)
            x = min(max(x, radius), width - 1 - radius)
        found[k, 0], found[k, 1], found[k, 2] = off_y + at_y, off_x + at_x, mass
        centres[k, 0], centres[k, 1] = at_y, at_x


@njit(cache=True, nogil=True, fastmath=True)
def _moments(
    raw: np.ndarray,
    levels: np.ndarray,
    centres: np.ndarray,
    reach: np.ndarray,
    squares: np.ndarray,
    cosines: np.ndarray,
    sines: np.ndarray,
    out: np.ndarray,
) -> None:
    radius = len(reach) // 2
    for k in range(len(centres)):
        y, x = centres[k, 0], centres[k, 1]
        mass = gyration = along = across = raw_mass = 0.0
        rim: Any = 0.0
        lit = disc_squares = 0.0
        signal = levels[y, x]
        for j in range(2 * radius + 1):
            half = reach[j]
            row = levels[y - radius + j, x - half : x + half + 1]
            raw_row = raw[y - radius + j, x - half : x + half + 1]
            r2 = squares[j, radius - half : radius + half + 1]
            cos, sin = (
                cosines[j, radius - half : radius + half + 1],
                sines[j, radius - half : radius + half + 1],
            )
            # Along one row single precision is enough; the loop is four times as fast.
            m: Any = np.float32(0.0)
            g = a = b = shining = whole = m
            for i in range(len(row)):
                value = np.float32(row[i])
                m += value
                g += r2[i] * value
                a += cos[i] * value
                b += sin[i] * value
                whole += r2[i]
                shining += r2[i] if row[i] else np.float32(0.0)
            for i in range(len(row)):
                signal = max(signal, row[i])
                raw_mass += raw_row[i]
            # The edge of the disc lies between its last pixel and the next one.
            left, right = max(x - half - 1, 0), min(x + half + 1, levels.shape[1] - 1)
            outside = np.float32(levels[y - radius + j, left]) + np.float32(levels[y - radius + j, right])
            rim += (outside + np.float32(row[0]) + np.float32(row[len(row) - 1])) / 2
            lit += shining
            disc_squares += whole
            mass += m
            gyration += g
            along += a
            across += b
        out[k, MASS] = mass
        out[k, SIZE] = np.sqrt(gyration / mass) if mass > 0 else np.nan
        out[k, ECC] = np.sqrt(along**2 + across**2) / (mass - levels[y, x] + _TINY)
        out[k, SIGNAL] = signal
        out[k, RAW_MASS] = raw_mass
        out[k, RIM] = rim / (4 * radius + 2)
        out[k, LIT] = lit / disc_squares
