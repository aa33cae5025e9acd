"""Particles in a stack of slices: the algorithm of `centroid` along three axes, as trackpy has it.

Diameters and separations may differ between depth and plane, since the slices of a confocal stack are farther
apart than its pixels.

References
----------
Crocker and Grier, J. Colloid Interface Sci. 179, 298 (1996). Allan et al., trackpy, doi:10.5281/zenodo.4682814.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numba import njit
from scipy import ndimage
from scipy.spatial import cKDTree

from colloidlab.errors import UsageError
from colloidlab.features.bandpass import gaussian_kernel
from colloidlab.features.centroid import MAX_MOVES, NOISE_PX, PERCENTILE, empty, grey_threshold
from colloidlab.features.images import check_diameter, touches, usable
from colloidlab.features.localisation_error import LIT_POWER, MOST_CUT
from colloidlab.features.maxima import CLOSER
from colloidlab.features.moments import SHIFT
from colloidlab.features.pixel_noise import sample_noise

Sizes = tuple[int, int, int]
"""Sizes along depth, height and width, px."""

_AXES = ("z", "y", "x")
_SIGNAL, _RAW_MASS, _LIT, _RIM, _N_MOMENTS = 3, 4, 5, 6, 9
"""Columns of the moments; before them three of sums of z^2 I, y^2 I and x^2 I, and three from the rim on."""
_RADIUS_PER_GYRATION = np.sqrt(5.0 / 3.0)
"""Of a sphere of even brightness."""


@dataclass(frozen=True)
class _Ball:
    """Pixels of an ellipsoid, offsets from the corner of its box; arrays of shape (3, n_pixels) in order z, y, x."""

    offsets: np.ndarray
    squares: np.ndarray


def locate_volume(
    volume: np.ndarray,
    diameter_px: int | Sizes,
    *,
    minmass: float = 0.0,
    separation_px: float | tuple[float, float, float] | None = None,
    invert: bool = False,
    threshold: float | None = None,
    percentile: float = PERCENTILE,
) -> pd.DataFrame:
    """Positions, radii and errors of the particles in one stack of slices, by their centroids.

    Parameters
    ----------
    volume : array, shape (depth, height, width)
        Grey levels; 8 or 16 bit, float or any other number. Particles that touch a pixel which is not finite are
        left out.
    diameter_px : int or (z, y, x)
        Odd.
    separation_px : float or (z, y, x), optional
        Least distances between two centres [diameter + 1].
    minmass, invert, threshold, percentile
        As of `locate`.

    Returns
    -------
    DataFrame
        `volume_columns(diameter_px)`, float64, one row a particle. `radius_px` is that of a sphere of even
        brightness with this radius of gyration. The error sigma counts noise and cut rims; it is right to some
        30 % for a ball that holds the particle, and up to two times too small for one that cuts it or near contact.

    Raises
    ------
    InputError, UsageError
        The stack is no grey stack or has no finite pixel; the options are impossible.
    """
    given = tuple(diameter_px) if isinstance(diameter_px, tuple | list) else (diameter_px,) * 3
    if len(given) != 3:
        raise UsageError(f"diameter_px has {len(given)} numbers; give one, or three for z, y and x")
    z, y, x = (check_diameter(d) for d in given)
    diameter = (z, y, x)
    separation = np.broadcast_to(np.array(diameter) + 1 if separation_px is None else separation_px, 3)
    if not (np.isfinite(separation) & (separation > 0)).all():
        raise UsageError(f"separation_px = {separation_px} is not a distance; give more than zero")
    ready = usable(volume, invert=invert, dimensions=3)
    found = _find(ready.image, diameter, separation.astype(float), minmass, threshold, percentile)
    if ready.bad is None or len(found) == 0:
        return found
    spoilt = touches(ready.bad, found[list(_AXES)].to_numpy(), tuple(d // 2 for d in diameter))
    return found[~spoilt].reset_index(drop=True)


def volume_columns(diameter_px: Sizes) -> list[str]:
    """Columns of `locate_volume`: size and ep for each axis where the diameters differ, as with trackpy."""
    even = len(set(diameter_px)) == 1
    size = ["size"] if even else [f"size_{axis}" for axis in _AXES]
    ep = ["ep"] if even else [f"ep_{axis}" for axis in _AXES]
    errors = ["radius_px", "sigma_x_px", "sigma_y_px", "sigma_z_px", "chi2"]
    return ["x", "y", "z", "mass", *size, "ecc", "signal", "raw_mass", *ep, *errors]


def _find(
    volume: np.ndarray,
    diameter_px: Sizes,
    separation_px: np.ndarray,
    minmass: float,
    threshold: float | None,
    percentile: float,
) -> pd.DataFrame:
    columns = volume_columns(diameter_px)
    ball = _ball(diameter_px)
    radii = np.array(diameter_px) // 2
    if np.any(np.array(volume.shape) <= diameter_px) or volume.min() == volume.max():
        return empty(columns)
    levels, factor = _band_pass(volume, diameter_px, grey_threshold(volume, threshold))
    margin = np.maximum(radii, separation_px // 2 - 1).astype(int)
    maxima = _local_maxima(levels, separation_px, percentile, margin)
    found, moments = np.empty((len(maxima), 4)), np.empty((len(maxima), _N_MOMENTS))
    _centre(levels, volume, maxima, radii, ball.offsets, ball.squares, found, moments)
    keep = ~_too_close(found[:, :3], found[:, 3], separation_px) & (found[:, 3] / factor > minmass)
    values = _measures(volume, levels, found[keep], moments[keep], diameter_px, factor)
    return pd.DataFrame(values, columns=columns)


@lru_cache(maxsize=16)
def _ball(diameter_px: Sizes) -> _Ball:
    radii = [d // 2 for d in diameter_px]
    grid = np.array(np.meshgrid(*(np.arange(-r, r + 1) for r in radii), indexing="ij"))
    inside = sum((c / r) ** 2 for c, r in zip(grid, radii, strict=True)) <= 1
    offsets = grid[:, inside]
    return _Ball(offsets + np.array(radii)[:, None], offsets.astype(float) ** 2)


def _band_pass(volume: np.ndarray, diameter_px: Sizes, threshold: float) -> tuple[np.ndarray, float]:
    """Whole grey levels of the image's own integer type (8 bit for floats), and levels per grey level."""
    depth = np.iinfo(volume.dtype if volume.dtype.kind == "u" else np.uint8)
    smooth, box = volume.astype(float), volume.copy()
    for axis, size in enumerate(diameter_px):
        weights = gaussian_kernel(NOISE_PX)
        ndimage.correlate1d(smooth, weights, axis, output=smooth, mode="constant")
        # In the image's own type: integers are cut to whole numbers along each axis.
        ndimage.uniform_filter1d(box, size, axis, output=box, mode="nearest")
    smooth -= box
    smooth[smooth < threshold] = 0
    top = float(smooth.max())
    factor = depth.max / top if top > 0 else 1.0
    smooth *= factor
    return smooth.astype(depth.dtype), factor


