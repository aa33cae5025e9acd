"""Size and polarity of the particles from the response of the image to blobs of every scale.

The response at scale s is -s^2 times the Laplacian of the image smoothed with a Gaussian of width s. At the
centre of a bright Gaussian spot it is largest where s equals the spot's own width.

References
----------
Lindeberg, Int. J. Comput. Vis. 30, 79 (1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_LEAST_SCALE_PX = 0.9
_MOST_SCALE = 0.1
"""Largest scale, in heights or widths of the view, whichever is less."""
_REDUCED_SCALE_PX = 4.0
"""Images are reduced to this scale before larger ones are looked for: the smoothing leaves nothing finer."""
_OCTAVE = 4
"""Scales that share a reduction."""
_RATIO = 1.18
"""Ratio of neighbouring scales."""
_LEAST_ROUNDNESS = 0.5
"""Ratio of the two curvatures of the response at a blob; lines and edges have less."""
_STRONG = 0.5
"""A blob counts when its response is at least this fraction of the typical one."""


@dataclass(frozen=True)
class Blobs:
    """Round maxima of the response in space and scale: scales in px and responses in grey levels."""

    scales: np.ndarray
    responses: np.ndarray

    @property
    def strong(self) -> np.ndarray:
        """True for blobs with at least half of the typical response, the median weighted by energy."""
        energy = self.responses**2 * self.scales**2
        return self.responses >= _STRONG * weighted_median(self.responses, energy)

    @property
    def energy(self) -> float:
        """Squared response times area, summed over the strong blobs."""
        if len(self.scales) == 0:
            return 0.0
        chosen = self.strong
        return float((self.responses[chosen] ** 2 * self.scales[chosen] ** 2).sum())

    @property
    def scale(self) -> float:
        """Typical scale of the strong blobs, px: the median weighted by energy."""
        chosen = self.strong
        return weighted_median(self.scales[chosen], self.responses[chosen] ** 2 * self.scales[chosen] ** 2)


def find_blobs(images: Sequence[np.ndarray], *, dark: bool) -> Blobs:
    """Bright (or dark) round blobs of several images, at all scales from 1 px to a tenth of the view."""
    scales, responses = [], []
    for image in images:
        s, r = _blobs_of(np.ascontiguousarray(image, dtype=np.float32), -1.0 if dark else 1.0)
        scales.append(s)
        responses.append(r)
    return Blobs(np.concatenate(scales), np.concatenate(responses))


def diameter_from_scale(scale_px: float) -> int:
    """Odd diameter that holds a blob of this scale with its rim: the odd number nearest to 3 s + 5.

    Small spots need a rim for the band-pass to see the background; for large ones the widths of a Gaussian
    overstate the rim. The rule gives what people chose for recordings with blobs of 1.2 to 5.3 px.
    """
    return int(2 * round((3.0 * scale_px + 4.0) / 2.0) + 1)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Value below which half of the weight lies."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, 0.5 * cumulative[-1])])


def _blobs_of(image: np.ndarray, sign: float) -> tuple[np.ndarray, np.ndarray]:
    most = _MOST_SCALE * min(image.shape)
    count = max(int(np.log(most / _LEAST_SCALE_PX) / np.log(_RATIO)) + 1, 3)
    scales = _LEAST_SCALE_PX * _RATIO ** np.arange(count)
    found_scales, found_responses = [], []
    for first in range(0, count - 1, _OCTAVE):
        inner = range(first, min(first + _OCTAVE, count - 1))
        factor = max(1, int(scales[first] / _REDUCED_SCALE_PX))
        reduced = _reduced(image, factor)
        # Below the least scale nothing is looked at: spots of a pixel respond most at the least itself.
        used = scales[[max(k, 0) for k in range(first - 1, inner[-1] + 2)]]
        responses = [_response(reduced, s / factor, sign) for s in used]
        for i, k in enumerate(inner, start=1):
            rows, columns = _maxima(*responses[i - 1 : i + 2])
            found_responses.append(responses[i][rows, columns].astype(float))
            found_scales.append(np.full(len(rows), scales[k]))
    return np.concatenate(found_scales), np.concatenate(found_responses)


def _reduced(image: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return image
    height, width = (n // factor for n in image.shape)
    part = np.ascontiguousarray(image[: height * factor, : width * factor])
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA))


def _response(image: np.ndarray, scale: float, sign: float) -> np.ndarray:
    smooth = cv2.GaussianBlur(image, (0, 0), scale, borderType=cv2.BORDER_REFLECT)
    laplacian = cv2.filter2D(smooth, cv2.CV_32F, _LAPLACIAN, borderType=cv2.BORDER_REFLECT)
    return np.asarray(-sign * scale**2 * laplacian)


_LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=np.float32)


def _maxima(below: np.ndarray, here: np.ndarray, above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round maxima of `here` over a 5 x 5 neighbourhood and the two neighbouring scales."""
    square = np.ones((5, 5), np.uint8)
    highest = cv2.dilate(np.maximum(np.maximum(below, above), here), square)
    # Rounding of the response leaves maxima in flat images; they are no blobs.
    peak = (here >= highest) & (here > 1e-5 * max(float(np.abs(here).max()), 1e-30)) & (here > 0)
    peak[:2], peak[-2:], peak[:, :2], peak[:, -2:] = False, False, False, False
    row, column = np.nonzero(peak)
    centre = here[row, column]
    xx = here[row, column + 1] + here[row, column - 1] - 2 * centre
    yy = here[row + 1, column] + here[row - 1, column] - 2 * centre
    xy = 0.25 * (
        here[row + 1, column + 1]
        + here[row - 1, column - 1]
        - here[row + 1, column - 1]
        - here[row - 1, column + 1]
    )
    mean, spread = -0.5 * (xx + yy), np.sqrt(0.25 * (xx - yy) ** 2 + xy**2)
    is_round = mean - spread >= _LEAST_ROUNDNESS * np.maximum(mean + spread, 1e-30)
    return row[is_round], column[is_round]
