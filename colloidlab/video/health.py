"""What the grey levels of one image say about it: its statistics, and pixels that a disk has lost."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from colloidlab.video.frames import Image

_TOPS = tuple(2**bits - 1 for bits in (8, 10, 11, 12, 13, 14, 16))
"""Where the converters of cameras end."""


@dataclass(frozen=True)
class Statistics:
    """Grey levels of one image.

    Parameters
    ----------
    mean, std : float
        Mean and standard deviation of the pixels, grey levels.
    saturated : float
        Fraction of the pixels at the top of the range; NaN for floats, whose range is not known.
    """

    mean: float
    std: float
    saturated: float


def statistics(image: Image) -> Statistics:
    """Mean, standard deviation and saturated fraction of an image, shape (height, width).

    A camera of 10 to 14 bits delivers uint16 and saturates below its end: there the
    brightest level counts as saturated when it is the last of such a camera.

    >>> statistics(np.array([[0, 255], [255, 90]], np.uint8)).saturated
    0.5
    """
    mean, std = (float(value[0, 0]) for value in cv2.meanStdDev(image))
    if image.dtype.kind == "f":
        return Statistics(mean, std, float("nan"))
    top = int(image.max())
    ends_here = top == 255 if image.dtype == np.uint8 else top in _TOPS[1:]
    return Statistics(mean, std, float(np.count_nonzero(image == top) / image.size) if ends_here else 0.0)
