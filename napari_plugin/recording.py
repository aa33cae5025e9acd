"""A recording as an array that reads frames when they are asked for, and those that follow beforehand."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np

from colloidlab.video import Frame, Video, every, open_video
from napari_plugin.images import Images

CACHE_BYTES = 2**29
"""Memory for decoded frames."""

AHEAD = 48
"""Frames decoded beforehand, in the direction of playing."""

BEHIND = 24
"""Frames decoded with one that lies shortly before the last one: stepping backwards comes next."""


class Recording(Images):
    """A video as an array, shape (n_frames, height, width): index it with a frame and see that one decoded.

    Missing and damaged frames are blank (zero; NaN in a video of floats) and listed in `health`.

    Parameters
    ----------
    video : Video
        Belongs to this object from now on.
    cache_bytes : int

    Attributes
    ----------
    health : dict of int to (str, str)
        Status and reason of the frames seen so far that are not "ok".
    seen : bool array, shape (n_frames,)
        Frames of which that is known.
    n_decoded : int
        Frames decoded so far, beforehand or on demand.
    """

    def __init__(self, video: Video, *, cache_bytes: int = CACHE_BYTES) -> None:
        video.frames()  # a container corrects its number of frames here; nothing is decoded
        self.video = video
        self.health: dict[int, tuple[str, str]] = {}
        self.n_decoded = 0
        self.shape = (video.n_frames, *video.shape)
        self.seen = np.zeros(video.n_frames, dtype=bool)
        self.dtype = video.dtype
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._room = max(4, cache_bytes // max(1, int(np.prod(video.shape)) * video.dtype.itemsize))
        self._lock = threading.Lock()
        self._last = -1
        self._forwards = True
        self._next = 0
        self._ahead: threading.Thread | None = None
        self._closed = False

    @classmethod
    def open(cls, path: Path | str, *, stride: int = 1) -> Recording:
        """Open a recording, or every n-th frame of one; see `colloidlab.video.open_video`."""
        return cls(every(open_video(path), stride))

    def frame(self, index: int) -> np.ndarray:
        """The image of one frame, shape (height, width); blank where it is missing or damaged."""
        image = self._read(index)
        if self._forwards:
            self._look_ahead()
        return image

    def first_image(self) -> np.ndarray:
        """The first usable image within the first frames; a blank one when all of them are spoilt."""
        for k in range(min(len(self), BEHIND)):
            image = self._read(k)
            if self.health.get(k, ("ok", ""))[0] not in ("missing", "damaged"):
                break
        return image

    def _read(self, index: int) -> np.ndarray:
        with self._lock:
            image = self._cache.get(index)
            if image is None:
                for k in range(self._start(index), index + 1):
                    image = self._decode(k)
            else:
                self._cache.move_to_end(index)
            self._forwards = index >= self._last
            self._last = index
        assert image is not None
        return image

    def close(self) -> None:
        """Release the file and the memory."""
        self._closed = True
        with self._lock:
            self._cache.clear()
            self.video.close()

    def _start(self, index: int) -> int:
        """Where to begin reading for a frame: a codec needs the frames before it, and going on is cheaper than a jump."""
        if self.video.jumps:
            return index
        if 0 <= index - self._next <= AHEAD:
            return self._next
        return max(0, index - BEHIND) if 0 < self._last - index <= BEHIND else index

    def _decode(self, index: int) -> np.ndarray:
        # Called with the lock held.
        found = self.video.frame(index)
        self._next = index + 1
        self.n_decoded += 1
        if found.status != "ok":
            self.health[index] = (found.status, found.reason)
        self.seen[index] = True
        image = self._image(found)
        self._cache[index] = image
        self._cache.move_to_end(index)
        while len(self._cache) > self._room:
            self._cache.popitem(last=False)
        return image

    def _image(self, found: Frame) -> np.ndarray:
        if found.image is not None:
            return found.image
        blank = np.nan if self.dtype.kind == "f" else 0
        return np.full(self.shape[1:], blank, self.dtype)

    # ---- what follows, beforehand ----------------------------------------------------------

    def _look_ahead(self) -> None:
        if self._ahead is None or not self._ahead.is_alive():
            self._ahead = threading.Thread(target=self._decode_ahead, name="frames ahead", daemon=True)
            self._ahead.start()

    def _decode_ahead(self) -> None:
        """Decode what follows the last frame asked for, one at a time, and give way to whoever waits."""
        while not self._closed:
            time.sleep(0.0005)
            with self._lock:
                k = self._last + 1
                stop = min(len(self), self._last + 1 + min(AHEAD, self._room // 2))
                while k < stop and k in self._cache:
                    k += 1
                if k >= stop or self._closed or not self._forwards:
                    return
                try:
                    for due in range(self._start(k), k + 1):
                        self._decode(due)
                except Exception:  # whoever asks for this frame will be told; here nobody listens
                    return
