"""The noise of single pixels under the particles, from what a fit leaves of the image.

Where particles are few, nearly all pixels of an image are background and say little about the noise at a
particle's brightness. Once the particles are taken away, the few that are bright can be asked, too: second
differences of the residual keep the noise of independent pixels and remove all that varies slowly, so that light
which the template does not describe does not pass for noise.

References
----------
Immerkaer, Comput. Vis. Image Underst. 64, 300 (1996). Janesick, Photon Transfer (SPIE Press, 2007).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from colloidlab.features.pixel_noise import PixelNoise

_CLASSES = 10
_LEAST_PIXELS = 150
_MOST_MORE = 2.0
_MAD_TO_STD = 1.4826


def noise_under_particles(
    levels: Sequence[np.ndarray], residuals: Sequence[np.ndarray], otherwise: PixelNoise
) -> PixelNoise:
    """Fit var(I) = read + gain * I in classes of brightness, evenly spaced from dark to bright.

    Parameters
    ----------
    levels : sequence of float array, shape (height, width)
        Brightness expected of every pixel, grey levels.
    residuals : sequence of float array, shape (height, width)
        Images without background and particles, grey levels.
    otherwise : PixelNoise
        From the images themselves. Kept where they are too small or too even for a line, and where the
        residual is so much larger that it holds more than noise; its floor is kept always.
    """
    difference = np.concatenate([_second_difference(r).ravel() for r in residuals])
    level = np.concatenate([x[1:-1, 1:-1].ravel() for x in levels])
    low, high = np.percentile(level, [0.1, 99.9])
    edges = np.linspace(float(low), float(high), _CLASSES + 1)
    which = np.searchsorted(edges, level)
    middle, variance, count = [], [], []
    for k in range(1, _CLASSES + 1):
        chosen = which == k
        if np.count_nonzero(chosen) >= _LEAST_PIXELS:
            spread = _MAD_TO_STD * float(np.median(np.abs(difference[chosen])))
            middle.append(float(level[chosen].mean()))
            variance.append(max(spread**2, otherwise.least))
            count.append(float(np.count_nonzero(chosen)))
    if len(middle) < 3:
        return otherwise
    # A variance from n pixels is known to its own size times sqrt(2 / n), but no line is better than a few per cent.
    weight = 1 / (np.array(variance) * np.sqrt(2 / np.array(count) + 0.02**2))
    gain, read = np.polyfit(middle, variance, 1, w=weight)
    found = PixelNoise(float(read), float(gain), max(otherwise.least, 0.5 * min(variance)))
    ends = np.array([middle[0], middle[-1]])
    return found if (found.variance(ends) < _MOST_MORE * otherwise.variance(ends)).all() else otherwise


def _second_difference(image: np.ndarray) -> np.ndarray:
    """Product of second differences along both axes, scaled to keep the variance of white noise."""
    along = image[:-2] - 2 * image[1:-1] + image[2:]
    return np.asarray((along[:, :-2] - 2 * along[:, 1:-1] + along[:, 2:]) / 6.0)
