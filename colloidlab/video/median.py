"""The background of moving particles as the median over time, in constant memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import numpy as np

from colloidlab.errors import InputError
from colloidlab.video.frames import Frame, Image, Video

SAMPLES = 31
"""Frames of which a median is taken, spread evenly: enough where particles cover a pixel less than half the time."""

MEMORY_BYTES = 2**27
"""The sampled frames of one median stay below this; large images are sampled less often."""

_LEAST_SAMPLES = 7
_SEEK_BEYOND = 100
"""Frames of a video container that are rather decoded than jumped over."""
_KEPT = 3
"""Medians kept at once: two for the frame in work and one for threads that lag behind."""
_STRIP = 32


class TemporalMedian:
    """Median over blocks of frames; between the middles of two blocks it is interpolated linearly.

    The blocks depend on nothing but the recording and the options, so that the same
    frame has the same background wherever the work starts and on however many threads.

    Parameters
    ----------
    video : Video
        A handle of its own, closed by `close`: the frames are read out of order.
    frames : range
        Frames that may be used.
    window : int or None
        Length of a block, frames; None for one block over all frames.
    """

    def __init__(self, video: Video, frames: range, window: int | None) -> None:
        self._video = video
        self._frames = frames
        n_blocks = 1 if window is None else max(1, round(len(frames) / window))
        self._edges = np.rint(np.linspace(frames.start, frames.stop, n_blocks + 1)).astype(int)
        self._middles = (self._edges[:-1] + self._edges[1:] - 1) / 2
        self._lock = threading.Lock()
        self._medians: OrderedDict[int, Image] = OrderedDict()

    def at(self, index: int) -> Image:
        """Background of a frame, float32, shape (height, width)."""
        place = float(np.interp(index, self._middles, np.arange(len(self._middles))))
        before, share = int(place), np.float32(place % 1)
        median = self._median(before)
        if share == 0:
            return median
        return median + share * (self._median(before + 1) - median)

    def close(self) -> None:
        self._video.close()

    def _median(self, block: int) -> Image:
        with self._lock:
            if block not in self._medians:
                self._medians[block] = self._compute(block)
                while len(self._medians) > _KEPT:
                    self._medians.popitem(last=False)
            self._medians.move_to_end(block)
            return self._medians[block]

    def _compute(self, block: int) -> Image:
        own = range(int(self._edges[block]), int(self._edges[block + 1]))
        for frames in (own, self._frames):  # a block in which everything is damaged borrows from all
            images = [f.image for f in sample(self._video, self._spread(frames)) if f.image is not None]
            if images:
                return median_over_time(images)
        raise InputError(
            f"none of the frames of {self._video.path} that were tried for the background could be read; "
            "the file is damaged"
        )

    def _spread(self, frames: range) -> list[int]:
        height, width = self._video.shape
        room = MEMORY_BYTES // (height * width * self._video.dtype.itemsize)
        n = min(len(frames), max(_LEAST_SAMPLES, min(SAMPLES, room)))
        middles = frames.start + (np.arange(n) + 0.5) * len(frames) / n
        return [int(i) for i in middles]


def sample(video: Video, indices: Iterable[int]) -> Iterator[Frame]:
    """The frames with these indices, which must increase, in the cheaper of jumping and reading on."""
    walk: Iterator[Frame] = iter(())
    due = -1
    for index in indices:
        if due < 0 or video.jumps or index - due > _SEEK_BEYOND:
            walk, due = video.frames(index), index
        for frame in walk:
            due = frame.index + 1
            if frame.index == index:
                yield frame
                break


def median_over_time(images: list[Image]) -> Image:
    """Median of each pixel, float32; strip by strip, so that the copies that sorting needs stay small."""
    median = np.empty(images[0].shape, np.float32)
    for top in range(0, len(median), _STRIP):
        rows = slice(top, top + _STRIP)
        median[rows] = np.median(np.stack([image[rows] for image in images], axis=-1), axis=-1)
    return median
