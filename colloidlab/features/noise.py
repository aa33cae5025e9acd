"""The noise of a camera, from one image: a pixel's variance grows in a line with its brightness.

    var(I) = read + gain * I

Read and gain come from local differences of what is left after the particles were taken away, in bins
of brightness, as the photon-transfer curve of a camera test does with two exposures.

References
----------
Janesick, Photon Transfer (SPIE Press, 2007). Immerkaer, Comput. Vis. Image Underst. 64, 300 (1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_BINS = 12
_LEAST_PIXELS = 200
_QUANTISATION = 1.0 / 12.0
"""Variance of rounding to whole grey levels, in grey levels squared."""
_MAD_TO_STD = 1.4826
_FAR = 3
_MOST_CORRELATION = 4.0


@dataclass(frozen=True)
class NoiseModel:
    """Variance of a pixel: read + gain * I, grey levels squared, never below `least`."""

    read: float
    gain: float
    least: float

    def variance(self, image: np.ndarray) -> np.ndarray:
        """Variance of every pixel of `image`, same shape."""
        return np.maximum(self.read + self.gain * np.asarray(image, dtype=float), self.least)


def noise_model(
    image: np.ndarray, residual: np.ndarray, background: np.ndarray, *, whole_levels: bool
) -> NoiseModel:
    """Fit var(I) = read + gain * I to one frame.

    Parameters
    ----------
    image : float array, shape (height, width)
        Grey levels.
    residual : float array, shape (height, width)
        The image without its particles; the background may vary smoothly.
    background : bool array, shape (height, width)
        Pixels outside every particle.
    whole_levels : bool
        The recording has whole grey levels, so the variance is at least that of rounding.

    Notes
    -----
    Smoothing and compression make the noise of neighbouring pixels alike, which hides it from their
    differences. Where enough background is in view, differences over three pixels are compared with
    those over one, and the variance is raised by their ratio (at most 4, beyond which it is structure).
    """
    near = _second_difference(residual, 1)
    middle, variance, count = _variance_by_level(ndimage.uniform_filter(image, 3), near)
    least = _QUANTISATION if whole_levels else 0.0
    if len(middle) == 0:
        return NoiseModel(least, 0.0, least)
    variance = np.maximum(variance * _correlation(residual, background), least)
    read, gain = _line(middle, variance, count)
    return NoiseModel(read, gain, max(least, 0.5 * float(variance.min())))


def _second_difference(residual: np.ndarray, lag: int) -> np.ndarray:
    """Product of the second differences along both axes over `lag` px, scaled to keep white noise's variance.

    A margin of 2 * lag, where the differences would reach outside, is cut off.
    """
    kernel = np.zeros(2 * lag + 1)
    kernel[[0, lag, 2 * lag]] = 1.0, -2.0, 1.0
    result = ndimage.correlate1d(ndimage.correlate1d(residual, kernel, axis=0), kernel, axis=1)
    return np.asarray(result[2 * lag : -2 * lag, 2 * lag : -2 * lag] / 6.0)


def _correlation(residual: np.ndarray, background: np.ndarray) -> float:
    """Ratio of the variances of far and near differences over background alone, between 1 and 4."""
    reach = np.ones((2 * _FAR + 1, 2 * _FAR + 1), dtype=bool)
    clear = ndimage.binary_erosion(background, reach)[2 * _FAR : -2 * _FAR, 2 * _FAR : -2 * _FAR]
    if np.count_nonzero(clear) < _LEAST_PIXELS:
        return 1.0
    cut = 2 * (_FAR - 1)
    near = _robust_variance(_second_difference(residual, 1)[cut:-cut, cut:-cut][clear])
    far = _robust_variance(_second_difference(residual, _FAR)[clear])
    return float(np.clip(far / near, 1.0, _MOST_CORRELATION)) if near > 0 else 1.0


def _robust_variance(values: np.ndarray) -> float:
    if values.size == 0:
        return 0.0
    spread = float(np.median(np.abs(values))) * _MAD_TO_STD
    # Whole grey levels can make the median zero although there is noise.
    return spread**2 if spread > 0 else float(np.var(values))


def _variance_by_level(
    level: np.ndarray, difference: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean brightness, variance and number of pixels in bins of brightness."""
    inner = level[2:-2, 2:-2].ravel()
    flat = difference.ravel()
    if flat.size < _LEAST_PIXELS:
        return np.empty(0), np.empty(0), np.empty(0)
    edges = np.linspace(inner.min(), inner.max(), _BINS + 1)
    which = np.clip(np.searchsorted(edges, inner, side="right") - 1, 0, _BINS - 1)
    full = [b for b in range(_BINS) if np.count_nonzero(which == b) >= _LEAST_PIXELS]
    if not full:
        return np.array([inner.mean()]), np.array([_robust_variance(flat)]), np.array([float(flat.size)])
    groups = [which == b for b in full]
    return (
        np.array([inner[g].mean() for g in groups]),
        np.array([_robust_variance(flat[g]) for g in groups]),
        np.array([float(np.count_nonzero(g)) for g in groups]),
    )


def _line(middle: np.ndarray, variance: np.ndarray, count: np.ndarray) -> tuple[float, float]:
    """Weighted line through the bins; a variance of n pixels is known to its own size times sqrt(2/n)."""
    if len(middle) < 3 or np.ptp(middle) <= 0:
        return float(np.average(variance, weights=count)), 0.0
    weight = np.sqrt(count) / np.maximum(variance, 1e-12 + 0.01 * variance.max())
    gain, read = np.polyfit(middle, variance, 1, w=weight)
    return float(read), float(gain)
