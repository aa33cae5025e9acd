"""Opening a recording, whatever kind of file or folder it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from colloidlab.errors import InputError
from colloidlab.video.cameras import CineVideo, NorpixVideo, SpeVideo
from colloidlab.video.container import ContainerVideo
from colloidlab.video.folder import ImageFolder, StillImage
from colloidlab.video.frames import Video
from colloidlab.video.images import PLAIN_SUFFIXES
from colloidlab.video.nikon import NikonVideo
from colloidlab.video.tiff import TIFF_SUFFIXES, TiffVideo

Reader = Callable[[Path], Video]

READERS: dict[str, Reader] = {
    **dict.fromkeys(TIFF_SUFFIXES, TiffVideo),
    **dict.fromkeys(PLAIN_SUFFIXES, StillImage),
    ".nd2": NikonVideo,
    ".seq": NorpixVideo,
    ".cine": CineVideo,
    ".spe": SpeVideo,
}
"""By the end of the name; everything else is offered to libav."""

_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

_NOT_VIDEO = {
    ".csv",
    ".txt",
    ".md",
    ".parquet",
    ".toml",
    ".json",
    ".html",
    ".npy",
    ".npz",
    ".h5",
    ".hdf5",
    ".zip",
}


def open_video(path: Path | str) -> Video:
    """Open a recording: a video container, a stack, a camera's file, a folder of images or one image.

    Nothing is decoded here beyond what the header needs, so that opening is quick
    however long the recording is.

    Raises
    ------
    InputError
        The path does not exist, cannot be read, is empty, or is not a recording.

    Examples
    --------
    >>> with open_video("recording.mp4") as video:  # doctest: +SKIP
    ...     for frame in video.frames():
    ...         print(frame.index, frame.status)
    """
    path = Path(path)
    try:
        if not path.exists():
            raise InputError(f"{path} does not exist; check the path")
        if path.is_dir():
            return ImageFolder(path)
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check the disk and your permissions"
        ) from error
    if not start:
        raise InputError(f"{path} is empty; copy the recording again")
    suffix = path.suffix.lower()
    if suffix in _NOT_VIDEO:
        raise InputError(
            f"{path} is not a recording; give a video, a TIFF stack, a camera file or a folder of images"
        )
    if start.startswith(_TIFF_MAGIC) and suffix not in READERS:
        return TiffVideo(path)
    return READERS.get(suffix, ContainerVideo)(path)
