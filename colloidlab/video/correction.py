"""Uneven light and what stands still: background and flat field are taken out before particles are located."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import cv2
import numpy as np

from colloidlab.config import VideoConfig
from colloidlab.errors import InputError
from colloidlab.option_text import parse_frames, parse_roi
from colloidlab.video.frames import Image, Video
from colloidlab.video.images import read_image
from colloidlab.video.median import TemporalMedian, sample
from colloidlab.video.open import open_video
from colloidlab.video.region import Region
from colloidlab.video.stride import every, used_range

_CV_DEPTH = {np.dtype(np.uint16): cv2.CV_16U, np.dtype(np.float32): cv2.CV_32F}


class Background(Protocol):
    """What is subtracted from a frame, in the grey levels of the flattened image."""

    def at(self, index: int, flat: Image) -> Image: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Correction:
    """Flat field and background: corrected = image / gain - background + offset.

    Integers become uint16, rounded; floats stay floats. Differences of grey levels keep
    their unit, so that `minmass` keeps its meaning. The offset is constant in time. For 8-bit
    images it is so large that no pixel can be cut off; for 16-bit ones it is the brightest
    background of the first frame, so that only what is darker than black or within the
    unevenness of the light of the end of the range is. The noise of a pixel is unchanged by the
    subtraction and divided by the gain; rounding adds 1/12 to its variance, as the camera's did.
    Shot noise is no longer proportional to the level, but to the level plus a constant.

    Every frame is corrected on its own: the result does not depend on where the work
    starts or on the number of threads. Apply to the whole view, before `Region.apply`.

    Attributes
    ----------
    background : Background or None
    gain : float32 array, shape (height, width), or None
        Relative sensitivity, mean 1 over the pixels that are used.
    offset : float
        Added after the subtraction, grey levels.
    dtype : numpy dtype
        Of the corrected images.
    """

    background: Background | None
    gain: Image | None
    offset: float
    dtype: np.dtype[Any]

    @classmethod
    def from_options(cls, options: VideoConfig, video: Video) -> Self:
        """Read the references and take the first median; `video` is not touched.

        Raises
        ------
        InputError
            A reference that cannot be read, has another size or depth, or a flat field that is not positive
            where it is used; a recording without a readable frame.
        """
        if options.background == "none" and options.flat_field is None:
            return cls(None, None, 0.0, video.dtype)
        used = _used_pixels(options, video)
        gain = None if options.flat_field is None else _gain(options.flat_field, video, used)
        dtype = np.dtype(np.float32 if video.dtype.kind == "f" else np.uint16)
        flat_only = cls(None, gain, 0.0, dtype)
        if options.background == "none":
            return flat_only
        own = every(open_video(video.path), video.stride)
        try:
            first, stop = parse_frames(options.frames) if options.frames else (0, None)
            frames = used_range(own, first, stop)
            index, image = _first_usable(own, frames)
            flat = flat_only.flatten(image)
            background = _background(options, own, frames, gain, flat)
        except BaseException:
            own.close()
            raise
        level = float(background.at(index, flat)[used].max())
        if video.dtype == np.uint8:
            level = 255.0 if gain is None else 255.0 / float(gain.min())
        if options.background != "median":
            own.close()
        return cls(background, gain, float(math.ceil(level)), dtype)

    def flatten(self, image: Image) -> Image:
        """Divide by the gain: float32, or the image itself without a flat field."""
        if self.gain is None:
            return image
        return np.asarray(cv2.divide(image, self.gain, dtype=cv2.CV_32F))

    def apply(self, index: int, image: Image) -> Image:
        """Correct one frame of the recording; any thread may call this for any frame.

        Parameters
        ----------
        index : int
            Of the frame, as the recording counts.
        image : array, shape (height, width)

        Returns
        -------
        array, shape (height, width), dtype `dtype`
        """
        if self.background is None and self.gain is None:
            return image
        flat = self.flatten(image)
        shift = -np.float32(self.offset)
        below = self.background.at(index, flat) + shift if self.background else np.zeros_like(self.gain)
        return np.asarray(cv2.subtract(flat, below, dtype=_CV_DEPTH[self.dtype]))

    def close(self) -> None:
        """Release the handle with which a running median reads the recording."""
        if self.background is not None:
            self.background.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Reference:
    """One image for all frames."""

    image: Image

    def at(self, index: int, flat: Image) -> Image:
        return self.image

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class _Median:
    """The temporal median, flattened as the frames are."""

    median: TemporalMedian
    gain: Image | None

    def at(self, index: int, flat: Image) -> Image:
        median = self.median.at(index)
        return median if self.gain is None else median / self.gain

    def close(self) -> None:
        self.median.close()


@dataclass(frozen=True)
class _RollingBall:
    """The rolling ball under bright particles (sign 1) or above dark ones (sign -1)."""

    radius_px: float
    levels_per_px: float
    sign: int

    def at(self, index: int, flat: Image) -> Image:
        from colloidlab.video.rolling_ball import rolling_ball  # its compiler is slow to import

        surface = flat if self.sign > 0 else -flat.astype(np.float32)
        return self.sign * rolling_ball(surface, self.radius_px, self.levels_per_px)

    def close(self) -> None:
        pass


def _background(
    options: VideoConfig, own: Video, frames: range, gain: Image | None, flat: Image
) -> Background:
    if options.background == "median":
        return _Median(TemporalMedian(own, frames, options.background_window), gain)
    if options.background == "image":
        assert options.background_image is not None  # VideoConfig sees to it
        reference = _read_reference(options.background_image, own, "background")
        return _Reference(reference if gain is None else reference / gain)
    # The ball's height has no natural unit: as in 8-bit images, 255 px stand for the range in use.
    low, high = np.percentile(flat, [1, 99])
    sign = 1 if options.background == "rolling_ball" else -1
    return _RollingBall(options.background_radius_px, max(float(high - low), 1e-12) / 255, sign)


def _used_pixels(options: VideoConfig, video: Video) -> np.ndarray:
    """True where the region of interest and the mask leave pixels in use, shape (height, width)."""
    region = Region.from_options(parse_roi(options.roi) if options.roi else None, options.mask, video.shape)
    x0, y0, x1, y1 = region.roi
    used = np.zeros(video.shape, dtype=bool)
    used[y0:y1, x0:x1] = True if region.usable is None else region.usable
    return used


def _gain(path: Path, video: Video, used: np.ndarray) -> Image:
    reference = _read_reference(path, video, "flat field")
    bad = used & ~(reference > 0)
    if bad.any():
        y, x = np.argwhere(bad)[0]
        raise InputError(
            f"the flat field {path} is not positive in {np.count_nonzero(bad)} pixel(s), the first at x = {x}, "
            f"y = {y}, so nothing can be divided by it; record it brighter, or leave these pixels out with --mask"
        )
    gain = np.where(used, reference / reference[used].mean(dtype=np.float64), 1.0)
    return gain.astype(np.float32)


def _read_reference(path: Path, video: Video, kind: str) -> Image:
    image = read_image(path)
    if image.shape != video.shape:
        raise InputError(
            f"the {kind} {path} is {image.shape[1]} x {image.shape[0]} px, the video {video.shape[1]} x "
            f"{video.shape[0]} px; record it with the same camera settings"
        )
    if kind == "background" and video.dtype == np.uint8 and image.max() > 255:
        raise InputError(
            f"the background {path} reaches grey level {image.max():g}, the video has 8 bits; save it with 8 bits"
        )
    return image.astype(np.float32)


def _first_usable(video: Video, frames: range) -> tuple[int, Image]:
    for frame in sample(video, frames):
        if frame.image is not None:
            return frame.index, frame.image
    raise InputError(f"{video.path} has no readable frame in the selection; choose another range")
