"""What a recording is to the rest of the program: frames by exact index, each with its health."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from colloidlab.errors import InputError
from colloidlab.video.zeros import zeroed_block

Image = np.ndarray[Any, np.dtype[Any]]
Status = Literal["ok", "missing", "damaged", "duplicate"]

MAX_NONFINITE = 0.1
"""A float image with more NaN or infinite pixels than this fraction is damaged; fewer take the median."""

MAX_IMAGE_BYTES = 2**30
"""A single image larger than this is refused before memory is asked for: no camera delivers one."""


@dataclass(frozen=True)
class Frame:
    """One instant of a recording.

    Parameters
    ----------
    index : int
        Position in the recording, from 0; frames that were lost keep theirs.
    time_s : float or None
        Time since the first frame, s; None when the file has no time that can be trusted.
    image : array, shape (height, width), or None
        None exactly when `status` is "missing" or "damaged".
    status : str
        "ok", "missing" (announced or due, but not there), "damaged" (there, but its content
        cannot be trusted) or "duplicate" (the image is kept; see `reason`).
    reason : str
        Why the status is not "ok", or what was repaired.
    """

    index: int
    time_s: float | None
    image: Image | None
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Delivery:
    """What a back end hands over for one index, before the checks that all back ends share."""

    index: int
    image: Image | None
    status: Status = "ok"
    reason: str = ""


@dataclass(frozen=True)
class Description:
    """What a file says about itself.

    Parameters
    ----------
    shape : (int, int)
        Height and width, px.
    dtype : numpy dtype
        uint8, uint16 or float32, as frames are delivered.
    lossless : bool
        True when equal images mean that the camera or its driver repeated one.
    um_per_px, fps : float, optional
        Scale and frame rate from metadata of the instrument.
    nominal_fps : float, optional
        What a container announces for playback: a proposal, no measurement.
    timestamps_s : array, shape (n_frames,), optional
        Seconds since the first frame; interpolated where a frame is missing.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    lossless: bool
    um_per_px: float | None = None
    fps: float | None = None
    nominal_fps: float | None = None
    timestamps_s: np.ndarray | None = None


class Video(ABC):
    """A recording, read lazily in constant memory; use as a context manager or call `close`.

    Sub-classes provide `_deliveries`; the checks for blank, repeated and non-finite
    images are here, so that they are the same for every kind of file.

    Attributes
    ----------
    jumps : bool
        True where any image can be read without those before it.
    stride : int
        Frames of the file from one frame of this recording to the next.
    """

    jumps = False
    stride = 1

    def __init__(self, path: Path, n_frames: int, about: Description) -> None:
        if n_frames < 1:
            raise InputError(f"{path} holds no frames; check that the recording was saved completely")
        self.path = path
        self.name = path.name
        self._n_frames = n_frames
        self._about = about
        self._walk: Iterator[Frame] | None = None
        self._walk_next = -1

    @property
    def shape(self) -> tuple[int, int]:
        return self._about.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._about.dtype

    @property
    def um_per_px(self) -> float | None:
        return self._about.um_per_px

    @property
    def fps(self) -> float | None:
        return self._about.fps

    @property
    def nominal_fps(self) -> float | None:
        return self._about.nominal_fps

    @property
    def timestamps_s(self) -> np.ndarray | None:
        return self._about.timestamps_s

    @property
    def n_frames(self) -> int:
        """Announced number of frames; a container's is corrected when its packets are first listed."""
        return self._n_frames

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield the frames `start` to `stop` (excluded; the end when None), lost ones included.

        Raises
        ------
        InputError
            When `start` lies outside the recording.
        """
        if not 0 <= start < self.n_frames:
            raise InputError(
                f"{self.path} has the frames 0 to {self.n_frames - 1}, not {start}; choose another range"
            )
        end = self.n_frames if stop is None else min(stop, self.n_frames)
        return self._checked(start, end)

    def frame(self, index: int) -> Frame:
        """Give one frame, the same as iteration gives; asking for the next one again and again is fast."""
        if self._walk is None or index != self._walk_next:
            self._walk = self.frames(index)
        try:
            found = next(self._walk)
        except StopIteration:
            self._walk = None
            raise InputError(
                f"{self.path} has the frames 0 to {self.n_frames - 1}, not {index}; choose another"
            ) from None
        self._walk_next = index + 1
        return found

    def close(self) -> None:
        """Release the file; the video cannot be read afterwards."""
        self._walk = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _deliveries(self, start: int, stop: int) -> Iterator[Delivery]:
        """Yield one delivery for each index from `start` up to `stop`, in order."""

    def _checked(self, start: int, stop: int) -> Iterator[Frame]:
        # The frame before the range is read too where repeats count, so that
        # a frame has the same status however it is reached.
        first = start - 1 if self._about.lossless and start > 0 and stop > start else start
        previous: Image | None = None
        for item in self._deliveries(first, stop):
            checked = check(item, previous, lossless=self._about.lossless)
            # A damaged image is one to compare with all the same: what it shows may stand still.
            seen = item.image if checked.image is None else checked.image
            previous = seen if self._about.lossless else None
            if checked.index >= start:
                yield Frame(
                    checked.index, self._time(checked.index), checked.image, checked.status, checked.reason
                )

    def _time(self, index: int) -> float | None:
        if self.timestamps_s is not None:
            return float(self.timestamps_s[index]) if index < len(self.timestamps_s) else None
        return None if self.fps is None else index / self.fps


def check(item: Delivery, previous: Image | None, *, lossless: bool) -> Delivery:
    """Judge one image: repair few non-finite pixels, refuse many, a blank and a lost block, mark a repeat.

    A camera's image has noise: one whose pixels are all equal carries nothing and is
    what drivers write in place of a lost frame.

    Parameters
    ----------
    previous : array or None
        The image one index earlier, when equal images are suspicious.
    lossless : bool
        The pixels are those of the file, so that a block of zeros in it is one in the image.
    """
    image = item.image
    if image is None:
        return item
    if image.dtype.kind == "f":
        finite = np.isfinite(image)
        bad = image.size - int(np.count_nonzero(finite))
        if bad > MAX_NONFINITE * image.size:
            share = 100 * bad / image.size
            return Delivery(item.index, None, "damaged", f"{share:.0f} % of the pixels are NaN or infinite")
        if bad:
            image = np.where(finite, image, np.median(image[finite])).astype(image.dtype)
            item = Delivery(
                item.index, image, item.status, f"{bad} NaN or infinite pixels replaced by the median"
            )
    if image.size > 1 and image.flat[0] == image.flat[-1] and image.min() == image.max():
        return Delivery(item.index, None, "damaged", f"blank: every pixel has the value {image.flat[0]:g}")
    if lossless and (n_lost := zeroed_block(image, previous)):
        reason = f"{n_lost} pixels in one run are exactly zero and no others: a lost block of the file"
        return Delivery(item.index, None, "damaged", reason)
    if item.status == "ok" and previous is not None and np.array_equal(image, previous):
        return Delivery(item.index, image, "duplicate", "bitwise equal to the frame before")
    return item
