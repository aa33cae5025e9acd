"""Writing the same frames into every kind of container, with frames left out and bytes that can be found."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import tifffile
from PIL import Image
from video_files import HEIGHT, WIDTH, packet_at

Images = Sequence[np.ndarray | None]
"""What a camera delivered; None for a frame that was lost on the way, but took its time."""

SEQ_HEADER = 8192
SEQ_BLOCK = HEIGHT * WIDTH + 512
FPS = 100


def write_avi_raw(path: Path, images: Images) -> Path:
    return _encode(path.with_suffix(".avi"), images, "rawvideo", "gray")


def write_avi_mjpeg(path: Path, images: Images) -> Path:
    return _encode(path.with_suffix(".avi"), images, "mjpeg", "yuvj420p", qmin="2", qmax="2")


def write_mp4(path: Path, images: Images) -> Path:
    """H.264 with a key frame every ten, and its index in front."""
    return _encode(path.with_suffix(".mp4"), images, "libx264", "yuv420p", g="10", qp="12")


def write_mkv_ffv1(path: Path, images: Images) -> Path:
    """Lossless, with a checksum in every slice."""
    return _encode(path.with_suffix(".mkv"), images, "ffv1", "gray", level="3", slicecrc="1", g="1")


def _encode(path: Path, images: Images, codec: str, pix_fmt: str, **options: str) -> Path:
    muxing = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=muxing) as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        for i, image in enumerate(images):
            if image is not None:
                picture = av.VideoFrame.from_ndarray(image, format="gray")
                picture.pts = i
                container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def write_tiff(path: Path, images: Images) -> Path:
    """One contiguous block of pixels behind one description, as ImageJ writes it."""
    stack = np.array([image for image in images if image is not None])
    tifffile.imwrite(path.with_suffix(".tif"), stack, imagej=True, metadata={"axes": "TYX"})
    return path.with_suffix(".tif")


def write_tiff_zlib(path: Path, images: Images) -> Path:
    """One compressed page a frame."""
    with tifffile.TiffWriter(path.with_suffix(".tif")) as writer:
        for image in images:
            if image is not None:
                writer.write(image, compression="zlib", metadata=None, photometric="minisblack")
    return path.with_suffix(".tif")


def write_folder(path: Path, images: Images) -> Path:
    path.mkdir()
    for i, image in enumerate(images):
        if image is not None:
            Image.fromarray(image).save(path / f"frame_{i:04d}.png")
    return path


def write_seq(path: Path, images: Images) -> Path:
    """NorPix sequence, version 5: each image is followed by its time stamp."""
    delivered = [(i, image) for i, image in enumerate(images) if image is not None]
    pixels = HEIGHT * WIDTH
    header = struct.pack("<L24sll512s", 0xFEED, "Norpix seq".encode("utf-16-le"), 5, 1024, b"")
    header += struct.pack("<9L", WIDTH, HEIGHT, 8, 8, pixels, 100, len(delivered), 0, SEQ_BLOCK)
    header += struct.pack("<d", FPS) + bytes(64)
    with path.with_suffix(".seq").open("wb") as stream:
        stream.write(header.ljust(SEQ_HEADER, b"\0"))
        for i, image in delivered:
            stamp = struct.pack("<LHH", 1_600_000_000 + i // FPS, i % FPS * (1000 // FPS), 0)
            stream.write((image.tobytes() + stamp).ljust(SEQ_BLOCK, b"\0"))
    return path.with_suffix(".seq")


WRITERS: dict[str, Callable[[Path, Images], Path]] = {
    "raw avi": write_avi_raw,
    "mjpeg avi": write_avi_mjpeg,
    "h264 mp4": write_mp4,
    "ffv1 mkv": write_mkv_ffv1,
    "tiff": write_tiff,
    "zlib tiff": write_tiff_zlib,
    "folder": write_folder,
    "seq": write_seq,
}


def place_of(path: Path, k: int) -> tuple[Path, int, int]:
    """File, first byte and number of bytes of the k-th image in a recording."""
    if path.is_dir():
        file = sorted(path.iterdir())[k]
        return file, 0, file.stat().st_size
    if path.suffix == ".seq":
        return path, SEQ_HEADER + k * SEQ_BLOCK, HEIGHT * WIDTH
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tiff:
            if tiff.is_imagej:
                page = tiff.pages.first
                return path, page.dataoffsets[0] + k * page.nbytes, page.nbytes
            return path, tiff.pages[k].dataoffsets[0], tiff.pages[k].databytecounts[0]
    return path, *packet_at(path, k)


def announce(path: Path, n: int) -> None:
    """Make the header of a file say that it holds n frames."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".avi":
        main, stream = data.index(b"avih"), data.index(b"strh")
        data[main + 24 : main + 28] = data[stream + 40 : stream + 44] = struct.pack("<L", n)
    elif path.suffix == ".seq":
        data[572:576] = struct.pack("<L", n)
    elif path.suffix == ".tif":
        for name in (b"images=", b"frames="):
            start = data.index(name) + len(name)
            data[start : data.index(b"\n", start)] = str(n).encode()  # as many digits as before
    else:
        raise ValueError(f"{path.name} does not announce a number of frames in one place")
    path.write_bytes(data)
