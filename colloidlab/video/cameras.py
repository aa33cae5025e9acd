"""Files of high-speed cameras: NorPix .seq, Phantom .cine, Princeton Instruments .spe."""

from __future__ import annotations

import logging
import struct
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pims

from colloidlab.errors import InputError
from colloidlab.video.foreign import reading
from colloidlab.video.frames import Description, Image
from colloidlab.video.grey import delivered_dtype, refuse_giant
from colloidlab.video.slots import chronological, place, spread
from colloidlab.video.stack import Damaged, Stack

log = logging.getLogger(__name__)

STAMP_RESOLUTION_S = 1e-6
"""Phantom time stamps are rounded to this."""

SPE_HEADER = 4100
"""Bytes before the first image of an SPE 2.x file."""

MAX_TAIL = 1_000_000
"""An announcement of more lost frames than this is taken for a damaged header."""


class CameraFile(Stack):
    """What the three formats share: a header, and images at computable places behind it."""

    _source: Any
    _order: np.ndarray | None = None
    """Place in the file of the k-th image in time; None where they are the same."""

    @abstractmethod
    def _bytes_needed(self, k: int) -> int:
        """Where the k-th image ends in the file."""

    def _in_time_order(self, path: Path, times: np.ndarray) -> np.ndarray:
        """Time stamps in the order in which the images will be read."""
        self._order = chronological(times)
        n_moved = int(np.count_nonzero(np.diff(self._order) < 0))
        if n_moved:
            log.warning(
                "%s: images are written out of order at %d place(s); their time stamps decide", path, n_moved
            )
        elif np.any(np.diff(times) < 0):
            log.warning("%s: the clock was set back while it was recorded; no time is taken from it", path)
        return times[self._order]

    def _read(self, k: int) -> Image:
        if self._order is not None:
            k = int(self._order[k])
        if self._bytes_needed(k) > self.path.stat().st_size:
            raise Damaged("its pixels are not in the file; the file was cut short")
        return np.asarray(self._source.get_frame(k))

    def close(self) -> None:
        super().close()
        self._source.close()


class NorpixVideo(CameraFile):
    """NorPix sequence, uncompressed grey; every frame has a time stamp of the camera computer.

    The frame rate is the one of the stamps. The header's rate is what was asked of
    the camera, or a playback speed, and is only proposed.
    """

    def __init__(self, path: Path) -> None:
        with reading(path, "a NorPix sequence"):
            self._source = pims.NorpixSeq(str(path))
            shape, dtype = self._source.frame_shape, np.dtype(self._source.pixel_type)
            refuse_giant(path, shape, dtype)
            header = self._source.header_dict
            if (
                not dtype.itemsize * shape[0] * shape[1]
                <= header["image_size_bytes"]
                < header["true_image_size"]
            ):
                raise InputError(
                    f"{path} has a header that contradicts itself; copy it from the camera again"
                )
            times = _norpix_stamps(path, header, len(self._source))
            nominal = float(self._source.frame_rate) or None
        if not len(times):
            raise InputError(f"{path} holds no frames; check that the recording was saved completely")
        times = self._in_time_order(path, times)
        placement = place(times - times[0])
        n_frames = int(placement.slots[-1]) + 1
        fps = None if placement.interval is None else _mean_rate(times, placement.slots)
        if fps is None and len(times) > 1:
            log.warning("%s: the time stamps are not evenly spaced; no frame rate is taken from them", path)
        elif fps and nominal and abs(fps / nominal - 1) > 0.05:
            log.warning(
                "%s: the header says %g frames/s, the time stamps %.4g; the stamps are used",
                path,
                nominal,
                fps,
            )
        about = Description(
            (int(shape[0]), int(shape[1])),
            delivered_dtype(dtype),
            lossless=True,
            fps=fps,
            nominal_fps=nominal,
            timestamps_s=None if _set_back(times) else spread(times, placement.slots, n_frames),
        )
        super().__init__(
            path,
            about,
            slots=placement.slots,
            repeated=placement.repeated,
            n_frames=believable(int(header["allocated_frames"]), n_frames),
        )

    def _bytes_needed(self, k: int) -> int:
        header = self._source.header_dict
        start = norpix_start(header)
        return int(start + k * header["true_image_size"] + header["image_size_bytes"])


