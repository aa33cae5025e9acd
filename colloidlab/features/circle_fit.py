"""Circles through outlines: found along rays to a fraction of a pixel, and a circle fitted to what was found.

An outline that crosses ray i, at angle a_i, by e_i outside of the circle moves it:

    e_i = dr + dx cos a_i + dy sin a_i

Crossings of something else are left out, as judged by the scatter of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from colloidlab.features.outlines import OutlineImage

_RAY_SPACING_PX = 3.0
"""Arc between rays: farther apart than the smoothing makes noise alike."""
_LEAST_RAYS = 24
_STEP_PX = 0.5
_ROUNDS = 4
_TURNS = 6
_LEAST_WINDOW_PX = 2.0
_LEAST_CROSSINGS = 8
_LEAST_RADIUS_PX = 1.0
_INLIER_SIGMAS = 3.0
_MAD_TO_STD = 1.4826
_LEAST_SPREAD_PX = 0.1
_TRUNCATION = 1.015
"""Standard deviation of a normal distribution over that of its part within three of them."""
_MOST_LAGS = 6
_SHARED_CROSSINGS = 30
"""The scatter that all circles have in common counts as much as so many crossings of one."""
_CLEAR = 0.6
"""Circles with this support tell how errors along an outline are correlated."""


@dataclass(frozen=True)
class CircleFit:
    """Circles, and how well outlines support them.

    Attributes
    ----------
    circles : float array, shape (n, 3), px
        x, y and radius; NaN where too few crossings were found.
    support : float array, shape (n,)
        Share of the rays in view that an outline crosses on the circle.
    in_view : float array, shape (n,)
        Share of the rays that lie in view.
    strength : float array, shape (n,), grey levels
        Typical strength of the outline.
    scatter : float array, shape (n,), px
        Of the crossings around the circle.
    sigma : float array, shape (n, 3), px
        Standard deviations of x, y and radius.
    """

    circles: np.ndarray
    support: np.ndarray
    in_view: np.ndarray
    strength: np.ndarray
    scatter: np.ndarray
    sigma: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> CircleFit:
        return CircleFit(
            self.circles[chosen],
            self.support[chosen],
            self.in_view[chosen],
            self.strength[chosen],
            self.scatter[chosen],
            self.sigma[chosen],
        )


def fit_circles(outlines: OutlineImage, starts: np.ndarray, windows_px: np.ndarray) -> CircleFit:
    """Fit a circle around each first guess.

    Parameters
    ----------
    outlines : OutlineImage
    starts : float array, shape (n, 3), px
        x, y and radius.
    windows_px : float array, shape (n,)
        How far from the first guess an outline is looked for; half as far in every further round.
    """
    n_rays = np.maximum(_LEAST_RAYS, np.round(2 * np.pi * starts[:, 2] / _RAY_SPACING_PX)).astype(np.int64)
    fitted = np.full((len(starts), 10), np.nan)
    products = np.full((len(starts), _MOST_LAGS + 1), np.nan)
    for k in range(len(starts)):
        rests, kept = _fit(
            outlines.parts, outlines.line, outlines.least, starts[k], windows_px[k], n_rays[k], fitted[k]
        )
        _mean_products(rests, kept, products[k])
    clear = fitted[:, 3] >= _CLEAR
    variances = fitted[:, 6:9] * _shrunk(fitted[:, 9], fitted[:, 3] * fitted[:, 4] * n_rays, clear)[:, None]
    sigma = _TRUNCATION * np.sqrt(variances * _correlation(products[clear], n_rays[clear]))
    # The crest of a blurred outline lies towards the centre of its curvature: by w^2 / (2 r) of the smoothing.
    circles = fitted[:, :3] + np.array([0.0, 0.0, 0.5 * outlines.width_px**2]) / fitted[:, 2:3]
    return CircleFit(circles, fitted[:, 3], fitted[:, 4], fitted[:, 5], fitted[:, 9], sigma)


def _shrunk(scatter: np.ndarray, n: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Squared scatter of every circle, which few crossings tell badly, mixed with that of all clear ones."""
    own = scatter**2
    if not clear.any():
        return own
    return np.asarray((n * own + _SHARED_CROSSINGS * np.median(own[clear])) / (n + _SHARED_CROSSINGS))


def _correlation(products: np.ndarray, n_rays: np.ndarray) -> float:
    """By how much crossings that err alike raise the variances: 1 + 2 sum of their correlations.

    Residuals are less correlated than errors, for the fit follows the errors: by f (1 + 2 cos 2 pi k / n) / n
    at lag k, where f is the result and n the number of rays.
    """
    if len(products) == 0:
        return 1.0
    lags = np.arange(1, _MOST_LAGS + 1)
    taken = ((1 + 2 * np.cos(2 * np.pi * lags / n_rays[:, None])) / n_rays[:, None]).mean(axis=0)
    raw = np.nanmean(products, axis=0)[1:]
    factor = 1.0
    for _ in range(_ROUNDS):
        rho = raw * (1 - factor * (3 / n_rays).mean()) + factor * taken
        # Beyond the first lag without correlation there is only chance.
        last = int(np.argmax(rho <= 0)) if (rho <= 0).any() else len(rho)
        factor = float(1.0 + 2.0 * rho[:last].sum())
    return factor


