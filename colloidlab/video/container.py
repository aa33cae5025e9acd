"""Video containers (mp4, mov, avi, mkv, ...) through libav, with exact frame numbers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
from av.video.reformatter import ColorRange

from colloidlab.errors import InputError
from colloidlab.video.cameras import believable
from colloidlab.video.foreign import describe, reading
from colloidlab.video.frames import Delivery, Description, Frame, Image, Video
from colloidlab.video.grey import full_range, refuse_giant, to_grey
from colloidlab.video.packets import PacketIndex, build_index

log = logging.getLogger(__name__)

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,matroska,webm,asf,mpeg,mpegts,mpegvideo,flv,ogg,gif,"
    "yuv4mpegpipe,h264,hevc,m4v,mjpeg,nut,mxf,ivf,dv,rm"
)
"""Containers that libav may take a file for: none opens other files, the network, or takes text for video."""

LOSSLESS = {
    "rawvideo",
    "ffv1",
    "huffyuv",
    "ffvhuff",
    "utvideo",
    "png",
    "bmp",
    "qtrle",
    "msrle",
    "v210",
    "magicyuv",
}

_REPEATS_TELL = LOSSLESS | {"mjpeg"}
"""Codecs that keep the noise of the camera in every picture, so that two equal ones are one picture twice."""

_NEVER_ZERO = {"h264", "hevc", "mjpeg", "mpeg4", "mpeg2video", "mpeg1video"}
"""Codecs whose data holds no long run of zeros, so that one is a block that a disk has lost."""

_ZERO_RUN = bytes(64)

_LUMA_PLANE = ("gray", "yuv4", "yuvj4", "yuva4", "nv12", "nv16", "nv24")
"""Pixel formats, by the beginning of their names, whose first plane is the luminance."""


class ContainerVideo(Video):
    """A video container; the list of packets is made when the first frame is asked for."""

    def __init__(self, path: Path) -> None:
        self._index: PacketIndex | None = None
        with reading(path, "a video"), _open(path) as container:
            stream = _picture_stream(path, container)
            context = stream.codec_context
            shape = (int(context.height), int(context.width))
            if context.pix_fmt is None:
                raise InputError(f"{path} has no decodable picture; the recording is damaged at its start")
            dtype = np.dtype(np.uint8) if _depth(context.format) <= 8 else np.dtype(np.uint16)
            refuse_giant(path, shape, dtype)
            rate = stream.average_rate or stream.guessed_rate
            announced = int(stream.frames)
            lossless = context.name in _REPEATS_TELL
            # Matroska states no number of frames, but how long the recording is; sound may outlast it.
            self._length_s = container.duration / av.time_base if _states_length(container) else None
        about = Description(shape, dtype, lossless, nominal_fps=float(rate) if rate else None)
        super().__init__(path, max(announced, 1), about)
        if announced < 1:
            index = self._index = _index(path)
            if not len(index.pts):
                raise InputError(f"{path} holds no frames; check that the recording was saved completely")
            self._n_frames = self._announced_by_length(index)

    def _announced_by_length(self, index: PacketIndex) -> int:
        listed = int(index.slots[-1]) + 1
        if self._length_s is None or self.nominal_fps is None or index.irregular:
            return listed
        stated = round(self._length_s * self.nominal_fps)
        # One frame more may be rounding.
        return believable(stated, listed) if stated > listed + 1 else listed

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        self._listed()  # corrects the number of frames
        return super().frames(start, stop)

    def _listed(self) -> PacketIndex:
        if self._index is not None:
            return self._index
        index = self._index = _index(self.path)
        if not len(index.pts):
            raise InputError(f"{self.path} announces {self._n_frames} frames but holds none; copy it again")
        listed = int(index.slots[-1]) + 1
        self._n_frames = max(listed, believable(self._n_frames, listed))
        if index.irregular:
            log.warning(
                "%s: its frame rate is not constant; frames are numbered in the order of showing", self.path
            )
        return index

    def _deliveries(self, start: int, stop: int) -> Iterator[Delivery]:
        index = self._listed()
        first = int(np.searchsorted(index.slots, start))
        pictures = _Decoding(self.path, index, self.shape, self.dtype).pictures(first)
        expected = start
        for k, image, reason in pictures:
            slot = int(index.slots[k])
            for lost in range(expected, min(slot, stop)):
                yield Delivery(
                    lost, None, "missing", "lost: the container's times or table leave a place for it"
                )
            if slot >= stop:
                return
            if image is None:
                yield Delivery(slot, None, "damaged", reason)
            elif index.repeated[k]:
                yield Delivery(slot, image, "duplicate", "same time stamp as the frame before")
            else:
                yield Delivery(slot, image)
            expected = slot + 1
            if expected >= stop:
                return
        for lost in range(expected, stop):
            yield Delivery(lost, None, "missing", "announced by the container, but not in the file")


class _Decoding:
    """One walk through a container; keeps account of which pictures damage has spoilt.

    A picture that refers to a spoilt one is spoilt, whatever the decoder makes of it, so
    everything from a fault to the next key frame is damaged, and so are pictures
    shown before that key frame but decoded after it.
    """

    def __init__(self, path: Path, index: PacketIndex, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._path = path
        self._index = index
        self._shape = shape
        self._dtype = dtype
        self._spoilt: dict[int, str] = {}
        self._fault = ""
        self._clean_from: int | None = None
        self._intra = False
        self._sent = 0
        self._shown = 0

    def pictures(self, first: int) -> Iterator[tuple[int, Image | None, str]]:
        """Yield (place in order of presentation, image or None, reason) for every place from `first`."""
        n = len(self._index.pts)
        if first >= n:
            return
        due = first
        for k, picture in self._decode(first):
            if k < due or k >= n:
                continue
            for skipped in range(due, k):
                yield skipped, None, self._reason(skipped) or "the decoder gave no picture for it"
            image, reason = self._convert(k, picture)
            yield k, image, reason
            due = k + 1
        for skipped in range(due, n):
            yield skipped, None, self._reason(skipped) or "the decoder gave no picture for it"

    def _decode(self, first: int) -> Iterator[tuple[int, Any]]:
        with _open(self._path) as container:
            stream = container.streams.video[0]
            # One thread: a message of the decoder then belongs to the packet just sent.
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            self._intra = bool(stream.codec_context.codec.intra_only)
            for packet in self._from(container, stream, first):
                for picture in self._send(packet):
                    k = self._number() if self._index.by_count else self._index.order_of(picture.pts)
                    if k is not None:
                        yield k, picture

    def _from(self, container: Any, stream: Any, first: int) -> Iterator[Any]:
        """Packets from a key frame well before `first`, or from the start where a seek cannot be trusted."""
        target = self._safe_keyframe(first)
        if target is not None:
            try:
                container.seek(target, stream=stream, backward=True, any_frame=False)
                packets = _demuxed(container, stream)
                landed = next(packets, None)
                # Some containers land behind the target: then only the whole way is exact.
                if landed is not None and landed.pts is not None and landed.pts <= target:
                    yield landed
                    yield from packets
                    return
            except av.FFmpegError:
                pass
            with _open(self._path) as again:
                yield from _demuxed(again, again.streams.video[0])
            return
        yield from _demuxed(container, stream)

    def _safe_keyframe(self, first: int) -> int | None:
        """Time of the key frame before the nearest one: pictures may refer across one key frame."""
        if self._index.by_count:
            return None
        place = int(np.searchsorted(self._index.keyframes, self._index.pts[first], side="right")) - 2
        return int(self._index.keyframes[place]) if place > 0 else None

    def _number(self) -> int:
        """Place of the picture just decoded, where only counting tells it."""
        self._shown += 1
        return (self._sent if self._intra else self._shown) - 1

    def _send(self, packet: Any) -> list[Any]:
        self._begin(packet)
        self._sent += bool(packet.size)
        fault = ""
        pictures: list[Any] = []
        with _errors() as messages:
            try:
                pictures = packet.decode()
            except av.FFmpegError as error:
                fault = f"the decoder refuses it ({_plain(error)})"
        if packet.size and not fault and self._has_lost_block(packet):
            fault = "a run of zeros in its data: a lost block of the file"
        if packet.size and not fault and (packet.is_corrupt or messages):
            fault = f"the decoder reports damage ({messages[0]})" if messages else "cut short in the file"
        if fault and packet.size:
            self._fault, self._clean_from = fault, None
            self._mark(packet, fault)
        return pictures

    def _has_lost_block(self, packet: Any) -> bool:
        context = packet.stream.codec_context
        if context.name not in _NEVER_ZERO:
            return False
        data = bytes(packet)
        # Only where units state their length the last byte is part of the data; elsewhere zeros may pad it.
        stated = context.name in ("h264", "hevc") and bytes(context.extradata or b"")[:1] == b"\1"
        return _ZERO_RUN in (data if stated else data.rstrip(b"\0"))

    def _begin(self, packet: Any) -> None:
        """Let a fault end at a key frame, or reach on to a picture that may refer to what it spoilt."""
        if not self._fault or not packet.size:
            return
        if self._intra:
            self._fault = ""
        elif packet.is_keyframe and packet.pts is not None and not self._index.by_count:
            self._clean_from = packet.pts
        elif self._clean_from is not None and packet.pts is not None and packet.pts > self._clean_from:
            self._fault, self._clean_from = "", None
        elif not self._index.by_count:
            self._mark(packet, "refers to a damaged picture")

    def _mark(self, packet: Any, reason: str) -> None:
        k = self._index.order_of(packet.pts)
        if self._index.by_count and self._intra:
            k = self._sent - 1
        if k is not None:
            self._spoilt.setdefault(k, reason)

    def _reason(self, k: int) -> str:
        if self._index.by_count and not self._intra:
            # After a fault, or a lost packet, the count is off by an unknown number.
            if self._index.lost_packets and self._index.slots[k] != k:
                return "its number is uncertain after lost packets in a container without usable times"
            return self._fault and "its number is uncertain after damage in a container without usable times"
        return self._spoilt.get(k, "")

    def _convert(self, k: int, picture: Any) -> tuple[Image | None, str]:
        reason = self._reason(k) or ("the decoder marks it as damaged" if picture.is_corrupt else "")
        if reason:
            return None, reason
        if (picture.height, picture.width) != self._shape:
            return None, f"is {picture.width} x {picture.height} px, unlike the recording"
        with _errors():
            return picture_to_grey(picture).astype(self._dtype, copy=False), ""


def picture_to_grey(picture: Any) -> Image:
    """Luminance of a decoded picture at its bit depth; studio range is spread to full range."""
    name = picture.format.name
    depth = _depth(picture.format)
    if not name.startswith(_LUMA_PLANE) or name.endswith("be") or "f32" in name:
        return to_grey(picture.to_ndarray(format="rgb24" if depth <= 8 else "rgb48le"))
    plane = picture.planes[0]
    dtype = np.dtype(np.uint8) if depth <= 8 else np.dtype("<u2")
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
    luma = np.array(rows[: picture.height, : picture.width])
    # Colour that does not state its range is in studio range by convention, grey is not.
    stated = ColorRange(int(picture.color_range))
    full = (
        name.startswith(("gray", "yuvj")) if stated == ColorRange.UNSPECIFIED else stated == ColorRange.JPEG
    )
    return luma if full else full_range(luma, depth)


def _depth(pixel_format: Any) -> int:
    return max(component.bits for component in pixel_format.components)


def _open(path: Path) -> Any:
    return av.open(
        "file:" + str(path.resolve()), options={"protocol_whitelist": "file", "format_whitelist": FORMATS}
    )


def _picture_stream(path: Path, container: Any) -> Any:
    if not container.streams.video:
        raise InputError(f"{path} has no video stream; check that it is the recording and not its sound")
    return container.streams.video[0]


def _states_length(container: Any) -> bool:
    return "matroska" in container.format.name and bool(container.duration) and len(container.streams) == 1


def _index(path: Path) -> PacketIndex:
    with reading(path, "a video"), _errors(), _open(path) as container:
        return build_index(path, container, _picture_stream(path, container))


def _demuxed(container: Any, stream: Any) -> Iterator[Any]:
    """Packets until the end, or until the file can no longer be followed."""
    packets = container.demux(stream)
    while True:
        try:
            with _errors():
                packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        yield packet


@contextmanager
def _errors() -> Iterator[list[str]]:
    """Collect what libav reports as errors in this thread, instead of printing it."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    messages: list[str] = []
    try:
        with av.logging.Capture() as captured:
            yield messages
        messages += [text.strip() for severity, _, text in captured if severity <= av.logging.ERROR]
    finally:
        av.logging.set_level(level)


def _plain(error: av.FFmpegError) -> str:
    return describe(error).split("last error log: ")[-1]
