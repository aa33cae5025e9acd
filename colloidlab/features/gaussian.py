"""Positions and sizes from a joint least-squares fit of Gaussian spots, touching neighbours included.

Symbols: I image, b local background, A amplitude, (x, y) centre, s standard deviation of the spot,
R the image minus the spots of all particles, w the weight of a pixel in the disc around a particle.

Each particle is fitted in turn to R plus its own spot, so the light of its neighbours is taken away at
their newest positions (block Gauss-Seidel); two touching particles do not pull each other's centres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from scipy import ndimage

AMPLITUDE, X, Y, WIDTH, BACKGROUND = range(5)

_SWEEPS = 40
_TOLERANCE_PX = 2e-3
_REACH = 4.5
"""A spot is taken as zero beyond so many standard deviations (4e-5 of its height)."""
_LEAST_WIDTH_PX = 0.5
_TAPER = 0.7
"""Fraction of the disc with full weight; beyond it the weight falls smoothly, so that no pixel jumps in or out."""
_DAMPING = 1e-3
_CHANCE = 1.15
"""Noise alone makes the odd part of a residual so much larger than expected in about one of seven discs."""
_PULL = 3.0
"""Growth of the variance per unit of excess odd residual: structure displaces a centre more than noise does,
for it is alike over several pixels. Found on rendered scenes of touching spheres (tests/physics)."""


@dataclass(frozen=True)
class SpotFit:
    """One joint fit of a frame.

    Attributes
    ----------
    spots : float array, shape (n, 5)
        Amplitude and background in grey levels; x, y and width (standard deviation) in px.
    converged : bool array, shape (n,)
        The last step was below 2e-3 px, and the spot is bright, near its start and inside the bounds.
    covariance : float array, shape (n, 2), px^2
        Variances of x and y for the image's noise.
    misfit : float array, shape (n,)
        Fraction of the variance in the disc that neither the spot nor the noise explains; 0 is perfect.
    residual : float array, shape (height, width)
        Image minus all spots: background, noise, and what is no Gaussian.
    n_free : int
        5, or 4 where the background was not fitted.
    """

    spots: np.ndarray
    converged: np.ndarray
    covariance: np.ndarray
    misfit: np.ndarray
    residual: np.ndarray
    n_free: int


def fit_spots(
    image: np.ndarray,
    positions: np.ndarray,
    widths: np.ndarray,
    mask_radius_px: float,
    *,
    free_background: bool,
) -> SpotFit:
    """Fit I = b + A exp(-((x-x0)^2 + (y-y0)^2) / 2 s^2) to every particle, jointly with its neighbours.

    Parameters
    ----------
    image : float array, shape (height, width)
        Finite, bright particles.
    positions : float array, shape (n, 2), px
        (x, y) to start from, as a centroid gives them.
    widths : float array, shape (n,), px
        Standard deviations to start from.
    mask_radius_px : float
        Radius of the disc of pixels that belong to a particle.
    free_background : bool
        Fit b to every particle. If False, b is the smoothed local minimum of the image: the flat top of
        a large particle cannot tell a wide spot on a low background from a narrower one.

    Returns
    -------
    SpotFit
        Its covariance and misfit are zero: `uncertainty` fills them once the noise is known.
    """
    spots = _start(image, positions, widths, mask_radius_px)
    residual = np.ascontiguousarray(image, dtype=np.float64).copy()
    n_free = 5 if free_background else 4
    steps = _relax(residual, spots, mask_radius_px, n_free, _SWEEPS, _TOLERANCE_PX)
    moved = np.hypot(spots[:, X] - positions[:, 0], spots[:, Y] - positions[:, 1])
    sensible = (
        (spots[:, AMPLITUDE] > 0)
        & (spots[:, WIDTH] > 1.05 * _LEAST_WIDTH_PX)
        & (spots[:, WIDTH] < 0.98 * _most_width(mask_radius_px))
        & (moved < 0.5 * mask_radius_px)
    )
    zeros = np.zeros((len(spots), 2))
    return SpotFit(spots, sensible & (steps < 5 * _TOLERANCE_PX), zeros, zeros[:, 0].copy(), residual, n_free)


def uncertainty(fit: SpotFit, variance: np.ndarray, mask_radius_px: float) -> SpotFit:
    """Propagate the noise of each pixel through the fit.

    The weights are not the inverse variances, so the covariance is the sandwich H^-1 (J^T W V W J) H^-1
    with H = J^T W J, J the derivatives of the spot and V the variances of the pixels.

    Parameters
    ----------
    variance : float array, shape (height, width), grey levels squared
        Noise of every pixel.
    """
    noise = np.ascontiguousarray(variance, dtype=np.float64)
    covariance, misfit = _propagate(fit.residual, noise, fit.spots, mask_radius_px, fit.n_free)
    return replace(fit, covariance=covariance, misfit=misfit)


def _start(image: np.ndarray, positions: np.ndarray, widths: np.ndarray, mask_radius_px: float) -> np.ndarray:
    height, width = image.shape
    column = np.clip(np.round(positions[:, 0]).astype(int), 0, width - 1)
    row = np.clip(np.round(positions[:, 1]).astype(int), 0, height - 1)
    peak = image[row, column].astype(float)
    floor = _local_floor(image, mask_radius_px)[row, column]
    spots = np.empty((len(positions), 5))
    spots[:, AMPLITUDE] = np.maximum(peak - floor, 1e-9)
    spots[:, X], spots[:, Y] = positions[:, 0], positions[:, 1]
    spots[:, WIDTH] = np.clip(widths, 1.1 * _LEAST_WIDTH_PX, 0.9 * _most_width(mask_radius_px))
    spots[:, BACKGROUND] = floor
    return spots


def _local_floor(image: np.ndarray, mask_radius_px: float) -> np.ndarray:
    """Smoothed local minimum: the light between the particles."""
    size = 2 * round(mask_radius_px) + 1
    lowest = ndimage.minimum_filter(ndimage.gaussian_filter(image.astype(float), 1.0), size)
    return np.asarray(ndimage.uniform_filter(lowest, size))


def _most_width(mask_radius_px: float) -> float:
    return 0.9 * mask_radius_px


@njit(cache=True, nogil=True)
def _add_spot(image: np.ndarray, spot: np.ndarray, sign: float) -> None:
    """Add (sign = 1) or take away (-1) a spot without its background."""
    height, width = image.shape
    reach = _REACH * spot[WIDTH]
    left, right = max(0, math.ceil(spot[X] - reach)), min(width - 1, math.floor(spot[X] + reach))
    top, bottom = max(0, math.ceil(spot[Y] - reach)), min(height - 1, math.floor(spot[Y] + reach))
    scale = 0.5 / spot[WIDTH] ** 2
    across = np.empty(max(right - left + 1, 0))
    for i in range(len(across)):
        across[i] = math.exp(-scale * (left + i - spot[X]) ** 2)
    for row in range(top, bottom + 1):
        factor = sign * spot[AMPLITUDE] * math.exp(-scale * (row - spot[Y]) ** 2)
        for i in range(len(across)):
            image[row, left + i] += factor * across[i]


@njit(cache=True, nogil=True)
def _weight(distance: float, radius: float) -> float:
    inner = _TAPER * radius
    if distance <= inner:
        return 1.0
    return math.cos(0.5 * math.pi * (distance - inner) / (radius - inner)) ** 2


@njit(cache=True, nogil=True)
def _pixels(image: np.ndarray, spot: np.ndarray, radius: float) -> tuple[int, int, int, int]:
    height, width = image.shape
    return (
        max(0, math.ceil(spot[X] - radius)),
        min(width - 1, math.floor(spot[X] + radius)),
        max(0, math.ceil(spot[Y] - radius)),
        min(height - 1, math.floor(spot[Y] + radius)),
    )


@njit(cache=True, nogil=True)
def _derivatives(spot: np.ndarray, dx: float, dy: float, out: np.ndarray) -> float:
    """Derivatives of the model by (A, x, y, s, b), written to `out`; the spot's own value."""
    shape = math.exp(-0.5 * (dx * dx + dy * dy) / spot[WIDTH] ** 2)
    value = spot[AMPLITUDE] * shape
    out[AMPLITUDE] = shape
    out[X] = value * dx / spot[WIDTH] ** 2
    out[Y] = value * dy / spot[WIDTH] ** 2
    out[WIDTH] = value * (dx * dx + dy * dy) / spot[WIDTH] ** 3
    out[BACKGROUND] = 1.0
    return value