@njit(cache=True, nogil=True)
def _fit(
    parts: np.ndarray,
    line: bool,
    least: float,
    start: np.ndarray,
    window: float,
    n_rays: int,
    fitted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals and which of them count; fills `fitted`.

    With circle, support, share in view, strength, diagonal of the inverse normal matrix and scatter.
    """
    circle = start.copy()
    kept = np.zeros(n_rays, np.bool_)
    crossings, strengths = np.empty(n_rays), np.empty(n_rays)
    for _ in range(_ROUNDS):
        in_view = _cross(parts, line, least, circle, window, crossings, strengths)
        move, inverse, spread = _adjust(crossings, kept)
        if not np.isfinite(spread) or circle[2] + move[2] < _LEAST_RADIUS_PX:
            kept[:] = False
            return crossings, kept
        circle += move
        window = max(_LEAST_WINDOW_PX, 0.5 * window)
    fitted[:3] = circle
    fitted[3] = kept.sum() / in_view
    fitted[4] = in_view / n_rays
    fitted[5] = np.median(strengths[kept])
    for j in range(3):
        fitted[6 + j] = inverse[j, j]
    fitted[9] = spread
    return crossings, kept


@njit(cache=True, nogil=True)
def _cross(
    parts: np.ndarray,
    line: bool,
    least: float,
    circle: np.ndarray,
    window: float,
    crossings: np.ndarray,
    strengths: np.ndarray,
) -> int:
    """How far outside the circle the strongest outline crosses every ray; the number of rays in view.

    NaN where no outline within the window is stronger than `least`, or the ray leaves the view.
    """
    height, width = parts.shape[1:]
    x, y, r = circle
    steps = int(np.ceil(window / _STEP_PX))
    strength = np.empty(2 * steps + 3)
    in_view = 0
    for i in range(len(crossings)):
        angle = 2 * np.pi * i / len(crossings)
        c, s = np.cos(angle), np.sin(angle)
        far = r + (steps + 1) * _STEP_PX
        crossings[i] = strengths[i] = np.nan
        if not (0 <= x + far * c < width - 1 and 0 <= y + far * s < height - 1):
            continue
        in_view += 1
        for k in range(len(strength)):
            at = max(r + (k - steps - 1) * _STEP_PX, 0.0)
            strength[k] = _strength(parts, line, x + at * c, y + at * s, -c, -s)
        most = least
        for k in range(1, len(strength) - 1):
            if strength[k] > most and strength[k] >= strength[k - 1] and strength[k] > strength[k + 1]:
                most = strengths[i] = strength[k]
                bend = strength[k - 1] - 2 * strength[k] + strength[k + 1]
                within = 0.5 * (strength[k - 1] - strength[k + 1]) / bend
                crossings[i] = (k - steps - 1 + within) * _STEP_PX
    return in_view


@njit(cache=True, nogil=True)
def _strength(parts: np.ndarray, line: bool, x: float, y: float, c: float, s: float) -> float:
    """Strength of the outline across (c, s), by linear interpolation."""
    a, b = int(x), int(y)
    u, v = x - a, y - b
    corners = ((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v)
    total = 0.0
    for j in range(3 if line else 2):
        part = parts[j]
        value = corners[0] * part[b, a] + corners[1] * part[b, a + 1]
        value += corners[2] * part[b + 1, a] + corners[3] * part[b + 1, a + 1]
        if line:
            total += value * (c * c if j == 0 else (s * s if j == 1 else 2 * c * s))
        else:
            total += value * (c if j == 0 else s)
    return total


@njit(cache=True, nogil=True)
def _adjust(crossings: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Move (dx, dy, dr), inverse normal matrix and scatter; the scatter is inf where too little was found.

    `crossings` become residuals, and `kept` tells which of them count.
    """
    n_rays = len(crossings)
    rows = np.ones((n_rays, 3))
    angle = 2 * np.pi * np.arange(n_rays) / n_rays
    rows[:, 0], rows[:, 1] = np.cos(angle), np.sin(angle)
    move, inverse, spread = np.zeros(3), np.eye(3), np.inf
    for _ in range(_TURNS):
        rests = crossings - rows @ move
        for i in range(n_rays):
            kept[i] = np.isfinite(rests[i]) and abs(rests[i]) < _INLIER_SIGMAS * spread
        chosen = rows[kept]
        n = len(chosen)
        matrix = chosen.T @ chosen
        # Crossings on a short arc do not fix a circle.
        if n < _LEAST_CROSSINGS or np.linalg.det(matrix) < 1e-4 * n**3:
            return move, inverse, np.inf
        inverse = np.linalg.inv(matrix)
        move = inverse @ (chosen.T @ crossings[kept])
        rests = (crossings - rows @ move)[kept]
        spread = max(_MAD_TO_STD * np.median(np.abs(rests)), _LEAST_SPREAD_PX)
    crossings -= rows @ move
    return move, inverse, np.sqrt((rests**2).sum() / (n - 3))


@njit(cache=True, nogil=True)
def _mean_products(rests: np.ndarray, kept: np.ndarray, products: np.ndarray) -> None:
    """Mean products of residuals 0, 1, 2, ... rays apart, in units of their variance; NaN without any."""
    n = len(rests)
    variance = 0.0
    for lag in range(len(products)):
        total, count = 0.0, 0
        for i in range(n):
            j = (i + lag) % n
            if kept[i] and kept[j]:
                total += rests[i] * rests[j]
                count += 1
        if lag == 0 and count > 0:
            variance = total / count
        if count > 0 and variance > 0:
            products[lag] = total / count / variance
