"""Are positions drawn towards the centres of pixels, or away from them?

A position that is measured wrongly by -(A) sin(2 pi x) for a true sub-pixel part x is drawn to the nearest
pixel's centre by up to A. True sub-pixel parts are evenly spread where particles do not know of pixels; the
measured ones then have the mean of cos(2 pi x) of J1(2 pi A).

| symbol | name | meaning |
|---|---|---|
| A | `amplitude_px` | largest displacement towards the centres of pixels; negative: away from them |
| n | | positions times axes |
| J1 | | Bessel function of the first kind |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SIGNIFICANT = 4.0
"""Standard errors; positions of one frame are looked at again and again while options move."""
_LEAST_PX = 0.01
"""A smaller one is lost in the localisation errors of any camera."""


@dataclass(frozen=True)
class PixelBias:
    """How far pixels draw positions.

    Attributes
    ----------
    amplitude_px : float
        Largest displacement towards the centres of pixels, px; negative away from them.
    error_px : float
        One standard error of a set of positions without bias.
    """

    amplitude_px: float
    error_px: float

    @property
    def matters(self) -> bool:
        """Is it beyond chance, and large enough to be seen beside a localisation error?"""
        return bool(abs(self.amplitude_px) > max(_SIGNIFICANT * self.error_px, _LEAST_PX))


def pixel_bias(positions: np.ndarray) -> PixelBias:
    """Bias of positions towards the centres of pixels.

    Parameters
    ----------
    positions : float array, shape (n_particles, 2), px
        Centres of pixels at whole numbers. Of particles that do not stand on a lattice of whole pixels: there
        an even spread is no expectation.

    Returns
    -------
    PixelBias
        To first order in the mean of cos(2 pi x), which J1 is half of 2 pi A. NaN without a position.

    References
    ----------
    The mean is the statistic of Rayleigh's test against one direction: Mardia and Jupp, Directional Statistics
    (Wiley, 2000), section 6.3; its variance is 1 / (2 n).

    Where all positions are whole numbers, the mean is 1:

    >>> pixel_bias(np.array([[3.0, 4.0], [10.0, 20.0]])).amplitude_px
    0.318309886184
    """
    parts = np.asarray(positions, dtype=float).ravel()
    if not len(parts):
        return PixelBias(float("nan"), float("nan"))
    mean = float(np.cos(2 * np.pi * parts).mean())
    return PixelBias(round(mean / np.pi, 12), float(1 / np.sqrt(2 * len(parts)) / np.pi))


def subpixel_shares(positions: np.ndarray, n_bins: int = 10) -> tuple[np.ndarray, float]:
    """How evenly the sub-pixel parts of positions are spread.

    Returns
    -------
    shares : float array, shape (2, n_bins)
        Number of positions in each tenth of a pixel relative to an even spread, along x and y.
    spread : float
        Two standard deviations of a share by counting alone.
    """
    parts = np.asarray(positions, dtype=float).reshape(-1, 2) % 1
    expected = max(len(parts) / n_bins, 1e-9)
    counts = [np.histogram(part, bins=n_bins, range=(0, 1))[0] for part in parts.T]
    return np.array(counts) / expected, float(2 * np.sqrt((1 - 1 / n_bins) / expected))