@njit(cache=True, nogil=True)
def _step(residual: np.ndarray, spot: np.ndarray, radius: float, n_free: int) -> np.ndarray:
    """Damped Gauss-Newton step of one particle on R plus its own spot."""
    left, right, top, bottom = _pixels(residual, spot, radius)
    normal, gradient, slope = np.zeros((5, 5)), np.zeros(5), np.empty(5)
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            dx, dy = column - spot[X], row - spot[Y]
            distance = math.sqrt(dx * dx + dy * dy)
            if distance >= radius:
                continue
            weight = _weight(distance, radius)
            _derivatives(spot, dx, dy, slope)
            error = residual[row, column] - spot[BACKGROUND]
            for i in range(5):
                gradient[i] += weight * slope[i] * error
                for j in range(i, 5):
                    normal[i, j] += weight * slope[i] * slope[j]
    for i in range(5):
        for j in range(i):
            normal[i, j] = normal[j, i]
    for i in range(5):
        normal[i, i] = normal[i, i] * (1.0 + _DAMPING) + 1e-12
    step = np.zeros(5)
    step[:n_free] = np.linalg.solve(np.ascontiguousarray(normal[:n_free, :n_free]), gradient[:n_free])
    return step


@njit(cache=True, nogil=True)
def _relax(
    residual: np.ndarray, spots: np.ndarray, radius: float, n_free: int, sweeps: int, tolerance: float
) -> np.ndarray:
    """Sweep over all particles until none moves; leaves R in `residual` and returns the last steps (px)."""
    n = len(spots)
    steps = np.full(n, np.inf)
    widest = 0.9 * radius
    for k in range(n):
        _add_spot(residual, spots[k], -1.0)
    for _ in range(sweeps):
        for k in range(n):
            step = _step(residual, spots[k], radius, n_free)
            _add_spot(residual, spots[k], 1.0)
            move = math.sqrt(step[X] ** 2 + step[Y] ** 2)
            # A far step is a sign that the linear model does not hold there.
            shorter = 0.5 / max(move, 0.5)
            spots[k, X] += shorter * step[X]
            spots[k, Y] += shorter * step[Y]
            limit = 0.2 * spots[k, WIDTH]
            narrow = min(max(step[WIDTH], -limit), limit)
            spots[k, WIDTH] = min(max(spots[k, WIDTH] + narrow, _LEAST_WIDTH_PX), widest)
            spots[k, AMPLITUDE] = max(spots[k, AMPLITUDE] + step[AMPLITUDE], 0.1 * spots[k, AMPLITUDE])
            spots[k, BACKGROUND] += step[BACKGROUND]
            steps[k] = max(move, abs(narrow))
            _add_spot(residual, spots[k], -1.0)
        if n == 0 or np.max(steps) < tolerance:
            break
    return steps


