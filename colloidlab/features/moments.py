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

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

MASS, SIZE, ECC, SIGNAL, RAW_MASS, RIM, LIT = range(7)
"""Columns of `characterise_discs`."""

SHIFT = 0.6
"""A disc moves when its centroid is farther than this from its centre; more than a half, or it might not rest."""
_TINY = 1e-6
"""trackpy's guard against a division by zero in the eccentricity."""
_EXACT_IN_32_BIT = 2**24


@lru_cache(maxsize=32)
def disc(radius: int) -> np.ndarray:
    """Half width of every row of the disc x^2 + y^2 <= radius^2; shape (2 radius + 1,)."""
    rows = np.arange(-radius, radius + 1)
    return np.array([int(np.sqrt(radius**2 - row**2 + 1e-9)) for row in rows], dtype=np.int64)


@dataclass(frozen=True)
class _Disc:
    """Weights of the pixels of a disc, row after row; each of shape (n_pixels,)."""

    row: np.ndarray
    column: np.ndarray
    square: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray


def _real(levels: np.ndarray, radius: int) -> np.dtype:
    """The float type whose sums over a disc are exact: twice as fast with 32 bit, where those are enough."""
    largest = np.iinfo(levels.dtype).max * (2 * radius + 1) ** 3
    return np.dtype(np.float32 if largest < _EXACT_IN_32_BIT else np.float64)


@lru_cache(maxsize=32)
def _weights(radius: int, real: np.dtype) -> _Disc:
    """Row and column from the corner of the square, r^2, cos(2 phi) and sin(2 phi)."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    inside = np.abs(x) <= disc(radius)[:, None]
    y, x = y[inside].astype(float), x[inside].astype(float)
    angle = 2 * np.arctan2(y, x)
    values = (y + radius, x + radius, x**2 + y**2, np.cos(angle), np.sin(angle))
    return _Disc(*(value.astype(real) for value in values))


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
    pixels = _weights(radius, _real(levels, radius))
    _centre(levels, maxima, disc(radius), pixels.row, pixels.column, max_moves, found, centres)
    return found, centres


def characterise_discs(raw: np.ndarray, levels: np.ndarray, centres: np.ndarray, radius: int) -> np.ndarray:
    """Measures of discs around whole pixels; shape (n, 7), columns `MASS` to `LIT`.

    Discs must lie inside the image. Rim is the mean brightness at the ends of the disc's rows, lit the share
    of the disc's sum r^2 whose pixels are not zero: where noise reaches the centroid.
    """
    out = np.empty((len(centres), LIT + 1))
    pixels = _weights(radius, _real(levels, radius))
    _moments(raw, levels, centres, disc(radius), pixels.square, pixels.cosine, pixels.sine, out)
    return out


@njit(cache=True, nogil=True)
def _gather(image: np.ndarray, y: int, x: int, reach: np.ndarray, values: np.ndarray) -> None:
    """Copy the pixels of a disc, row after row: loops over one long row are several times as fast."""
    radius = len(reach) // 2
    n = 0
    for j in range(len(reach)):
        row = image[y - radius + j, x - reach[j] : x + reach[j] + 1]
        part = values[n : n + len(row)]
        for i in range(len(row)):
            part[i] = row[i]
        n += len(row)


@njit(cache=True, nogil=True, fastmath=True)
def _first_moments(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[float, float, float]:
    # Sums of whole numbers: exact in any order.
    mass = along_y = along_x = values.dtype.type(0)
    for i in range(len(values)):
        mass += values[i]
        along_y += values[i] * rows[i]
        along_x += values[i] * columns[i]
    return mass, along_y, along_x


@njit(cache=True, nogil=True)
def _centre(
    levels: np.ndarray,
    maxima: np.ndarray,
    reach: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    max_moves: int,
    found: np.ndarray,
    centres: np.ndarray,
) -> None:
    height, width = levels.shape
    radius = len(reach) // 2
    values = np.empty(len(rows), rows.dtype)
    for k in range(len(maxima)):
        y, x = maxima[k, 0], maxima[k, 1]
        at_y, at_x = y, x
        off_y = off_x = mass = 0.0
        for _ in range(max_moves):
            _gather(levels, y, x, reach, values)
            sums = _first_moments(values, rows, columns)
            mass, moment_y, moment_x = np.float64(sums[0]), np.float64(sums[1]), np.float64(sums[2])
            at_y, at_x = y, x
            off_y = off_x = 0.0
            if mass > 0:
                # From the corner of the square, as trackpy does: rounding decides at exactly 0.6.
                off_y, off_x = moment_y / mass - radius, moment_x / mass - radius
            if abs(off_y) < SHIFT and abs(off_x) < SHIFT:
                break
            y += (off_y > SHIFT) - (off_y < -SHIFT)
            x += (off_x > SHIFT) - (off_x < -SHIFT)
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
    zero = squares.dtype.type(0)
    values = np.empty(len(squares), squares.dtype)
    whole = squares.sum()
    for k in range(len(centres)):
        y, x = centres[k, 0], centres[k, 1]
        out[k, RAW_MASS] = _total(raw, y, x, reach)
        _gather(levels, y, x, reach, values)
        mass = gyration = along = across = lit = zero
        for i in range(len(values)):
            value = values[i]
            mass += value
            gyration += squares[i] * value
            along += cosines[i] * value
            across += sines[i] * value
            lit += squares[i] if value > 0 else zero
        out[k, MASS] = mass
        out[k, SIZE] = np.sqrt(gyration / mass) if mass > 0 else np.nan
        out[k, ECC] = np.sqrt(along**2 + across**2) / (mass - levels[y, x] + _TINY)
        out[k, SIGNAL] = values.max()
        out[k, RIM] = _rim(levels, y, x, reach)
        out[k, LIT] = lit / whole


@njit(cache=True, nogil=True)
def _total(image: np.ndarray, y: int, x: int, reach: np.ndarray) -> float:
    """Sum over a disc."""
    radius = len(reach) // 2
    total = 0.0
    for j in range(len(reach)):
        row = image[y - radius + j, x - reach[j] : x + reach[j] + 1]
        for i in range(len(row)):
            total += row[i]
    return total


@njit(cache=True, nogil=True)
def _rim(levels: np.ndarray, y: int, x: int, reach: np.ndarray) -> float:
    """Mean brightness at the ends of the rows, halfway between the last pixel inside and the next one."""
    radius = len(reach) // 2
    total = 0.0
    for j in range(len(reach)):
        row, half = levels[y - radius + j], reach[j]
        total += float(row[x - half]) + float(row[max(x - half - 1, 0)])
        total += float(row[x + half]) + float(row[min(x + half + 1, len(row) - 1)])
    return total / (4 * len(reach))
