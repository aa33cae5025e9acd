"""Recordings that tests write themselves: every frame carries its own number as a bar code."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH, BITS = 96, 128, 10

DATA = Path(os.environ.get("COLLOIDLAB_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def coded(i: int) -> np.ndarray:
    """A moving blob with camera noise; the top rows are the binary digits of i."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(i).normal(0, 2, (HEIGHT, WIDTH))
    image = (100 + 80 * np.exp(-((x - 30 - i) ** 2 + (y - 50) ** 2) / 80) + noise).astype(np.uint8)
    for bit in range(BITS):
        image[:12, bit * 12 : (bit + 1) * 12] = 250 if i >> bit & 1 else 5
    return image


def code(image: np.ndarray) -> int:
    """The number that the bars of an image show, for images of any bit depth."""
    bars = np.array([image[6, bit * 12 + 6] for bit in range(BITS)], dtype=float)
    return int(sum(int(bar > image[6:90].mean()) << bit for bit, bar in enumerate(bars)))


def write_container(
    path: Path, codec: str, pix_fmt: str, n: int = 40, skip: tuple[int, ...] = (), **options: str
) -> Path:
    """Write coded frames with any libav encoder; the times of `skip` are left out."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        for i in (i for i in range(n) if i not in skip):
            picture = av.VideoFrame.from_ndarray(coded(i), format="gray")
            picture.pts = i
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def packet_at(path: Path, k: int) -> tuple[int, int]:
    """Position and size, bytes, of the k-th packet of a container."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
        return packets[k].pos, packets[k].size


def zero(path: Path, start: int, size: int) -> None:
    """Overwrite a block of a file with zeros, as a bad disk does."""
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(bytes(size))


def cut(path: Path, fraction: float) -> None:
    """Keep only the first part of a file, as a full disk does."""
    os.truncate(path, int(path.stat().st_size * fraction))