class CineVideo(CameraFile):
    """Phantom cine, uncompressed; rate and time stamps are the camera's own clock."""

    def __init__(self, path: Path) -> None:
        with reading(path, "a Phantom cine"):
            _refuse_false_count(path)
            self._source = pims.Cine(str(path))
            header = self._source.bitmapinfo_dict
            shape = (int(header["bi_height"]), int(header["bi_width"]))
            dtype = np.dtype(self._source.pixel_type)
            refuse_giant(path, shape, dtype)
            if self._source.compression != 0:
                raise InputError(
                    f"{path} is a compressed cine; export it uncompressed from Phantom's software"
                )
            stamps = self._source.frame_time_stamps
            times = np.array([(day - stamps[0][0]).total_seconds() + part for day, part in stamps])
            rate = float(self._source.frame_rate)
        times = self._in_time_order(path, times)
        placement = place(times, STAMP_RESOLUTION_S)
        fps = rate or None
        measured = None if placement.interval is None else _mean_rate(times, placement.slots)
        if measured and rate and abs(measured / rate - 1) > 0.05:
            log.warning(
                "%s: the header says %g frames/s, the stamps %.6g; the stamps are used", path, rate, measured
            )
            fps = measured
        about = Description(
            shape,
            delivered_dtype(dtype),
            lossless=True,
            fps=fps,
            timestamps_s=None
            if _set_back(times)
            else spread(times, placement.slots, int(placement.slots[-1]) + 1),
        )
        super().__init__(path, about, slots=placement.slots, repeated=placement.repeated)

    def _bytes_needed(self, k: int) -> int:
        return int(self._source.image_locations[k] + self._source.bitmapinfo_dict["bi_image_size"])


class SpeVideo(CameraFile):
    """Princeton Instruments SPE 2.x; it states no frame rate that can be relied on."""

    def __init__(self, path: Path) -> None:
        with reading(path, "an SPE recording"):
            self._source = pims.SpeStack(str(path), check_filesize=False)
            shape, dtype = self._source.frame_shape, np.dtype(self._source.pixel_type)
            refuse_giant(path, shape, dtype)
            self._image_bytes = shape[0] * shape[1] * dtype.itemsize
            announced = len(self._source)
            # A frame that is there in part still counts: it is reported as damaged.
            present = -(-(path.stat().st_size - SPE_HEADER) // self._image_bytes)
        about = Description((int(shape[0]), int(shape[1])), delivered_dtype(dtype), lossless=True)
        n_delivered = max(0, min(announced, present))
        super().__init__(
            path, about, slots=np.arange(n_delivered), n_frames=believable(announced, n_delivered)
        )

    def _bytes_needed(self, k: int) -> int:
        return int(SPE_HEADER + (k + 1) * self._image_bytes)


def norpix_start(header: Mapping[str, Any]) -> int:
    """Bytes before the first image."""
    return 8192 if header["version"] >= 5 else 1024


def _norpix_stamps(path: Path, header: Mapping[str, Any], n: int) -> np.ndarray:
    """Seconds since 1970 behind each image, shape (n,); what a disk has zeroed is interpolated."""
    if not n:
        return np.empty(0)
    fields = [("s", "<u4"), ("ms", "<u2")] + ([("us", "<u2")] if header["version"] >= 5 else [])
    block = np.dtype(
        {
            "names": [name for name, _ in fields],
            "formats": [form for _, form in fields],
            "offsets": [header["image_size_bytes"] + at for at in (0, 4, 6)[: len(fields)]],
            "itemsize": header["true_image_size"],
        }
    )
    stamps = np.memmap(path, block, mode="r", offset=norpix_start(header), shape=(n,))
    times = np.zeros(n)
    for (name, _), unit_s in zip(fields, (1.0, 1e-3, 1e-6), strict=False):
        times += stamps[name] * unit_s
    known = np.flatnonzero(times)
    return np.interp(np.arange(n), known, times[known]) if 0 < len(known) < n else times


def believable(announced: int, delivered: int) -> int:
    """Announced number of frames, unless the excess over what is there is absurd."""
    return announced if announced <= delivered + MAX_TAIL else delivered


def _set_back(times: np.ndarray) -> bool:
    return bool(np.any(np.diff(times) < 0))


def _mean_rate(times: np.ndarray, slots: np.ndarray) -> float | None:
    """Frames per second over the whole recording, lost frames counted."""
    return float((slots[-1] - slots[0]) / (times[-1] - times[0])) if times[-1] > times[0] else None


def _refuse_false_count(path: Path) -> None:
    # The reader reserves memory for as many frames as the header announces, before it looks for them.
    with path.open("rb") as stream:
        start = stream.read(24)
    if start[:2] != b"CI" or len(start) < 24:
        raise InputError(f"{path} is not a Phantom cine; check the path")
    count = struct.unpack_from("<I", start, 20)[0]
    if count < 1 or 8 * count > path.stat().st_size:
        raise InputError(
            f"{path} announces {count} frames, which do not fit in it; copy it from the camera again"
        )
