"""The band-pass of trackpy, in one sweep over the rows, and its result in whole grey levels.

trackpy subtracts a running average over a square (box) from the image smoothed with a Gaussian, zeroes what
is below a threshold, and stretches the rest to the integers of the image's own type. For integer images its
box averages are cut to whole numbers twice, once along each axis; that is reproduced exactly.

References
----------
Crocker and Grier, J. Colloid Interface Sci. 179, 298 (1996), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from colloidlab.features.scratch import scratch

_CV_DEPTH = {np.dtype(np.float32): cv2.CV_32F, np.dtype(np.float64): cv2.CV_64F}
_DOUBT = 1e-4
"""Grey levels by which a band-passed 8-bit pixel may be wrong in 32-bit floats."""
_TRUNCATE = 4.0
"""The Gaussian ends after so many widths."""


@dataclass(frozen=True)
class Levels:
    """A band-passed image in whole grey levels.

    Attributes
    ----------
    image : uint8 or uint16 array, shape (height, width)
        Overwritten by the next band-pass in the same thread.
    factor : float
        Grey levels of `image` per grey level of the camera.
    histogram : int64 array
        Number of pixels at every level.
    """

    image: np.ndarray
    factor: float
    histogram: np.ndarray

    def percentile(self, percent: float) -> float:
        """Percentile of the levels that are not zero (linear interpolation); NaN where all are."""
        counts = self.histogram.copy()
        counts[0] = 0
        total = int(counts.sum())
        if total == 0:
            return float("nan")
        place = percent / 100 * (total - 1)
        below = int(np.floor(place))
        cumulative = np.cumsum(counts)
        low, high = np.searchsorted(cumulative, [below, min(below + 1, total - 1)], side="right")
        return float(low + (high - low) * (place - below))


def band_pass(image: np.ndarray, box_px: int, noise_px: float, threshold: float) -> Levels:
    """Band-pass an image and stretch it to its own integer type; 8 bit for floats.

    Parameters
    ----------
    image : array, shape (height, width), uint8, uint16 or float64
        Contiguous.
    box_px : int
        Odd side of the box.
    noise_px : float
        Width of the Gaussian; 0 leaves the noise in.
    threshold : float
        Differences below it are set to zero.
    """
    depth = np.iinfo(image.dtype if image.dtype.kind == "u" else np.uint8)
    # 8-bit images fit into 32-bit floats up to rounding, which is undone afterwards where it could matter.
    real = np.dtype(np.float32 if image.dtype == np.uint8 else np.float64)
    doubt = _DOUBT if image.dtype == np.uint8 else 0.0
    weights = gaussian_kernel(noise_px)
    kernel = weights.astype(real)
    filtered = scratch("band-pass", image.shape, real)
    cv2.sepFilter2D(image, _CV_DEPTH[real], kernel, kernel, dst=filtered, borderType=cv2.BORDER_CONSTANT)
    if image.dtype.kind == "u":
        tops = _subtract_whole_box(image, box_px, real.type(threshold - doubt), filtered)
    else:
        _subtract_box(image, box_px, float(threshold), filtered)
        tops = filtered.max(axis=1)
    top = float(tops.max())
    if doubt and top > 0:
        top = _exact_top(image, weights, tops, filtered)
    factor = float(depth.max / top) if top > 0 else 1.0
    levels = scratch("levels", image.shape, depth.dtype)
    histogram = np.zeros(depth.max + 1, dtype=np.int64)
    _quantise(filtered.reshape(-1), real.type(factor), levels.reshape(-1), histogram)
    if doubt and top > 0:
        _settle(image, weights, threshold, factor, filtered, levels, histogram)
    return Levels(levels, factor, histogram)


def gaussian_kernel(width: float) -> np.ndarray:
    """Normalised Gaussian at whole pixels, cut after four widths; [1] for width 0."""
    if width <= 0:
        return np.ones(1)
    half = int(_TRUNCATE * width + 0.5)
    weights = np.exp(-(np.arange(-half, half + 1) ** 2) / (2.0 * width**2))
    return np.asarray(weights / weights.sum())


@njit(cache=True, nogil=True, fastmath=True)
def _subtract_whole_box(image: np.ndarray, box: int, threshold: float, filtered: np.ndarray) -> np.ndarray:
    """Subtract the box average, cut to whole numbers along each axis, in place; the largest value of each row."""
    height, width = image.shape
    half = box // 2
    # A quarter of a unit before the cut makes the product with 1 / box as exact as a division.
    inverse, guard = filtered.dtype.type(1.0 / box), filtered.dtype.type(0.25 / box)
    real = np.empty(width, filtered.dtype)
    sums = np.zeros(width, np.int32)
    averages = np.zeros(width + 2 * half + 1, np.int32)
    # Slices instead of sums as indices, whose sign the compiler would test for every pixel.
    inner, entering = averages[half : half + width], averages[box:]
    across = np.empty(width, np.int32)
    tops = np.zeros(height, filtered.dtype)
    for k in range(-half, half + 1):
        row = image[min(max(k, 0), height - 1)]
        for x in range(width):
            sums[x] += row[x]
    for y in range(height):
        for x in range(width):
            real[x] = sums[x]
        for x in range(width):
            inner[x] = np.int32(real[x] * inverse + guard)
        added, removed = image[min(y + half + 1, height - 1)], image[max(y - half, 0)]
        for x in range(width):
            sums[x] += np.int32(added[x]) - np.int32(removed[x])
        for x in range(half):
            averages[x] = averages[half]
            averages[half + width + x] = averages[half + width - 1]
        running = np.int32(0)
        for k in range(box):
            running += averages[k]
        for x in range(width):
            across[x] = running
            running = np.int32(running + entering[x] - averages[x])
        for x in range(width):
            real[x] = across[x]
        result = filtered[y]
        top = tops[y]
        for x in range(width):
            value = result[x] - np.int32(real[x] * inverse + guard)
            result[x] = value if value >= threshold else 0
            top = max(top, value)
        tops[y] = top
    return tops


@njit(cache=True, nogil=True)
def _subtract_box(image: np.ndarray, box: int, threshold: float, filtered: np.ndarray) -> None:
    """Subtract the box average in place."""
    height, width = image.shape
    half = box // 2
    sums = np.zeros(width)
    averages = np.zeros(width + 2 * half + 1)
    for k in range(-half, half + 1):
        row = image[min(max(k, 0), height - 1)]
        for x in range(width):
            sums[x] += row[x]
    for y in range(height):
        for x in range(width):
            averages[half + x] = sums[x] / box
        added, removed = image[min(y + half + 1, height - 1)], image[max(y - half, 0)]
        for x in range(width):
            sums[x] += added[x] - removed[x]
        for x in range(half):
            averages[x] = averages[half]
            averages[half + width + x] = averages[half + width - 1]
        running = 0.0
        for k in range(box):
            running += averages[k]
        for x in range(width):
            value = filtered[y, x] - running / box
            filtered[y, x] = value if value >= threshold else 0.0
            running += averages[x + box] - averages[x]


@njit(cache=True, nogil=True)
def _exact_column(image: np.ndarray, y: int, x: int, weights: np.ndarray) -> float:
    """One pixel smoothed along its column; zeros outside the image."""
    height, width = image.shape
    if not 0 <= x < width:
        return 0.0
    reach = len(weights) // 2
    total = weights[reach] * image[y, x]
    for j in range(-reach, 0):
        above = float(image[y + j, x]) if y + j >= 0 else 0.0
        below = float(image[y - j, x]) if y - j < height else 0.0
        total += (above + below) * weights[reach + j]
    return total


@njit(cache=True, nogil=True)
def _exact(image: np.ndarray, y: int, x: int, weights: np.ndarray, approximate: float) -> float:
    """A band-passed pixel in doubles, its Gaussian summed in the order of scipy's filters.

    The box average is a whole number, so that the approximate value tells it exactly.
    """
    reach = len(weights) // 2
    smooth = weights[reach] * _exact_column(image, y, x, weights)
    for i in range(-reach, 0):
        pair = _exact_column(image, y, x + i, weights) + _exact_column(image, y, x - i, weights)
        smooth += pair * weights[reach + i]
    return smooth - np.rint(smooth - approximate)


def _exact_top(image: np.ndarray, weights: np.ndarray, tops: np.ndarray, filtered: np.ndarray) -> float:
    """The largest value in doubles, from the approximate largest values of the rows."""
    least = tops.max() - 2 * _DOUBT
    return max(
        _exact(image, int(y), int(x), weights, float(filtered[y, x]))
        for y in np.flatnonzero(tops >= least)
        for x in np.flatnonzero(filtered[y] >= least)
    )


@njit(cache=True, nogil=True)
def _settle(
    image: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    factor: float,
    filtered: np.ndarray,
    levels: np.ndarray,
    histogram: np.ndarray,
) -> None:
    """Decide exactly the pixels that rounding could have put on the wrong side of a level or of the threshold."""
    scale, margin = np.float32(factor), np.float32(_DOUBT * factor)
    edge = np.float32(threshold + _DOUBT)
    uncertain = np.empty(filtered.shape[1], np.bool_)
    for y in range(filtered.shape[0]):
        row = filtered[y]
        some = False
        for x in range(len(row)):
            value = row[x] * scale
            near = abs(value - np.rint(value)) < margin
            uncertain[x] = (row[x] > 0) & (near | (row[x] < edge))
            some |= uncertain[x]
        if not some:
            continue
        for x in range(len(row)):
            if uncertain[x]:
                value = _exact(image, y, x, weights, row[x])
                level = int(factor * value) if value >= threshold else 0
                histogram[levels[y, x]] -= 1
                histogram[level] += 1
                levels[y, x] = level


@njit(cache=True, nogil=True, fastmath=True)
def _quantise(filtered: np.ndarray, factor: float, levels: np.ndarray, histogram: np.ndarray) -> None:
    """Multiply, cut to whole levels, and count the levels."""
    n = len(filtered)
    # Four counts side by side: one would wait for itself wherever neighbours are equal. A block of pixels
    # is still in the cache when it is counted.
    size = len(histogram)
    counts = np.zeros(4 * size, np.int32)
    for start in range(0, n, 4096):
        stop = min(start + 4096, n)
        for i in range(start, stop):
            levels[i] = np.int32(filtered[i] * factor)
        whole = start + (stop - start) // 4 * 4
        for i in range(start, whole, 4):
            counts[levels[i]] += 1
            counts[size + levels[i + 1]] += 1
            counts[2 * size + levels[i + 2]] += 1
            counts[3 * size + levels[i + 3]] += 1
        for i in range(whole, stop):
            counts[levels[i]] += 1
    for k in range(4 * size):
        histogram[k % size] += counts[k]
