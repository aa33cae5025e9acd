"""Time-lapse: every n-th frame of a recording, as a recording of its own."""

from __future__ import annotations

from collections.abc import Iterator

from colloidlab.errors import UsageError
from colloidlab.video.frames import Delivery, Description, Frame, Video


class Strided(Video):
    """Every n-th frame: frame k is frame n k of the file, with that frame's time and health.

    Where images can be read one by one the frames between are not touched; a video
    container decodes them, for the next picture may refer to them.
    """

    def __init__(self, source: Video, n: int) -> None:
        stamps = source.timestamps_s
        about = Description(
            source.shape,
            source.dtype,
            # The source has compared each frame with its true predecessor already.
            lossless=False,
            um_per_px=source.um_per_px,
            fps=source.fps and source.fps / n,
            nominal_fps=source.nominal_fps and source.nominal_fps / n,
            timestamps_s=None if stamps is None else stamps[::n],
        )
        super().__init__(source.path, source.n_frames, about)
        self._source = source
        self.stride = n
        self.jumps = source.jumps

    @property
    def n_frames(self) -> int:
        return -(-self._source.n_frames // self.stride)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        self._source.frames()  # a container corrects its number of frames here; nothing is decoded yet
        return super().frames(start, stop)

    def _deliveries(self, start: int, stop: int) -> Iterator[Delivery]:
        n = self.stride
        if self.jumps:
            used: Iterator[Frame] = (self._source.frame(k * n) for k in range(start, stop))
        else:
            last = (stop - 1) * n + 1
            used = (frame for frame in self._source.frames(start * n, last) if frame.index % n == 0)
        for frame in used:
            yield Delivery(frame.index // n, frame.image, frame.status, frame.reason)

    def close(self) -> None:
        super().close()
        self._source.close()


def every(video: Video, n: int) -> Video:
    """Use every n-th frame of a recording, from the first; the recording itself when n is 1.

    Raises
    ------
    UsageError
        n is not positive, or leaves a single frame of a recording that has more.

    Examples
    --------
    >>> every(open_video("recording.avi"), 10).frame(3)  # doctest: +SKIP
    """
    if n < 1:
        raise UsageError(f"a stride of {n} selects nothing; give 1 for every frame, 2 for every other, ...")
    if n == 1:
        return video
    if 1 < video.n_frames <= n:
        raise UsageError(
            f"a stride of {n} leaves one frame of the {video.n_frames} of {video.path}; give a smaller one"
        )
    return Strided(video, n)


def used_range(video: Video, first: int, stop: int | None) -> range:
    """The frames of a strided recording that lie in a range of the file's own frames.

    Parameters
    ----------
    first, stop : int, int or None
        File's frames from `first` up to but not including `stop` (the end when None).

    Examples
    --------
    >>> used_range(every(open_video("recording.avi"), 10), 5, 31)  # doctest: +SKIP
    range(1, 4)
    """
    video.frames()  # a container that announces too few frames would lose the others silently
    n = video.stride
    end = video.n_frames if stop is None else min(video.n_frames, -(-stop // n))
    return range(-(-first // n), max(end, -(-first // n)))
