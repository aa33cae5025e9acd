"""The index of a video container: which packet is which frame, found without decoding."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from colloidlab.video.slots import place

_CHUNK_HEADER = 8
_AVI_ENTRY = np.dtype([("id", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("size", "<u4")])
_TAIL_BYTES = 2**20
"""What other programs may have written behind the table."""


@dataclass(frozen=True)
class Packet:
    """What the index needs of a packet of the file, in the order of decoding."""

    pts: int | None
    position: int
    is_keyframe: bool


@dataclass(frozen=True)
class PacketIndex:
    """Frames of a container in the order of presentation.

    Parameters
    ----------
    pts : int array, shape (n,)
        Presentation times in ticks of the stream, sorted.
    slots : int array, shape (n,)
        Frame index of each in the recording, lost frames counted.
    repeated : bool array, shape (n,)
        True where the time stamp equals the one before.
    keyframes : int array
        Presentation times of the key frames, sorted.
    by_count : bool
        True where decoded pictures carry no usable time and only counting from the start
        tells which is which: H.264 with B-frames in AVI, elementary streams.
    lost_packets : bool
        True where the container's table lists packets that are no longer there.
    irregular : bool
        True where the frame rate is not constant, so that gaps say nothing.
    """

    pts: np.ndarray
    slots: np.ndarray
    repeated: np.ndarray
    keyframes: np.ndarray
    by_count: bool
    lost_packets: bool
    irregular: bool
    rank: dict[int, int] = field(repr=False)

    def order_of(self, pts: int | None) -> int | None:
        """Place in the order of presentation of the picture with this time stamp."""
        return None if pts is None else self.rank.get(pts)


def list_packets(container: Any, stream: Any) -> list[Packet]:
    """All packets of the stream that hold a picture; stops quietly where the file is cut off."""
    packets = []
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                packets.append(Packet(packet.pts, packet.pos or 0, packet.is_keyframe))
    except av.FFmpegError:
        pass  # what follows cannot be reached; the announced rest will be reported as missing
    return packets


def build_index(path: Path, container: Any, stream: Any) -> PacketIndex:
    """List the packets and find the frame index of each.

    AVI has no time stamps: a packet's time is its number, so a lost one shifts all that
    follow. There the table of positions that AVI keeps at its end tells the true number;
    a frame that the camera dropped is an empty entry of it.
    """
    is_avi = "avi" in container.format.name.split(",")
    table = {entry.pos: entry.timestamp for entry in stream.index_entries} if is_avi else {}
    reorders = is_avi and stream.codec_context.name in ("h264", "hevc") and stream.codec_context.has_b_frames
    packets = list_packets(container, stream)
    times = [packet.pts for packet in packets if packet.pts is not None]
    by_count = bool(reorders) or len(times) < len(packets) or len(set(times)) < len(times)
    if len(times) < len(packets):
        times = list(range(len(packets)))
    pts = np.sort(np.array(times, dtype=np.int64))
    numbers = _numbers_by_position(packets, table)
    if is_avi and numbers is None:
        numbers = _numbers_by_position(packets, read_avi_table(path, stream.index, len(packets)))
    lost = numbers is not None and bool(len(numbers)) and int(numbers[-1]) >= len(numbers)
    if numbers is not None:
        slots, repeated, irregular = numbers, np.zeros(len(pts), dtype=bool), False
    else:
        placement = place(pts - pts[0] if len(pts) else pts, resolution=1.0)
        slots, repeated = placement.slots, placement.repeated
        irregular = placement.interval is None and len(pts) > 2
    keyframes = np.sort([p.pts for p in packets if p.is_keyframe and p.pts is not None]).astype(np.int64)
    rank = {} if by_count else {int(t): k for k, t in enumerate(pts)}
    return PacketIndex(pts, slots, repeated, keyframes, by_count, lost, irregular, rank)


def read_avi_table(path: Path, stream_index: int, n_packets: int) -> dict[int, int]:
    """Number of each chunk by its position, from the table at the end of an AVI, which ends where the table begins.

    libav does not find this table when the header of the list of chunks is spoilt.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - 64 * n_packets - _TAIL_BYTES))
        before, tail = stream.tell(), stream.read()
    found = tail.rfind(b"idx1")
    if found < 0:
        return {}
    length = int.from_bytes(tail[found + 4 : found + 8], "little")
    entries = np.frombuffer(tail[found + 8 : found + 8 + length // 16 * 16], _AVI_ENTRY)
    if not len(entries):
        return {}
    last = entries[-1]
    base = before + found - (int(last["offset"]) + _CHUNK_HEADER + int(last["size"]) + int(last["size"]) % 2)
    own = entries[np.char.startswith(entries["id"], b"%02d" % stream_index)]
    return {base + int(offset): number for number, offset in enumerate(own["offset"])}


def _numbers_by_position(packets: list[Packet], table: dict[int, int]) -> np.ndarray | None:
    """Number of each packet in AVI's own table; None where the table is absent or does not fit."""
    if len(table) < len(packets):
        return None
    # The table points at the chunk, the packet at what is in it.
    numbers = [table.get(packet.position - _CHUNK_HEADER) for packet in packets]
    known = [n for n in numbers if n is not None]
    rising = all(a < b for a, b in pairwise(known))
    return np.array(known, dtype=np.int64) if rising and len(known) == len(packets) else None
