"""The band-pass of trackpy, in one sweep over the rows, and its result in whole grey levels.

trackpy subtracts a running average over a square (box) from the image smoothed with a Gaussian, zeroes what
is below a threshold, and stretches the rest to the integers of the image's own type. For integer images its
box averages are cut to whole numbers twice, once along each axis; that is reproduced exactly.

References
----------
Crocker and Grier, J. Colloid Interface Sci. 179, 298 (1996), section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from colloidlab.features.scratch import scratch

_CV_DEPTH = {np.dtype(np.float32): cv2.CV_32F, np.dtype(np.float64): cv2.CV_64F}
_STRIP = 131_072
"""Pixels of one strip, so that its floats fit into the processor's cache."""
_SHORT_BOX = 16
"""Boxes up to this wide are summed pixel by pixel, many columns at once; each step of a running sum waits for the last."""
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
    filtered = scratch("band-pass", image.shape, real)
    tops = np.zeros(len(image), real)
    sums = np.zeros(image.shape[1], np.int32 if image.dtype.kind == "u" else np.float64)
    # 16-bit sums are added sixteen at a time.
    short = image.dtype == np.uint8 and box_px <= _SHORT_BOX
    across = np.empty(image.shape[1], np.int16 if short else np.int32)
    least = real.type(threshold - doubt)
    for first, last, smooth in _smooth_strips(image, weights.astype(real)):
        # A strip is still in the cache when its box average is taken off.
        part, highest = filtered[first:last], tops[first:last]
        if image.dtype.kind == "u":
            _subtract_whole_box(image, box_px, least, first, smooth, sums, part, highest, across)
        else:
            _subtract_box(image, box_px, least, first, smooth, sums, part, highest)
    top = float(tops.max())
    if doubt and top > 0:
        top = _exact_top(image, weights, tops, filtered)
    factor = float(depth.max / top) if top > 0 else 1.0
    levels = scratch("levels", image.shape, depth.dtype)
    histogram = np.zeros(depth.max + 1, dtype=np.int64)
    _quantise(image, weights, threshold, factor, doubt, filtered, levels, histogram)
    return Levels(levels, factor, histogram)


