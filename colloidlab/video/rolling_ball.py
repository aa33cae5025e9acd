"""The background under particles by the rolling ball: what a ball reaches that rolls beneath the grey levels."""

from __future__ import annotations

import math

import cv2
import numba
import numpy as np

SHRUNKEN_RADIUS_PX = 5.0
"""The image is shrunk until the ball has about this radius: the background is smooth, so nothing is lost."""


def rolling_ball(image: np.ndarray, radius_px: float, levels_per_px: float) -> np.ndarray:
    """Grey-scale opening by a ball: the highest surface of balls that stay below the image.

    The image is smoothed by a 3 x 3 mean and shrunk by block minima first, and the plane
    through it is taken out, for on a slope a ball does not reach the borders; the result is
    enlarged linearly. What is wider than the ball belongs to the background.

    Parameters
    ----------
    image : array, shape (height, width)
        Bright particles on a darker background.
    radius_px : float
        Radius of the ball, px; larger than any particle.
    levels_per_px : float
        Grey levels that count as one pixel of the ball's height.

    Returns
    -------
    float32 array, shape (height, width)

    References
    ----------
    Sternberg, Computer 16, 22 (1983).
    """
    shrink = max(1, int(radius_px / SHRUNKEN_RADIUS_PX))
    smooth = cv2.blur(image.astype(np.float32), (3, 3), borderType=cv2.BORDER_REPLICATE)
    small = _block_minima(smooth, shrink)
    ball = ball_heights(radius_px / shrink) * np.float32(shrink * levels_per_px)
    plane = fitted_plane(small)
    opened = _slide(_slide(small - plane, ball, -1), ball, 1) + plane
    height, width = image.shape
    whole = (opened.shape[1] * shrink, opened.shape[0] * shrink)
    return np.ascontiguousarray(cv2.resize(opened, whole, interpolation=cv2.INTER_LINEAR)[:height, :width])


def ball_heights(radius: float) -> np.ndarray:
    """Height of the upper half of a ball over its middle, 0 at the top; -inf beside it.

    >>> ball_heights(1.5).shape
    (3, 3)
    """
    reach = math.ceil(radius) - 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = radius**2 - x**2 - y**2
    heights = np.where(inside > 0, np.sqrt(np.maximum(inside, 0)) - radius, -np.inf)
    return np.asarray(heights, dtype=np.float32)


def fitted_plane(image: np.ndarray) -> np.ndarray:
    """Least-squares plane through the grey levels, float32, shape of `image`.

    >>> fitted_plane(np.array([[0.0, 1.0], [2.0, 3.0]])).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    y, x = (np.arange(n) - (n - 1) / 2 for n in image.shape)
    rows, columns = image.mean(axis=1, dtype=np.float64), image.mean(axis=0, dtype=np.float64)
    slope_y, slope_x = rows @ y / (y @ y or 1.0), columns @ x / (x @ x or 1.0)
    return np.asarray(rows.mean() + slope_y * y[:, None] + slope_x * x, dtype=np.float32)


def _block_minima(image: np.ndarray, size: int) -> np.ndarray:
    if size == 1:
        return image
    height, width = image.shape
    padded = np.pad(image, ((0, -height % size), (0, -width % size)), mode="edge")
    rows, columns = padded.shape[0] // size, padded.shape[1] // size
    return np.ascontiguousarray(padded.reshape(rows, size, columns, size).min(axis=(1, 3)))


@numba.njit(nogil=True, cache=True)
def _slide(image: np.ndarray, ball: np.ndarray, sign: int) -> np.ndarray:
    """Erosion (sign -1) or dilation (sign +1) by the ball, which is cut off at the borders of the image."""
    height, width = image.shape
    reach = ball.shape[0] // 2
    signed = np.float32(sign) * image
    out = np.full_like(image, -np.inf)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            rise = ball[dy + reach, dx + reach]
            if rise == -np.inf:
                continue
            left, right = max(0, -dx), min(width, width - dx)
            for y in range(max(0, -dy), min(height, height - dy)):
                row, below = out[y, left:right], signed[y + dy, left + dx : right + dx]
                for x in range(right - left):
                    level = below[x] + rise
                    row[x] = level if level > row[x] else row[x]
    return np.float32(sign) * out
