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

import numpy as np

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
    count = int(np.clip(_PIXELS // (width - 2), 1, height - 2))
    rows = np.unique(np.linspace(1, height - 2, count).astype(int))
    above, here, below = (image[rows + k].astype(np.float32) for k in (-1, 0, 1))
    along_y = above - 2 * here + below
    difference = (along_y[:, :-2] - 2 * along_y[:, 1:-1] + along_y[:, 2:]).ravel() / 6.0
    level = ((above + here + below)[:, 1:-1] / 3.0).ravel()
    order = np.argsort(level)
    groups = [g for g in np.array_split(order, _CLASSES) if len(g)]
    middle = np.array([level[g].mean() for g in groups])
    variance = np.array([max(_spread(difference[g]) ** 2, least) for g in groups])
    read, gain = _line(middle, variance)
    return PixelNoise(read, gain, max(least, 0.5 * float(variance.min())))


def _spread(values: np.ndarray) -> float:
    robust = _MAD_TO_STD * float(np.median(np.abs(values)))
    # Whole grey levels can make the median zero although there is noise.
    return robust if robust > 0 else float(np.std(values))


def _line(middle: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    if np.ptp(middle) <= 1e-6 * max(float(np.abs(middle).max()), 1e-300):
        return float(variance.mean()), 0.0
    gain, read = np.polyfit(middle, variance, 1, w=1 / np.maximum(variance, 0.01 * variance.max() + 1e-300))
    return float(read), float(gain)
