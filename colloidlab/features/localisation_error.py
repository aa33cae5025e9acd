"""How far a centroid is from its particle: noise, light beyond the disc, and light of neighbours.

The centroid of trackpy is x = sum w(p) I'(p) / m with w the distance to the centre of the disc inside it, I' the
band-passed image and m the mass. Three things move it:

noise
    The band-pass is linear, so the noise of each raw pixel reaches x by the weight w' = w * (G - B), with G its
    Gaussian and B its box: var(x) = V sum w'^2 / m^2, V the variance of a pixel of the disc's mean brightness.
    Pixels that the threshold has set to zero carry little.
the rim
    A disc that cuts off light loses some on the side to which the particle is off its centre. A particle that is
    u off the centre pixel is found at u (1 - c), c = pi r^2 I_rim / m (the flux of x I through the circle), so
    that the found offset f is wrong by f c / (1 - c).
neighbours
    Their light in the disc pulls x towards them, and the box average that it raises pushes x away: the first
    moments in the disc of a smoothed Gaussian of their size and height, and of its box average. Near contact the
    two cancel in part, by an amount that the Gaussian does not tell, so that both count.

The last two are systematic; their magnitudes are added in quadrature, so that the error over sigma has a
standard deviation of one.

References
----------
Savin and Doyle, Biophys. J. 88, 623 (2005), for the noise; rim and pull are derived here.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from scipy import ndimage

from colloidlab.features.centroid import MEASURED_COLUMNS, NOISE_PX, Centroids
from colloidlab.features.moments import disc
from colloidlab.features.pixel_noise import PixelNoise

_MASS, _SIGNAL, _RAW_MASS, _RIM, _LIT = (
    MEASURED_COLUMNS.index(name) for name in ("mass", "signal", "raw_mass", "rim", "lit")
)
_FAR = 2.5
"""Neighbours are asked up to so many mask radii away."""
_SAME = 0.7
"""Peaks within so many mask radii are the same particle."""
_FAINT = 0.2
"""What has a smaller share of a particle's height is counted as noise, not as a neighbour."""
LIT_POWER = 0.62
"""Noise goes with this power of the lit share: pixels on its border carry some. From simulated spots of seven widths
at four levels of noise, where the power was 0.5 to 0.75."""
MOST_CUT = 0.8
"""A disc that cuts more than this holds no particle whose offset could be told."""


def calibrate_sigma(found: Centroids, diameter_px: int, noise: PixelNoise) -> np.ndarray:
    """Standard deviation of the error of centroids, in x and y.

    Parameters
    ----------
    found : Centroids
        Of `measure_centroids`.
    diameter_px : int
        As given to `measure_centroids`.
    noise : PixelNoise
        Of the image.

    Returns
    -------
    float array, shape (n, 2), px

    Notes
    -----
    Limits: noise that is correlated over distances like the particle's size (strong compression) is counted
    only in part; the pull of neighbours is that of Gaussian images, and rings pull differently.
    """
    if len(found) == 0:
        return np.empty((0, 2))
    radius = diameter_px // 2
    moved = _neighbours(found.values, found.seen, float(np.median(found["size"])), diameter_px)
    pixel = noise.read, noise.gain, noise.least
    sigma = np.empty((len(found), 2))
    _add_up(
        found.values, moved, pixel, _noise_gain(diameter_px), radius, int((2 * disc(radius) + 1).sum()), sigma
    )
    return sigma


@njit(cache=True, nogil=True)
def _add_up(
    found: np.ndarray,
    moved: np.ndarray,
    pixel: tuple[float, float, float],
    gain: float,
    radius: int,
    pixels: int,
    sigma: np.ndarray,
) -> None:
    """Noise, rim and neighbours in quadrature; see the top of this module."""
    for i in range(len(found)):
        mass = max(found[i, _MASS], 1e-300)
        variance = max(pixel[0] + pixel[1] * found[i, _RAW_MASS] / pixels, pixel[2])
        carried = variance * gain * found[i, _LIT] ** LIT_POWER / mass**2
        cut = min(max(np.pi * radius**2 * found[i, _RIM] / mass, 0.0), MOST_CUT)
        for axis in range(2):
            rim = (found[i, axis] - np.rint(found[i, axis])) * cut / (1 - cut)
            light, box = moved[i, axis], moved[i, axis + 2]
            sigma[i, axis] = np.sqrt(carried + rim**2 + light**2 + box**2)


@lru_cache(maxsize=32)
def _noise_gain(diameter_px: int) -> float:
    """Sum of w'^2: distance in x inside the disc, seen through trackpy's band-pass."""
    radius = diameter_px // 2
    half = radius + max(radius + 1, 4)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    weight = np.where(x**2 + y**2 <= radius**2, x, 0.0)
    smooth = ndimage.gaussian_filter(weight, NOISE_PX, mode="constant")
    seen = smooth - ndimage.uniform_filter(weight, diameter_px, mode="constant")
    return float((seen**2).sum())