def _smooth_strips(image: np.ndarray, kernel: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """First and last row of each strip of the image, and the strip smoothed with a kernel along both axes."""
    height, width = image.shape
    rows, reach = max(32, _STRIP // width), len(kernel) // 2
    buffer = scratch("strip", (rows + 2 * reach, width), kernel.dtype)
    for first in range(0, height, rows):
        last = min(first + rows, height)
        start, stop = max(first - reach, 0), min(last + reach, height)
        wide = buffer[: stop - start]
        cv2.sepFilter2D(
            image[start:stop],
            _CV_DEPTH[kernel.dtype],
            kernel,
            kernel,
            dst=wide,
            borderType=cv2.BORDER_CONSTANT,
        )
        yield first, last, wide[first - start : last - start]


def gaussian_kernel(width: float) -> np.ndarray:
    """Normalised Gaussian at whole pixels, cut after four widths; [1] for width 0."""
    if width <= 0:
        return np.ones(1)
    half = int(_TRUNCATE * width + 0.5)
    weights = np.exp(-(np.arange(-half, half + 1) ** 2) / (2.0 * width**2))
    return np.asarray(weights / weights.sum())


@njit(cache=True, nogil=True, fastmath=True)
def _subtract_whole_box(
    image: np.ndarray,
    box: int,
    threshold: float,
    first: int,
    smooth: np.ndarray,
    sums: np.ndarray,
    filtered: np.ndarray,
    tops: np.ndarray,
    across: np.ndarray,
) -> None:
    """Subtract the box average, cut to whole numbers along each axis, from the rows of a strip; largest values.

    `sums` of each column over the box's height go on from strip to strip. `across` is working memory for one row, of
    a type that holds a sum over the box.
    """
    height, width = image.shape
    half = box // 2
    # A quarter of a unit before the cut makes the product with 1 / box as exact as a division.
    inverse, guard = filtered.dtype.type(1.0 / box), filtered.dtype.type(0.25 / box)
    real = np.empty(width, filtered.dtype)
    averages = np.zeros(width + 2 * half + 1, across.dtype)
    # Slices instead of sums as indices, whose sign the compiler would test for every pixel.
    inner, entering = averages[half : half + width], averages[box:]
    if first == 0:
        _start_sums(image, half, sums)
    for i in range(len(smooth)):
        y = first + i
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
        if box <= _SHORT_BOX:
            # Not a slice assigned to a slice, here and elsewhere: compiling the words of its error takes seconds.
            for x in range(width):
                across[x] = averages[x]
            for k in range(1, box):
                shifted = averages[k : k + width]
                for x in range(width):
                    across[x] += shifted[x]
        else:
            running = np.int32(0)
            for k in range(box):
                running += averages[k]
            for x in range(width):
                across[x] = running
                running = np.int32(running + entering[x] - averages[x])
        for x in range(width):
            real[x] = across[x]
        row, result = smooth[i], filtered[i]
        top = tops[i]
        for x in range(width):
            value = row[x] - np.int32(real[x] * inverse + guard)
            kept = value if value >= threshold else 0
            result[x] = kept
            top = max(top, kept)
        tops[i] = top


@njit(cache=True, nogil=True)
def _subtract_box(
    image: np.ndarray,
    box: int,
    threshold: float,
    first: int,
    smooth: np.ndarray,
    sums: np.ndarray,
    filtered: np.ndarray,
    tops: np.ndarray,
) -> None:
    """The same for floats, whose averages are not cut."""
    height, width = image.shape
    half = box // 2
    averages = np.zeros(width + 2 * half + 1)
    if first == 0:
        _start_sums(image, half, sums)
    for i in range(len(smooth)):
        y = first + i
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
            value = smooth[i, x] - running / box
            filtered[i, x] = value if value >= threshold else 0.0
            tops[i] = max(tops[i], filtered[i, x])
            running += averages[x + box] - averages[x]


@njit(cache=True, nogil=True)
def _start_sums(image: np.ndarray, half: int, sums: np.ndarray) -> None:
    """Sums over the box around the first row; rows beyond the edge repeat the last one."""
    for k in range(-half, half + 1):
        row = image[min(max(k, 0), len(image) - 1)]
        for x in range(len(row)):
            sums[x] += row[x]


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
def _quantise(
    image: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    factor: float,
    doubt: float,
    filtered: np.ndarray,
    levels: np.ndarray,
    histogram: np.ndarray,
) -> None:
    """Multiply, cut to whole levels, and count them.

    Pixels that an error of `doubt` could put on the wrong side of a level or of the threshold are decided exactly.
    """
    real = filtered.dtype.type
    scale, margin, edge = real(factor), real(doubt * factor), real(threshold + doubt)
    width = filtered.shape[1]
    uncertain = np.zeros((width + 7) // 8 * 8, np.uint8)
    eights = uncertain.view(np.uint64)
    counts = np.zeros((4, len(histogram)), np.int32)
    for y in range(len(filtered)):
        row, result = filtered[y], levels[y]
        if doubt == 0:
            for x in range(width):
                result[x] = np.int32(row[x] * scale)
        else:
            for x in range(width):
                value = row[x] * scale
                whole = np.int32(value)
                beyond = value - whole
                result[x] = whole
                uncertain[x] = (row[x] > 0) & ((beyond < margin) | (beyond > 1 - margin) | (row[x] < edge))
            for k in range(len(eights)):
                if eights[k]:
                    _settle(image, weights, threshold, factor, row, y, uncertain, k, result)
        _count(result, counts)
    for k in range(4):
        histogram += counts[k]


@njit(cache=True, nogil=True)
def _settle(
    image: np.ndarray,
    weights: np.ndarray,
    threshold: float,
    factor: float,
    row: np.ndarray,
    y: int,
    uncertain: np.ndarray,
    eight: int,
    result: np.ndarray,
) -> None:
    """Decide the uncertain ones of eight pixels exactly."""
    for x in range(8 * eight, min(8 * eight + 8, len(row))):
        if uncertain[x]:
            value = _exact(image, y, x, weights, row[x])
            result[x] = int(factor * value) if value >= threshold else 0


@njit(cache=True, nogil=True)
def _count(row: np.ndarray, counts: np.ndarray) -> None:
    """Count levels four abreast: one count would wait for itself wherever neighbours are equal."""
    whole = len(row) // 4 * 4
    for x in range(0, whole, 4):
        for k in range(4):
            counts[k, row[x + k]] += 1
    for x in range(whole, len(row)):
        counts[0, row[x]] += 1