@njit(cache=True, nogil=True)
def _propagate(
    residual: np.ndarray, noise: np.ndarray, spots: np.ndarray, radius: float, n_free: int
) -> tuple[np.ndarray, np.ndarray]:
    covariance, misfit = np.full((len(spots), 2), np.nan), np.full(len(spots), np.nan)
    slope = np.empty(5)
    for k in range(len(spots)):
        spot = spots[k]
        left, right, top, bottom = _pixels(residual, spot, radius)
        normal, noisy = np.zeros((5, 5)), np.zeros((5, 5))
        total = first = second = squares = expected = odd = even_odds = 0.0
        twice_x, twice_y = round(2 * spot[X]), round(2 * spot[Y])
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                dx, dy = column - spot[X], row - spot[Y]
                distance = math.sqrt(dx * dx + dy * dy)
                if distance >= radius:
                    continue
                weight = _weight(distance, radius)
                value = _derivatives(spot, dx, dy, slope)
                variance = noise[row, column]
                error = residual[row, column] - spot[BACKGROUND]
                seen = value + error
                total += weight
                first += weight * seen
                second += weight * seen * seen
                squares += weight * error * error
                expected += weight * variance
                across, down = twice_x - column, twice_y - row
                if 0 <= across < noise.shape[1] and 0 <= down < noise.shape[0]:
                    odd += weight * (residual[row, column] - residual[down, across]) ** 2
                    even_odds += weight * (variance + noise[down, across])
                for i in range(5):
                    for j in range(5):
                        normal[i, j] += weight * slope[i] * slope[j]
                        noisy[i, j] += weight * weight * variance * slope[i] * slope[j]
        if total < 6.0:
            continue
        for i in range(5):
            normal[i, i] += 1e-9 * normal[i, i] + 1e-12
        inverse = np.linalg.inv(np.ascontiguousarray(normal[:n_free, :n_free]))
        spread = inverse @ np.ascontiguousarray(noisy[:n_free, :n_free]) @ inverse
        # The two centre coordinates are fitted to the odd part, which has half as many free values as pixels.
        lopsided = odd / (even_odds * max(1.0 - 4.0 / total, 0.1)) if even_odds > 0 else 1.0
        growth = 1.0 + _PULL * max(lopsided - _CHANCE, 0.0)
        covariance[k, 0], covariance[k, 1] = growth * spread[X, X], growth * spread[Y, Y]
        signal = second - first * first / total - expected
        unexplained = max(squares - expected * max(1.0 - 5.0 / total, 0.0), 0.0)
        misfit[k] = unexplained / signal if signal > 0 else np.inf
    return covariance, misfit
