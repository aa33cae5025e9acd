"""Checks of an image before particles are looked for: shape, depth, unusable pixels, polarity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from colloidlab.errors import InputError, UsageError

_LEAST_DIAMETER = 3


@dataclass(frozen=True)
class Usable:
    """An image ready for locating.

    Attributes
    ----------
    image : array, shape (height, width), uint8, uint16 or float64
        Finite, particles bright.
    bad : bool array, shape (height, width), or None
        Pixels that were not finite and took the image's median; None where every pixel was finite.
    """

    image: np.ndarray
    bad: np.ndarray | None


def usable(image: np.ndarray, *, invert: bool) -> Usable:
    """Check an image and make its particles bright.

    Integers keep their depth, so that trackpy treats them as it would; other types become float64.

    Raises
    ------
    InputError
        Not two-dimensional, not numbers, or without a finite pixel.
    """
    array = np.asarray(image)
    if array.ndim != 2:
        raise InputError(
            f"an image of shape {array.shape} is not a grey image; give height x width, one channel"
        )
    if array.dtype.kind not in "buif":
        raise InputError(f"an image of type {array.dtype} holds no grey levels; give integers or floats")
    if array.size == 0:
        raise InputError("an image without pixels was given; check the region of interest")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    bad = None
    if array.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        array = array.astype(np.float64)
        finite = np.isfinite(array)
        if not finite.any():
            raise InputError("an image has no finite pixel; leave this frame out")
        if not finite.all():
            bad = ~finite
            array = np.where(finite, array, np.median(array[finite]))
    return Usable(_inverted(array) if invert else array, bad)


def check_diameter(diameter_px: float) -> int:
    """The diameter as an int, when it is a whole odd number of at least 3; otherwise `UsageError`."""
    if diameter_px != int(diameter_px) or int(diameter_px) % 2 == 0 or diameter_px < _LEAST_DIAMETER:
        raise UsageError(
            f"diameter_px = {diameter_px:g} is not an odd whole number of at least 3; round up to one"
        )
    return int(diameter_px)


def touches(bad: np.ndarray, x: np.ndarray, y: np.ndarray, radius_px: int) -> np.ndarray:
    """True for each position whose square of pixels holds an unusable one."""
    near = ndimage.maximum_filter(bad, 2 * radius_px + 1)
    height, width = bad.shape
    column = np.clip(np.round(x).astype(int), 0, width - 1)
    row = np.clip(np.round(y).astype(int), 0, height - 1)
    return np.asarray(near[row, column])


def _inverted(image: np.ndarray) -> np.ndarray:
    if image.dtype.kind == "u":
        return np.asarray(np.iinfo(image.dtype).max - image)
    # As trackpy does for images between 0 and 1; brighter floats keep positive values.
    return np.asarray(max(1.0, float(image.max())) - image)
