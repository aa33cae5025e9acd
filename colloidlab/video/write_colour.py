"""Writing a colour H.264 mp4 for people to look at; measurements are written by `write.py`."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np

from colloidlab.errors import InputError
from colloidlab.files import atomic_path
from colloidlab.video.frames import Image


def write_colour_mp4(
    path: Path, frames: Iterable[Image], fps: float, *, crf: int = 18, comment: str = ""
) -> int:
    """Write RGB frames as H.264 (yuv420p, BT.709, index at the start of the file), which every player shows.

    Parameters
    ----------
    frames : iterable of uint8 arrays, shape (height, width, 3), both even
        When they raise, for instance `Cancelled`, nothing is left behind and an earlier file stays.
    fps : float
        Frames shown in a second.
    crf : int
        Quality of x264, 0 (lossless) to 51.
    comment : str
        Goes into the file's metadata.

    Returns
    -------
    int
        Number of frames.

    Raises
    ------
    InputError
        No frames, or a frame of another size, form or dtype.
    """
    waiting = iter(frames)
    first = next(waiting, None)
    if first is None:
        raise InputError(f"{path} was not written: there are no frames")
    height, width = first.shape[:2]
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options=options) as container,
    ):
        if comment:
            container.metadata["comment"] = comment
        stream = container.add_stream(
            "libx264",
            rate=Fraction(fps).limit_denominator(1000),
            options={"crf": str(crf), "preset": "medium"},
        )
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.color_primaries = stream.codec_context.color_trc = (
            stream.codec_context.colorspace
        ) = 1
        n = 0
        for image in chain([first], waiting):
            if image.shape != (height, width, 3) or image.dtype != np.uint8 or height % 2 or width % 2:
                raise InputError(
                    f"{path} was not written: frame {n} is {image.dtype} of shape {image.shape}; give RGB images of "
                    "8 bits, all of one even size"
                )
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
            picture.pts = n
            container.mux(stream.encode(picture))
            n += 1
        container.mux(stream.encode(None))
    return n
