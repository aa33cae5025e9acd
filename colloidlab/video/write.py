"""Writing a grey H.264 mp4 that reads back on the frame and on the grey level."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from colloidlab.errors import InputError
from colloidlab.files import atomic_path
from colloidlab.video.frames import Image

KEYFRAME_EVERY = 48
"""Frames from one key frame to the next: jumping to a frame decodes at most twice as many."""


def write_mp4(path: Path, frames: Iterable[Image], fps: float, *, crf: int = 18) -> None:
    """Write 8-bit grey frames as H.264 (yuv420p, full range, index at the start of the file).

    One encoder thread and no time of writing in the header: the same frames give the
    same bytes with the same version of the encoder.

    Parameters
    ----------
    frames : iterable of uint8 arrays, shape (height, width), both even
    fps : float
        Nominal frame rate, 1/s.
    crf : int
        Quality of x264, 0 (lossless) to 51.

    Raises
    ------
    InputError
        No frames, an odd size (H.264 halves the colour planes), another dtype, or a size that changes.
    """
    if not fps > 0:
        raise InputError(f"{path} was not written: the frame rate must be positive, not {fps}")
    waiting = iter(frames)
    first = next(waiting, None)
    if first is None:
        raise InputError(f"{path} was not written: there are no frames")
    _check(path, 0, first, first.shape)
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options=options) as container,
    ):
        stream = _add_stream(container, first.shape, fps, crf)
        for i, image in enumerate(chain([first], waiting)):
            _check(path, i, image, first.shape)
            container.mux(stream.encode(_picture(image, i)))
        container.mux(stream.encode(None))


def _check(path: Path, i: int, image: Image, shape: tuple[int, ...]) -> None:
    problem = ""
    if image.ndim != 2 or image.dtype != np.uint8:
        problem = f"is {image.dtype} of shape {image.shape}; give 8-bit grey images"
    elif image.shape != shape:
        problem = (
            f"is {image.shape[1]} x {image.shape[0]} px, the first {shape[1]} x {shape[0]}; give one size"
        )
    elif image.shape[0] % 2 or image.shape[1] % 2:
        problem = (
            f"is {image.shape[1]} x {image.shape[0]} px; H.264 needs even sizes, so cut a row or column off"
        )
    if problem:
        raise InputError(f"{path} was not written: frame {i} {problem}")


def _add_stream(container: Any, shape: tuple[int, ...], fps: float, crf: int) -> Any:
    stream = container.add_stream(
        "libx264",
        rate=Fraction(fps).limit_denominator(100_000),
        # Frames predicted from both sides are compressed harder, so that positions would be worse in every other
        # frame; and the encoder's art of looking sharp to the eye is noise to a measurement.
        options={
            "crf": str(crf),
            "preset": "slow",
            "tune": "psnr",
            "bf": "0",
            "threads": "1",
            "g": str(KEYFRAME_EVERY),
        },
    )
    stream.height, stream.width = shape
    stream.pix_fmt = "yuv420p"
    stream.codec_context.color_range = ColorRange.JPEG
    stream.codec_context.thread_count = 1
    return stream


def _picture(image: Image, i: int) -> av.VideoFrame:
    height, width = image.shape
    colour = np.full((height // 2, width), 128, np.uint8)
    picture = av.VideoFrame.from_ndarray(np.concatenate([image, colour]), format="yuv420p")
    picture.color_range = ColorRange.JPEG
    picture.pts = i
    return picture