def _local_maxima(
    levels: np.ndarray, separation_px: np.ndarray, percentile: float, margin: np.ndarray
) -> np.ndarray:
    bright = levels[levels > 0]
    if len(bright) == 0:
        return np.empty((0, 3), np.int64)
    sides = [max(1, int(2 * s / np.sqrt(3))) for s in separation_px]
    highest = ndimage.grey_dilation(levels, sides, mode="constant") == levels
    places = np.argwhere(highest & (levels > np.percentile(bright, percentile)))
    near_edge = (places < margin) | (places > np.array(levels.shape) - margin - 1)
    return places[~near_edge.any(axis=1)]


def _too_close(positions: np.ndarray, masses: np.ndarray, separation_px: np.ndarray) -> np.ndarray:
    """True for features nearer than the separation to a heavier one (of equal ones, the upper left)."""
    drop = np.zeros(len(positions), dtype=bool)
    if len(positions) == 0:
        return drop
    scaled = positions / separation_px
    first, second = cKDTree(scaled).query_pairs(CLOSER, output_type="ndarray").T
    sums = scaled.sum(axis=1)
    tied = masses[first] == masses[second]
    second_goes = np.where(tied, sums[first] > sums[second], masses[first] > masses[second])
    drop[np.where(second_goes, second, first)] = True
    return drop


