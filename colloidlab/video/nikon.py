"""Nikon NIS-Elements .nd2."""

from __future__ import annotations

import logging
from pathlib import Path

import nd2
import numpy as np

from colloidlab.video.foreign import reading
from colloidlab.video.frames import Description, Image
from colloidlab.video.grey import delivered_dtype, refuse_giant
from colloidlab.video.slots import place
from colloidlab.video.stack import Stack
from colloidlab.video.tiff import plane_numbers

log = logging.getLogger(__name__)


class NikonVideo(Stack):
    """One nd2 file: time gives frames, the first channel is used, a z stack is projected to its maximum.

    Time stamps are those of the first plane of each frame. A pause between two
    frames may be part of the protocol, so no frame is called missing because of it.
    """

    def __init__(self, path: Path) -> None:
        with reading(path, "a Nikon nd2 recording"):
            self._file = nd2.ND2File(path)
        try:
            with reading(path, "a Nikon nd2 recording"):
                sizes = self._file.sizes
                shape = (int(sizes["Y"]), int(sizes["X"]))
                refuse_giant(
                    path, (*shape, int(sizes.get("C", 1)) * int(sizes.get("S", 1))), self._file.dtype
                )
                # One read gives all channels of a plane, so the channel is not an axis of planes.
                axes = [axis for axis in sizes if axis not in "CYXS"]
                planes = plane_numbers(path, "".join(axes) + "YX", (*(sizes[a] for a in axes), *shape), False)
                times = self._plane_times([frame[0] for frame in planes])
                voxel = self._file.voxel_size()
            if sizes.get("C", 1) > 1 and not self._file.is_rgb:
                log.info("%s: of the %d channels the first is used", path, sizes["C"])
            about = Description(
                shape,
                delivered_dtype(self._file.dtype),
                lossless=True,
                um_per_px=float(voxel.x)
                if voxel.x > 0 and voxel.x == voxel.y and self._is_calibrated()
                else None,
                fps=_constant_rate(times),
                timestamps_s=times,
            )
            super().__init__(path, about, slots=np.arange(len(planes)))
        except BaseException:
            self._file.close()
            raise
        self._planes = planes

    def _read(self, k: int) -> Image:
        return np.maximum.reduce([self._plane(number) for number in self._planes[k]])

    def _plane(self, number: int) -> Image:
        image = np.asarray(self._file.read_frame(number))
        if image.ndim == 2:
            return image
        return np.moveaxis(image, 0, -1) if self._file.is_rgb and image.shape[0] in (3, 4) else image[0]

    def _plane_times(self, planes: list[int]) -> np.ndarray | None:
        """Seconds since the first frame, shape (n_frames,); None where the file does not say."""
        events = self._file.events(orient="list")
        stamps = events.get("Time [s]", [])
        if len(stamps) <= max(planes):
            return None
        times = np.array([stamps[number] for number in planes], dtype=float)
        return times - times[0] if np.all(np.isfinite(times)) else None

    def _is_calibrated(self) -> bool:
        """False when NIS-Elements only assumed 1 µm a pixel."""
        metadata = self._file.metadata
        channels = getattr(metadata, "channels", None)
        return bool(channels and channels[0].volume.axesCalibrated[0])

    def close(self) -> None:
        super().close()
        self._file.close()


def _constant_rate(times: np.ndarray | None) -> float | None:
    if times is None or len(times) < 2:
        return None
    placement = place(times)
    if placement.interval is None or placement.slots[-1] != len(times) - 1:
        log.warning(
            "the time stamps of the recording are not evenly spaced; no frame rate is taken from them"
        )
        return None
    return float((len(times) - 1) / times[-1])