def _neighbours(found: np.ndarray, seen: np.ndarray, size: float, diameter_px: int) -> np.ndarray:
    """Displacements (x, y) by the light of neighbours, then by the box averages that they raise; shape (n, 4), px."""
    width = float(np.interp(size, *_sizes(diameter_px))) if np.isfinite(size) else 1.0
    least, reach = _SAME * (diameter_px // 2), float(_reach(diameter_px))
    moved = np.zeros((len(found), 4))
    if len(seen):
        moments = _moment_tables(diameter_px, round(width, 1))
        _add_pulls(found, np.ascontiguousarray(seen), least, reach, moments, moved)
    return np.clip(moved, -0.5 * diameter_px, 0.5 * diameter_px)


def _reach(diameter_px: int) -> int:
    return int(_FAR * (diameter_px // 2 + 1))


@lru_cache(maxsize=128)
def _isolated(diameter_px: int, width: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A smoothed Gaussian of unit height and its box average, on a square around it, and x on that square."""
    half = diameter_px // 2 + _reach(diameter_px)
    x = np.arange(-half, half + 1).astype(float)
    light = np.exp(-0.5 * (x[:, None] ** 2 + x**2) / width**2)
    smooth = ndimage.gaussian_filter(light, NOISE_PX, mode="constant")
    return smooth, ndimage.uniform_filter(light, diameter_px, mode="nearest"), x


@lru_cache(maxsize=32)
def _sizes(diameter_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Radii of gyration that the disc sees of Gaussians, and their widths; both rising."""
    radius = diameter_px // 2
    widths = np.linspace(0.5, 0.7 * (radius + 1), 24)
    sizes = []
    for width in widths:
        smooth, box, x = _isolated(diameter_px, float(width))
        image = smooth - box
        inside = (x[:, None] ** 2 + x**2 <= radius**2) & (image > 0)
        sizes.append(np.sqrt((image * (x[:, None] ** 2 + x**2))[inside].sum() / image[inside].sum()))
    rising = np.maximum.accumulate(sizes)
    return rising, widths


@lru_cache(maxsize=128)
def _moment_tables(diameter_px: int, width: float) -> np.ndarray:
    """First moments in the disc of a Gaussian of unit mass and of minus its box average, 0, 1, 2, ... px along x."""
    radius = diameter_px // 2
    smooth, box, x = _isolated(diameter_px, width)
    # Only where the particle's own signal stands above the threshold does anything count.
    seen = (x[:, None] ** 2 + x**2 <= radius**2) & (smooth > box)
    weight = np.where(seen, x, 0.0)
    mass = (smooth - box)[seen].sum()
    tables = np.zeros((2, _reach(diameter_px) + 1))
    for distance in range(1, tables.shape[1]):
        # The neighbour's image, moved to the right.
        near = weight[:, distance:]
        tables[0, distance] = (near * smooth[:, :-distance]).sum() / mass
        tables[1, distance] = -(near * box[:, :-distance]).sum() / mass
    return tables


@njit(cache=True, nogil=True)
def _add_pulls(
    found: np.ndarray, seen: np.ndarray, least: float, reach: float, moments: np.ndarray, pull: np.ndarray
) -> None:
    """Add the pull of all that is seen between `least` and `reach` away, looked up in cells of that size."""
    low_x, low_y = seen[:, 0].min(), seen[:, 1].min()
    columns = int((seen[:, 0].max() - low_x) / reach) + 1
    rows = int((seen[:, 1].max() - low_y) / reach) + 1
    first, sorted_seen = _sort_into_cells(seen, low_x, low_y, reach, rows, columns)
    scale = (moments.shape[1] - 1) / reach
    for i in range(len(found)):
        x, y, height = found[i, 0], found[i, 1], max(found[i, _SIGNAL], 1e-300)
        faint = _FAINT * height
        column, row = int((x - low_x) / reach), int((y - low_y) / reach)
        for r in range(max(row - 1, 0), min(row + 2, rows)):
            start = first[r * columns + min(max(column - 1, 0), columns)]
            stop = first[r * columns + max(min(column + 2, columns), 0)]
            for j in range(start, stop):
                dx, dy = sorted_seen[j, 0] - x, sorted_seen[j, 1] - y
                square = dx * dx + dy * dy
                if sorted_seen[j, 2] > faint and least * least < square < reach * reach:
                    distance = np.sqrt(square)
                    place = distance * scale
                    k = min(int(place), moments.shape[1] - 2)
                    factor = sorted_seen[j, 2] / (height * distance)
                    for m in range(2):
                        moment = moments[m, k] + (place - k) * (moments[m, k + 1] - moments[m, k])
                        pull[i, 2 * m] += moment * factor * dx
                        pull[i, 2 * m + 1] += moment * factor * dy


@njit(cache=True, nogil=True)
def _sort_into_cells(
    seen: np.ndarray, low_x: float, low_y: float, reach: float, rows: int, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of `seen` cell after cell, so that cells side by side are one stretch of it, and where each begins."""
    first = np.zeros(rows * columns + 2, np.int64)
    cells = np.empty(len(seen), np.int64)
    for i in range(len(seen)):
        cells[i] = int((seen[i, 1] - low_y) / reach) * columns + int((seen[i, 0] - low_x) / reach)
        first[cells[i] + 2] += 1
    for k in range(2, len(first)):
        first[k] += first[k - 1]
    ordered = np.empty_like(seen)
    for i in range(len(seen)):
        place = first[cells[i] + 1]
        first[cells[i] + 1] += 1
        for k in range(3):
            ordered[place, k] = seen[i, k]
    return first, ordered