@njit(cache=True, nogil=True)
def _centre(
    levels: np.ndarray,
    raw: np.ndarray,
    maxima: np.ndarray,
    radii: np.ndarray,
    offsets: np.ndarray,
    squares: np.ndarray,
    found: np.ndarray,
    moments: np.ndarray,
) -> None:
    """Move the ball from every maximum to its centroid (z, y, x, mass) and measure it there.

    Lit is the share of sum r^2 that is not dark, rim the brightness at the two poles of each axis.
    """
    values = np.empty(offsets.shape[1])
    place, sums, off = np.empty(3, np.int64), np.empty(3), np.empty(3)
    for k in range(len(maxima)):
        for a in range(3):
            place[a] = maxima[k, a]
        for _ in range(MAX_MOVES):
            mass = 0.0
            sums[:] = 0.0
            corner_z, corner_y, corner_x = place - radii
            for i in range(len(values)):
                value = float(
                    levels[corner_z + offsets[0, i], corner_y + offsets[1, i], corner_x + offsets[2, i]]
                )
                values[i] = value
                mass += value
                for a in range(3):
                    sums[a] += value * offsets[a, i]
            for a in range(3):
                off[a] = sums[a] / mass - radii[a] if mass > 0 else 0.0
                found[k, a] = off[a] + place[a]
            found[k, 3] = mass
            if np.abs(off).max() < SHIFT:
                break
            for a in range(3):
                place[a] += (off[a] > SHIFT) - (off[a] < -SHIFT)
                place[a] = min(max(place[a], radii[a]), levels.shape[a] - 1 - radii[a])
        _measure(values, raw, corner_z, corner_y, corner_x, offsets, squares, moments[k])
        for a in range(3):
            moments[k, _RIM + a] = _rim(
                levels, corner_z + radii[0], corner_y + radii[1], corner_x + radii[2], a, radii[a]
            )


@njit(cache=True, nogil=True)
def _measure(
    values: np.ndarray,
    raw: np.ndarray,
    corner_z: int,
    corner_y: int,
    corner_x: int,
    offsets: np.ndarray,
    squares: np.ndarray,
    out: np.ndarray,
) -> None:
    out[:] = 0.0
    whole = 0.0
    for i in range(len(values)):
        value = values[i]
        r2 = squares[0, i] + squares[1, i] + squares[2, i]
        for a in range(3):
            out[a] += squares[a, i] * value
        out[_SIGNAL] = max(out[_SIGNAL], value)
        out[_RAW_MASS] += raw[corner_z + offsets[0, i], corner_y + offsets[1, i], corner_x + offsets[2, i]]
        out[_LIT] += r2 if value > 0 else 0.0
        whole += r2
    out[_LIT] /= whole


@njit(cache=True, nogil=True)
def _rim(levels: np.ndarray, z: int, y: int, x: int, axis: int, radius: int) -> float:
    """Mean of the last pixels inside and the next ones outside, at the two poles of an axis."""
    place = np.array([z, y, x])
    total = 0.0
    for away in (-radius - 1, -radius, radius, radius + 1):
        at = min(max(place[axis] + away, 0), levels.shape[axis] - 1)
        if axis == 0:
            total += levels[at, y, x]
        elif axis == 1:
            total += levels[z, at, x]
        else:
            total += levels[z, y, at]
    return total / 4


