"""Checks of an image before particles are looked for: shape, depth, unusable pixels, polarity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from colloidlab.errors import InputError, UsageError

_LEAST_DIAMETER = 3
_MOST_CHANNELS = 4


@dataclass(frozen=True)
class Usable:
    """An image ready for locating.

    Attributes
    ----------
    image : array, shape ([depth,] height, width), uint8, uint16 or float64
        Finite, particles bright.
    bad : bool array, same shape, or None
        Pixels that were not finite and took the image's median; None where every pixel was finite.
    """

    image: np.ndarray
    bad: np.ndarray | None


def usable(image: np.ndarray, *, invert: bool, dimensions: int = 2) -> Usable:
    """Check an image, or a stack of slices for three dimensions, and make its particles bright.

    Integers keep their depth, so that trackpy treats them as it would; other types become float64.

    Raises
    ------
    InputError
        Of the wrong dimension, not numbers, or without a finite pixel.
    """
    array = np.asarray(image)
    if array.ndim != dimensions:
        wanted = "height x width" if dimensions == 2 else "depth x height x width"
        raise InputError(f"an image of shape {array.shape} is not a grey image; give {wanted}, one channel")
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


def is_stack(image: np.ndarray) -> bool:
    """True for three dimensions that are not the few channels of a colour image."""
    shape = np.shape(image)
    return len(shape) == 3 and min(shape) > _MOST_CHANNELS


def check_diameter(diameter_px: object) -> int:
    """The diameter as an int, when it is a whole odd number of at least 3; otherwise `UsageError`."""
    if not isinstance(diameter_px, int | float | np.integer | np.floating):
        raise UsageError(f"diameter_px = {diameter_px} is not one number; three are for stacks only")
    whole = np.isfinite(diameter_px) and diameter_px == int(diameter_px)
    if not whole or int(diameter_px) % 2 == 0 or diameter_px < _LEAST_DIAMETER:
        raise UsageError(
            f"diameter_px = {diameter_px:g} is not an odd whole number of at least 3; round up to one"
        )
    return int(diameter_px)


def touches(bad: np.ndarray, positions: np.ndarray, radius_px: tuple[int, ...]) -> np.ndarray:
    """True for each position whose box of pixels holds an unusable one.

    Parameters
    ----------
    bad : bool array
    positions : float array, shape (n, bad.ndim), px
        In the order of the axes of `bad`: (row, column), or (slice, row, column).
    radius_px : tuple of int
        Along each axis.
    """
    near = ndimage.maximum_filter(bad, [2 * r + 1 for r in radius_px])
    places = np.clip(np.round(positions).astype(int), 0, np.array(bad.shape) - 1)
    return np.asarray(near[tuple(places.T)])


def _inverted(image: np.ndarray) -> np.ndarray:
    if image.dtype.kind == "u":
        return np.asarray(np.iinfo(image.dtype).max - image)
    # As trackpy does for images between 0 and 1; brighter floats keep positive values.
    return np.asarray(max(1.0, float(image.max())) - image)
