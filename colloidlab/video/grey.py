"""Images as delivered: two-dimensional, grey, at full bit depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from colloidlab.errors import InputError
from colloidlab.video.frames import MAX_IMAGE_BYTES, Image

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601), as in OpenCV and Pillow; equal channels keep their value."""


def delivered_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """uint8 and uint16 stay as they are, 1-bit becomes uint8, all others float32.

    Integers of 32 bits above 2^24 are rounded by this.
    """
    if dtype == np.bool_ or (dtype.itemsize == 1 and dtype.kind == "u"):
        return np.dtype(np.uint8)
    if dtype.itemsize == 2 and dtype.kind == "u":
        return np.dtype(np.uint16)
    return np.dtype(np.float32)


def to_grey(image: Image) -> Image:
    """Give a 2D image of a delivered dtype; colour becomes luminance, alpha is ignored.

    Parameters
    ----------
    image : array, shape (height, width) or (height, width, n_channels)
        Channels are grey, grey and alpha, RGB, or RGB and alpha.
    """
    if image.dtype == np.bool_:
        image = image.astype(np.uint8) * np.uint8(255)
    image = image.astype(delivered_dtype(image.dtype), copy=False)
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    if image.shape[2] in (3, 4):
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2GRAY))
    return np.ascontiguousarray(image[..., 0])


def full_range(luma: Image, bits: int) -> Image:
    """Spread studio-range luma (16 to 235 of 255, ITU-R BT.601) over the full range, as players do."""
    low, span, top = 16 << (bits - 8), 219 << (bits - 8), (1 << bits) - 1
    levels = np.arange(top + 1)
    table = np.clip(np.rint((levels - low) * (top / span)), 0, top).astype(luma.dtype)
    return np.asarray(table[np.minimum(luma, top)])


def refuse_giant(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise `InputError` before memory is asked for an image that no camera could have made."""
    if any(n < 1 for n in shape):
        raise InputError(f"{path} announces images of {shape} pixels; it is damaged, copy it again")
    size = dtype.itemsize
    for n in shape:
        size *= int(n)
    if size > MAX_IMAGE_BYTES:
        raise InputError(
            f"{path} announces a single image of {size / 2**30:.1f} GiB; the header is damaged, "
            f"or the image must be cut into parts below {MAX_IMAGE_BYTES / 2**30:.0f} GiB"
        )