def _measures(
    volume: np.ndarray,
    levels: np.ndarray,
    found: np.ndarray,
    moments: np.ndarray,
    diameter_px: Sizes,
    factor: float,
) -> np.ndarray:
    """Values of `volume_columns`."""
    mass = found[:, 3]
    n_pixels = _ball(diameter_px).offsets.shape[1]
    black, noise = _dark(volume, levels, diameter_px)
    roots = np.sqrt(_ball(diameter_px).squares.sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Savin and Doyle (2005), as trackpy has it: noise over signal times the root of sum x^2 in the ball.
        ep = (noise / (moments[:, _RAW_MASS] - n_pixels * black))[:, None] * NOISE_PX * roots
        if len(set(diameter_px)) == 1:
            size = np.sqrt(moments[:, :3].sum(axis=1) / mass)[:, None]
            ep = ep[:, :1]
        else:
            size = np.sqrt(3 * moments[:, :3] / mass[:, None])
    sigma = _sigma(volume, found, moments, diameter_px, factor)
    radius = _RADIUS_PER_GYRATION * size[:, -1]
    blank = np.full(len(found), np.nan)
    plain = [
        found[:, 2],
        found[:, 1],
        found[:, 0],
        mass / factor,
        *size.T,
        blank,
        moments[:, _SIGNAL] / factor,
    ]
    return np.column_stack([*plain, moments[:, _RAW_MASS], *ep.T, radius, *sigma.T[::-1], blank])


def _sigma(
    volume: np.ndarray, found: np.ndarray, moments: np.ndarray, diameter_px: Sizes, factor: float
) -> np.ndarray:
    """Errors along z, y and x of noise and cut rims, as of `calibrate_sigma`; shape (n, 3), px."""
    n_pixels = _ball(diameter_px).offsets.shape[1]
    noise = sample_noise(volume.reshape(-1, volume.shape[2]))
    variance = noise.variance(moments[:, _RAW_MASS] / n_pixels) * moments[:, _LIT] ** LIT_POWER
    carried = (variance * factor**2 / found[:, 3] ** 2)[:, None] * _noise_gain(diameter_px)
    # The flux of x I through the surface, by the divergence theorem.
    cut = np.clip(n_pixels * moments[:, _RIM:] / found[:, 3:], 0.0, MOST_CUT)
    rim = (found[:, :3] - np.rint(found[:, :3])) * cut / (1 - cut)
    return np.asarray(np.sqrt(carried + rim**2))


def _dark(volume: np.ndarray, levels: np.ndarray, diameter_px: Sizes) -> tuple[float, float]:
    """Mean and standard deviation of the pixels farther than a ball from any signal; NaN without any."""
    scale = [1.0 / (d // 2) for d in diameter_px]
    dark = volume[ndimage.distance_transform_edt(levels == 0, sampling=scale) > 1 + 1e-9]
    if len(dark) == 0:
        return float("nan"), float("nan")
    return float(dark.mean()), float(dark.std()) if len(dark) > 1 else float("nan")


@lru_cache(maxsize=16)
def _noise_gain(diameter_px: Sizes) -> np.ndarray:
    """Sum of the squares of the weights of raw noise in the centroid along z, y and x; see `calibrate_sigma`."""
    radii = [d // 2 for d in diameter_px]
    grid = np.meshgrid(*(np.arange(-2 * r - 4, 2 * r + 5).astype(float) for r in radii), indexing="ij")
    inside = sum((c / r) ** 2 for c, r in zip(grid, radii, strict=True)) <= 1
    gains = []
    for distance in grid:
        weight = np.where(inside, distance, 0.0)
        seen = ndimage.gaussian_filter(weight, NOISE_PX, mode="constant")
        seen -= ndimage.uniform_filter(weight, diameter_px, mode="constant")
        gains.append((seen**2).sum())
    return np.array(gains)
