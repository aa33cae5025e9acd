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
_STEPS = 2048
"""Brightness is sorted to this part of its range."""
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
    middle, spread = _by_brightness(level, difference, classes)
    variance = np.maximum(spread**2, least)
    read, gain = _line(middle, variance)
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


@njit(cache=True, nogil=True)
def _by_brightness(level: np.ndarray, difference: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean level and robust standard deviation of the differences in classes of rising brightness, equally many each."""
    ordered = _order(level)
    each = len(level) // classes
    middle, spread = np.empty(classes), np.empty(classes)
    part = np.empty(each, difference.dtype)
    for c in range(classes):
        total = square = 0.0
        for i in range(each):
            k = ordered[c * each + i]
            total += level[k]
            square += np.float64(difference[k]) ** 2
            part[i] = abs(difference[k])
        middle[c] = total / each
        robust = _MAD_TO_STD * _ranked(part, each // 2)
        # Whole grey levels can make the median zero although there is noise; the mean of the differences is zero.
        spread[c] = robust if robust > 0 else np.sqrt(square / each)
    return middle, spread


@njit(cache=True, nogil=True)
def _ranked(values: np.ndarray, rank: int) -> float:
    """The value of that rank among values of at least 0: only those that share its step are sorted."""
    top = np.float64(values.max())
    if top == 0:
        return 0.0
    scale = (_STEPS - 1) / top
    counts = np.zeros(_STEPS, np.int32)
    for i in range(len(values)):
        counts[np.int32(values[i] * scale)] += 1
    step = below = 0
    while below + counts[step] <= rank:
        below += counts[step]
        step += 1
    same = np.empty(counts[step], values.dtype)
    n = 0
    for i in range(len(values)):
        if np.int32(values[i] * scale) == step:
            same[n] = values[i]
            n += 1
    same.sort()
    return np.float64(same[rank - below])


@njit(cache=True, nogil=True)
def _order(level: np.ndarray) -> np.ndarray:
    """Order of rising brightness, to a part in `_STEPS` of the range: counted, not compared."""
    low, high = level.min(), level.max()
    scale = (_STEPS - 1) / max(np.float64(high) - np.float64(low), 1e-30)
    step = np.empty(len(level), np.int32)
    first = np.zeros(_STEPS + 1, np.int32)
    for i in range(len(level)):
        step[i] = np.int32((level[i] - low) * scale)
        first[step[i] + 1] += 1
    for k in range(1, len(first)):
        first[k] += first[k - 1]
    order = np.empty(len(level), np.int32)
    for i in range(len(level)):
        order[first[step[i]]] = i
        first[step[i]] += 1
    return order


@njit(cache=True, nogil=True)
def _line(middle: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """Read and gain of the line through the classes, whose variances are known to a share of themselves."""
    if middle.max() - middle.min() <= 1e-6 * max(np.abs(middle).max(), 1e-300):
        return variance.mean(), 0.0
    weight = np.empty_like(variance)
    for k in range(len(variance)):
        weight[k] = max(variance[k], 0.01 * variance.max() + 1e-300) ** -2
    weight /= weight.sum()
    centre, height = (weight * middle).sum(), (weight * variance).sum()
    gain = (weight * (middle - centre) * (variance - height)).sum() / (weight * (middle - centre) ** 2).sum()
    return height - gain * centre, gain
