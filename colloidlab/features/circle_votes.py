"""Where circles may be: every pixel of an outline votes for the centres that lie across it.

References
----------
Kimme, Ballard and Sklansky, Commun. ACM 18, 120 (1975).
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from colloidlab.features.outlines import OutlinePoints

_SPREAD_PX = 1.2
"""Width over which votes for one centre scatter."""
_LEAST_SHARE = 0.06
"""Share of a circle's votes that must meet for it to be looked at."""


def vote_for_circles(
    points: OutlinePoints, radii_px: tuple[float, float], shape: tuple[int, int], *, both_sides: bool
) -> np.ndarray:
    """Circles for which many pixels vote, most significant first, to about a pixel.

    Parameters
    ----------
    points : OutlinePoints
    radii_px : (float, float)
        Least and largest radius.
    shape : (int, int)
        Height and width of the image.
    both_sides : bool
        Centres may lie on either side of the outline, not only ahead.

    Returns
    -------
    float array, shape (n, 3), px
        x, y and radius.
    """
    # One radius more at either end, so that the least and the largest can be maxima.
    radii = np.arange(max(np.floor(radii_px[0]) - 1, 2.0), np.ceil(radii_px[1]) + 2)
    votes = np.zeros((len(radii), *shape), np.float32)
    for sign in (1.0, -1.0) if both_sides else (1.0,):
        _vote(points.x, points.y, sign * points.across_x, sign * points.across_y, radii, votes)
    for plane in votes:
        cv2.GaussianBlur(plane, (0, 0), _SPREAD_PX, dst=plane, borderType=cv2.BORDER_CONSTANT)
    return _peaks(votes, radii)


@njit(cache=True, nogil=True)
def _vote(
    x: np.ndarray,
    y: np.ndarray,
    across_x: np.ndarray,
    across_y: np.ndarray,
    radii: np.ndarray,
    votes: np.ndarray,
) -> None:
    """Add votes for every radius, each shared between four pixels, as a share of the circumference."""
    height, width = votes.shape[1:]
    for k in range(len(radii)):
        share = 1.0 / (2 * np.pi * radii[k])
        for i in range(len(x)):
            column, row = x[i] + radii[k] * across_x[i], y[i] + radii[k] * across_y[i]
            a, b = int(np.floor(column)), int(np.floor(row))
            if a < 0 or b < 0 or a >= width - 1 or b >= height - 1:
                continue
            u, v = column - a, row - b
            votes[k, b, a] += share * (1 - u) * (1 - v)
            votes[k, b, a + 1] += share * u * (1 - v)
            votes[k, b + 1, a] += share * (1 - u) * v
            votes[k, b + 1, a + 1] += share * u * v


def _peaks(votes: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Maxima over centre and radius."""
    # As many votes meet by chance at any radius, so a share of them means more for large circles.
    weighted = votes * np.sqrt(radii).astype(np.float32)[:, None, None]
    square = np.ones((5, 5), np.uint8)
    padded = np.concatenate([weighted[:1], weighted, weighted[-1:]])
    least = _LEAST_SHARE / (2 * np.pi * _SPREAD_PX**2)
    found = []
    for k in range(len(radii)):
        highest = cv2.dilate(padded[k : k + 3].max(axis=0), square)
        row, column = np.nonzero((weighted[k] >= highest) & (votes[k] > least))
        found.append(np.column_stack([column, row, np.full(len(row), radii[k]), weighted[k, row, column]]))
    together = np.concatenate(found)
    return np.asarray(together[np.argsort(-together[:, 3], kind="stable"), :3])
