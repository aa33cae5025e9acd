"""The part of the view that is used: a rectangle, a mask, and how far its edge is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from scipy import ndimage

from colloidlab.errors import InputError, UsageError
from colloidlab.video.frames import Image
from colloidlab.video.images import read_image


@dataclass(frozen=True)
class Region:
    """Usable pixels of the view.

    Parameters
    ----------
    roi : (int, int, int, int)
        x0, y0, x1, y1 in px of the view, upper bounds excluded.
    usable : bool array, shape (y1 - y0, x1 - x0), or None
        Mask inside the rectangle; None when all of it is used.
    shape : (int, int)
        Height and width of the view.
    """

    roi: tuple[int, int, int, int]
    usable: np.ndarray | None
    shape: tuple[int, int]

    @classmethod
    def from_options(
        cls, roi: tuple[int, int, int, int] | None, mask_path: Path | None, shape: tuple[int, int]
    ) -> Self:
        """Check the options against the view.

        Raises
        ------
        UsageError
            The rectangle is empty or exceeds the view.
        InputError
            The mask cannot be read, has another size, or has nothing inside the rectangle.
        """
        height, width = shape
        x0, y0, x1, y1 = roi or (0, 0, width, height)
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise UsageError(
                f"the region {x0},{y0},{x1},{y1} does not lie in the view of {width} x {height} px; "
                f"choose X0,Y0,X1,Y1 within 0,0,{width},{height}"
            )
        if mask_path is None:
            return cls((x0, y0, x1, y1), None, shape)
        usable = _read_mask(mask_path, shape)[y0:y1, x0:x1]
        if not usable.any():
            raise InputError(
                f"{mask_path} has no pixel above zero inside the region; mark what is to be used in white"
            )
        return cls((x0, y0, x1, y1), None if usable.all() else usable, shape)

    def apply(self, image: Image) -> tuple[Image, tuple[int, int]]:
        """Cut the rectangle out and fill what the mask excludes with the median of the rest.

        The median leaves no edge that a particle finder could take for a particle.

        Returns
        -------
        subimage : array, shape (y1 - y0, x1 - x0), dtype of `image`
        origin : (x0, y0), to be added to positions found in the subimage
        """
        x0, y0, x1, y1 = self.roi
        part = image[y0:y1, x0:x1]
        if self.usable is not None:
            part = np.where(self.usable, part, np.asarray(np.median(part[self.usable])).astype(part.dtype))
        return part, (x0, y0)

    def contains(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """True where a point of the view, px, lies in a usable pixel."""
        x0, y0, x1, y1 = self.roi
        column, row = _pixel(x), _pixel(y)
        inside = (column >= x0) & (column < x1) & (row >= y0) & (row < y1)
        if self.usable is not None:
            inside &= self.usable[np.clip(row - y0, 0, y1 - y0 - 1), np.clip(column - x0, 0, x1 - x0 - 1)]
        return inside

    def edge_distance_px(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Distance of points to the nearest edge of the usable region, px; 0 outside.

        Exact for the rectangle, whose edges are the outer borders of its pixels (the
        view begins at -0.5). With a mask, the Euclidean distance from the centre of the
        pixel to the nearest excluded one, less the half pixel to its border.
        """
        x0, y0, x1, y1 = self.roi
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        distance = np.min([x - (x0 - 0.5), (x1 - 0.5) - x, y - (y0 - 0.5), (y1 - 0.5) - y], axis=0)
        if self.usable is not None:
            row = np.clip(_pixel(y) - y0, 0, y1 - y0 - 1)
            column = np.clip(_pixel(x) - x0, 0, x1 - x0 - 1)
            distance = np.minimum(distance, self._to_masked[row, column] - 0.5)
        return np.where(self.contains(x, y), np.maximum(distance, 0.0), 0.0)

    @cached_property
    def _to_masked(self) -> np.ndarray:
        return np.asarray(ndimage.distance_transform_edt(self.usable))


def _pixel(position: np.ndarray) -> np.ndarray:
    return np.floor(np.asarray(position, dtype=float) + 0.5).astype(np.int64)


def _read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    mask = read_image(path)
    if mask.shape != shape:
        raise InputError(
            f"the mask {path} is {mask.shape[1]} x {mask.shape[0]} px, the video {shape[1]} x {shape[0]} px; "
            "draw the mask on a frame of this video"
        )
    return mask > 0
