"""The noise of a camera from a sample of one image's pixels, cheap enough for every frame.

    var(I) = read + gain * I

The product of second differences along both axes keeps the noise of independent pixels and removes all that
varies slowly; its robust spread in classes of brightness gives the line.

References
----------
Immerkaer, Comput. Vis. Image Underst. 64, 300 (1996). Janesick, Photon Transfer (SPIE Press, 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

_PIXELS = 12_288
_CLASSES = 6
_MAD_TO_STD = 1.4826
_ROUNDING = 1.0 / 12.0
"""Variance of rounding to whole grey levels."""


@dataclass(frozen=True)
class PixelNoise:
    """Variance of a pixel of brightness I: read + gain * I, but never below `least`; grey levels squared."""

    read: float
    gain: float
    least: float

    def variance(self, brightness: np.ndarray) -> np.ndarray:
        """Variance of pixels of this mean brightness, same shape."""
        return np.maximum(self.read + self.gain * np.asarray(brightness, dtype=float), self.least)


def sample_noise(image: np.ndarray) -> PixelNoise:
    """Fit the line to at most some 12 000 pixels, taken from rows evenly over the image.

    Parameters
    ----------
    image : array, shape (height, width), at least 3 x 3
    """
    least = _ROUNDING if image.dtype.kind == "u" else 0.0
    height, width = image.shape
    if min(height, width) < 3:
        return PixelNoise(least, 0.0, least)
    rows = _rows(height, width)
    size = len(rows) * (width - 2)
    level, difference = np.empty(size, np.float32), np.empty(size, np.float32)
    _second_differences(image, rows, level, difference)
    classes = min(_CLASSES, size)
    order = _order(level)[: size // classes * classes].reshape(classes, -1)
    middle, variance = level[order].mean(axis=1), np.maximum(_spread(difference[order]) ** 2, least)
    read, gain = _line(middle.astype(float), variance.astype(float))
    return PixelNoise(read, gain, max(least, 0.5 * float(variance.min())))


@lru_cache(maxsize=8)
def _rows(height: int, width: int) -> np.ndarray:
    """Rows evenly over the image that hold the sample."""
    count = int(np.clip(_PIXELS // (width - 2), 1, height - 2))
    return np.unique(np.linspace(1, height - 2, count).astype(int))


@njit(cache=True, nogil=True)
def _second_differences(
    image: np.ndarray, rows: np.ndarray, level: np.ndarray, difference: np.ndarray
) -> None:
    """Mean of three pixels in a column, and second difference along both axes with the variance of one pixel."""
    n = 0
    for y in rows:
        above, here, below = image[y - 1], image[y], image[y + 1]
        for x in range(1, len(here) - 1):
            total = 0.0
            for k in range(-1, 2):
                second = float(above[x + k]) - 2 * float(here[x + k]) + float(below[x + k])
                total += second if k else -2 * second
            difference[n] = total / 6
            level[n] = (float(above[x]) + float(here[x]) + float(below[x])) / 3
            n += 1


def _order(level: np.ndarray) -> np.ndarray:
    """Order of rising brightness, to a part in 65 535 of the range: 16 bit are sorted three times as fast."""
    low, high = level.min(), level.max()
    steps = (level - low) * np.float32(np.iinfo(np.uint16).max / max(high - low, 1e-30))
    return np.argsort(steps.astype(np.uint16), kind="stable")


def _spread(values: np.ndarray) -> np.ndarray:
    """Robust standard deviation of every row."""
    half = values.shape[1] // 2
    robust = _MAD_TO_STD * np.partition(np.abs(values), half, axis=1)[:, half]
    # Whole grey levels can make the median zero although there is noise.
    return np.asarray(np.where(robust > 0, robust, values.std(axis=1)))


def _line(middle: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """Read and gain of the line through the classes, whose variances are known to a share of themselves."""
    if np.ptp(middle) <= 1e-6 * max(float(np.abs(middle).max()), 1e-300):
        return float(variance.mean()), 0.0
    weight = np.maximum(variance, 0.01 * variance.max() + 1e-300) ** -2
    weight /= weight.sum()
    centre, height = float(weight @ middle), float(weight @ variance)
    gain = float(weight @ ((middle - centre) * (variance - height)) / (weight @ (middle - centre) ** 2))
    return height - gain * centre, gain
