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
from scipy.spatial import cKDTree

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


_ALIKE = 1.5
"""Blobs of the same kind of particle differ in scale by less than this factor."""
_APART = 1.5
"""Blobs nearer than so many scales are two maxima of one particle."""
_NEIGHBOURS = 6
_IN_CONTACT = 10.0
"""Percentage of the nearest neighbours that touch: enough not to hang on accidents."""
_LEAST_PAIRS = 50
_GAS = 1.5
_MOST_IN_DISC = 1.6
"""A disc wider than so many distances of contact holds most of a neighbour."""
_DISC_IN_CONTACT = 1.25
_LEAST_DIAMETER_PX = 3


@dataclass(frozen=True)
class Neighbours:
    """Distances of nearest neighbours, px: tenth percentile and median; infinite where too few are seen."""

    contact_px: float = np.inf
    median_px: float = np.inf

    @property
    def scattered(self) -> bool:
        """Is the arrangement that of a gas, whose median is 2.6 times the tenth percentile, not of a layer?"""
        return np.isfinite(self.contact_px) and self.median_px > _GAS * self.contact_px


@dataclass(frozen=True)
class Blobs:
    """Round maxima of the response in space and scale.

    Attributes
    ----------
    scales : float array, shape (n,), px
    responses : float array, shape (n,), grey levels
    places : float array, shape (n, 3)
        Number of the image, row and column (px).
    """

    scales: np.ndarray
    responses: np.ndarray
    places: np.ndarray

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

    @property
    def neighbours(self) -> Neighbours:
        """Distances between nearest neighbours of the same kind."""
        if len(self.scales) == 0:
            return Neighbours()
        typical = self.scale
        alike = self.strong & (self.scales > typical / _ALIKE) & (self.scales < typical * _ALIKE)
        nearest = np.concatenate(
            [
                _nearest(self.places[alike & (self.places[:, 0] == image), 1:], _APART * typical)
                for image in np.unique(self.places[:, 0])
            ]
        )
        if len(nearest) < _LEAST_PAIRS:
            return Neighbours()
        contact, median = np.percentile(nearest, [_IN_CONTACT, 50.0])
        return Neighbours(float(contact), float(median))


def find_blobs(images: Sequence[np.ndarray], *, dark: bool) -> Blobs:
    """Bright (or dark) round blobs of several images, at all scales from 1 px to a tenth of the view."""
    sign = -1.0 if dark else 1.0
    found = [_blobs_of(np.ascontiguousarray(image, dtype=np.float32), sign) for image in images]
    scales, responses, places = (np.concatenate(parts) for parts in zip(*found, strict=True))
    which = np.repeat(np.arange(len(images)), [len(parts[0]) for parts in found])
    return Blobs(scales, responses, np.column_stack([which, places]))


def _nearest(places: np.ndarray, least: float) -> np.ndarray:
    """Distance from every place to the nearest one that is farther than `least`, where there is one."""
    if len(places) < 2:
        return np.empty(0)
    distance, _ = cKDTree(places).query(places, k=min(_NEIGHBOURS, len(places)))
    distance = np.where(distance > least, distance, np.inf).min(axis=1)
    return np.asarray(distance[np.isfinite(distance)])


def diameter_from_scale(scale_px: float) -> int:
    """Odd diameter that holds a blob of this scale with its rim: the odd number nearest to 3 s + 5.

    Small spots need a rim for the band-pass to see the background; for large ones the widths of a Gaussian
    overstate the rim. The rule gives what people chose for recordings with blobs of 1.2 to 5.3 px.
    """
    return int(2 * round((3.0 * scale_px + 4.0) / 2.0) + 1)


def diameter_in_contact(diameter_px: int, contact_px: float) -> int:
    """The diameter, or a smaller one where the disc would hold the neighbours that touch the particle."""
    if diameter_px <= _MOST_IN_DISC * contact_px:
        return diameter_px
    return max(2 * round((_DISC_IN_CONTACT * contact_px - 1) / 2) + 1, _LEAST_DIAMETER_PX)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Value below which half of the weight lies."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, 0.5 * cumulative[-1])])


def _blobs_of(image: np.ndarray, sign: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scales, responses and places (row, column) of the blobs of one image."""
    most = _MOST_SCALE * min(image.shape)
    count = max(int(np.log(most / _LEAST_SCALE_PX) / np.log(_RATIO)) + 1, 3)
    scales = _LEAST_SCALE_PX * _RATIO ** np.arange(count)
    found_scales, found_responses, places = [], [], []
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
            places.append(factor * np.column_stack([rows, columns]).astype(float))
    return np.concatenate(found_scales), np.concatenate(found_responses), np.concatenate(places)


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
