"""TIFF, OME-TIFF and ImageJ stacks, read plane by plane."""

from __future__ import annotations

import logging
import math
import struct
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image as pillow

from colloidlab.errors import InputError
from colloidlab.video.foreign import reading
from colloidlab.video.frames import Description, Image
from colloidlab.video.grey import delivered_dtype, refuse_giant
from colloidlab.video.scale import imagej_scale, ome_scale
from colloidlab.video.stack import Damaged, Stack

log = logging.getLogger(__name__)

TIFF_SUFFIXES = {".tif", ".tiff", ".btf", ".tf8", ".stk", ".lsm"}

MAX_EXPANSION = 1400
"""No common TIFF compression (deflate 1032, LZW 1365) makes more of a byte; a claim above it is hostile."""

MAX_CHANNELS = 7
"""ImageJ shows no more channels than this; a stack of more and of nothing else is a mislabelled sequence."""

MAX_TAIL = 1_000_000
"""More images than this in one ImageJ stack are taken for a damaged description."""


_LEAST_PAGE = 4096
"""Fewer bytes behind the last page are an editor's notes, no lost page."""


class TiffVideo(Stack):
    """One TIFF file. Axes: time gives frames; of several channels the first is used; z is projected.

    A z stack becomes its maximum projection; ImageJ calls the images of a plain
    sequence "slices", so a z axis without a time axis in its files is taken as time.
    """

    def __init__(self, path: Path) -> None:
        with reading(path, "a TIFF image"):
            self._tiff = _open(path)
        try:
            with reading(path, "a TIFF image"):
                self._series = _choose_series(path, self._tiff)
                axes, sizes, self._offset = _layout(self._tiff, self._series)
                self._planes = plane_numbers(path, axes, sizes, self._tiff.is_imagej)
                about = _describe(path, self._tiff, self._series)
                n_planes = len(self._planes)
                # How many frames a file lost with its directory is not known: one stands for them.
                n_frames = n_planes + 1 if _is_cut_off(self._tiff, self._series) else n_planes
            super().__init__(path, about, slots=np.arange(n_planes), n_frames=n_frames)
        except BaseException:
            self._tiff.close()
            raise
        self._size = path.stat().st_size

    def _read(self, k: int) -> Image:
        return np.maximum.reduce([self._plane(plane) for plane in self._planes[k]])

    def _plane(self, number: int) -> Image:
        keyframe = self._series.keyframe
        if self._offset is not None and self._series.dtype.itemsize * 8 == keyframe.bitspersample:
            return self._contiguous(number)
        pages = self._series.pages
        page = pages[number] if number < len(pages) else None
        if page is None:
            raise Damaged("its page is not in the file; the file was cut short")
        self._refuse_truncated(page)
        try:
            image = page.asarray()
        except (ValueError, ImportError, NotImplementedError):
            image = self._other_decoder(page, keyframe)
        return _channels_last(image, keyframe.axes)

    def _contiguous(self, number: int) -> Image:
        # ImageJ writes stacks as one block behind the first page: the pages may not even exist.
        keyframe = self._series.keyframe
        count = math.prod(keyframe.shape)
        offset = self._offset + number * count * self._series.dtype.itemsize
        if offset + count * self._series.dtype.itemsize > self._size:
            raise Damaged("its pixels are not in the file; the file was cut short")
        dtype = self._series.dtype.newbyteorder(self._tiff.byteorder)
        flat = np.fromfile(self.path, dtype, count, offset=offset)
        image = flat.astype(self._series.dtype, copy=False).reshape(keyframe.shape)
        return _channels_last(image, keyframe.axes)

    def _refuse_truncated(self, page: Any) -> None:
        # tifffile fills what is absent with zeros; to a physicist that is a lie.
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False):
            if size == 0 or offset + size > self._size:
                raise Damaged("its pixels are not in the file; the file was cut short")
        if sum(page.databytecounts) * MAX_EXPANSION < page.nbytes:
            raise Damaged("the file is too small for the image that it announces")

    def _other_decoder(self, page: Any, keyframe: Any) -> Image:
        # Two kinds that tifffile leaves to an optional package: 12-bit packed, and LZW or JPEG.
        if keyframe.compression == 1 and keyframe.bitspersample == 12 and keyframe.samplesperpixel == 1:
            raw = b"".join(
                _read_bytes(self.path, o, n)
                for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)
            )
            return unpack_12_bit(raw, keyframe.shape)
        with pillow.open(self.path) as opened:
            opened.seek(page.index)
            return np.asarray(opened)

    def close(self) -> None:
        super().close()
        self._tiff.close()


def plane_numbers(path: Path, axes: str, shape: tuple[int, ...], is_imagej: bool) -> list[list[int]]:
    """For every frame, the numbers of the planes that are projected into it.

    Parameters
    ----------
    axes : str
        tifffile's letters: T time, Z depth, C channel, S colour sample, Y, X; others count as time.

    >>> plane_numbers(Path("a.tif"), "TZYX", (2, 3, 8, 8), False)
    [[0, 1, 2], [3, 4, 5]]
    """
    outer = [(axis, n) for axis, n in zip(axes, shape, strict=True) if axis not in "YXS"]
    sizes = [n for _, n in outer]
    has_time = any(axis == "T" and n > 1 for axis, n in outer)
    only_channels = not any(axis != "C" and n > 1 for axis, n in outer)
    roles = []
    for axis, n in outer:
        if axis == "C" and is_imagej and only_channels and n > MAX_CHANNELS:
            roles.append("time")
        elif axis == "Z":
            roles.append("depth" if has_time or not is_imagej else "time")
        elif axis == "T" or (axis != "C" and not has_time):
            roles.append("time")
        else:
            roles.append("first")
        if n > 1 and roles[-1] == "depth":
            log.info("%s: the %d planes of each z stack are projected to their maximum", path, n)
        elif n > 1 and roles[-1] == "first":
            log.info("%s: of the %d entries along axis %s the first is used", path, n, axis)
        elif n > 1 and axis in "ZC":
            log.info(
                "%s: there is no time axis, so the %d images along %s are taken as frames", path, n, axis
            )
    times = product(*(range(n) if role == "time" else range(1) for n, role in zip(sizes, roles, strict=True)))
    numbers = []
    for time in times:
        ranges = [range(n) if r == "depth" else [t] for n, r, t in zip(sizes, roles, time, strict=True)]
        numbers.append([int(np.ravel_multi_index(p, sizes)) if sizes else 0 for p in product(*ranges)])
    return numbers


def unpack_12_bit(raw: bytes, shape: tuple[int, ...]) -> Image:
    """Spread packed 12-bit samples (two in three bytes, high bits first, rows padded) into uint16.

    >>> unpack_12_bit(bytes([0xAB, 0xCD, 0xEF]), (1, 2)).tolist() == [[0xABC, 0xDEF]]
    True
    """
    height, width = shape[:2]
    row_bytes = (12 * width + 7) // 8
    rows = np.frombuffer(raw, np.uint8, height * row_bytes).reshape(height, row_bytes)
    padded = np.pad(rows, ((0, 0), (0, -row_bytes % 3))).astype(np.uint16)
    first, middle, last = padded[:, 0::3], padded[:, 1::3], padded[:, 2::3]
    pairs = np.stack([first << 4 | middle >> 4, (middle & 15) << 8 | last], axis=-1)
    return pairs.reshape(height, -1)[:, :width]


def _open(path: Path) -> tifffile.TiffFile:
    tiff = tifffile.TiffFile(path)
    if tiff.is_shaped and (len(tiff.series) > 1 or _n_held(tiff.series[0]) < len(tiff.pages)):
        # Pages that tifffile wrote one by one each say that they are a series: they are frames.
        # Of a cut-off compressed stack it sees one page, though more are there.
        tiff.close()
        tiff = tifffile.TiffFile(path, is_shaped=False)
    elif tiff.is_imagej and _holds_more(tiff):
        n_said, n_there = _n_held(tiff.series[0]), len(tiff.pages)
        log.warning(
            "%s: ImageJ's description speaks of %d images, but there are %d; all are used, without its scale",
            path,
            n_said,
            n_there,
        )
        tiff.close()
        tiff = tifffile.TiffFile(path, is_imagej=False)
    return tiff


def _holds_more(tiff: tifffile.TiffFile) -> bool:
    """True when pages follow those that ImageJ's description announces."""
    series = tiff.series[0]
    if series.dataoffset is None:
        return False
    image_bytes = math.prod(series.keyframe.shape) * series.dtype.itemsize
    behind = tiff.filehandle.size - series.dataoffset - _n_held(series) * image_bytes
    # Counting the pages takes time in a long file: it is done only where there is room for one more.
    return bool(behind >= image_bytes and len(tiff.pages) > _n_held(series))


def _n_held(series: Any) -> int:
    return math.prod(series.shape) // math.prod(series.keyframe.shape)


def _layout(tiff: tifffile.TiffFile, series: Any) -> tuple[str, tuple[int, ...], int | None]:
    """Axes, their lengths, and where the pixels begin when they are one block.

    Of a cut-off ImageJ stack tifffile sees one page; its description tells the whole.
    """
    page = series.keyframe
    about = tiff.imagej_metadata or {}
    lengths = tuple(int(about.get(name, 1)) for name in ("frames", "slices", "channels"))
    announced = int(about.get("images", 1))
    if _n_held(series) < announced <= MAX_TAIL and math.prod(lengths) == announced and page.is_contiguous:
        return "TZC" + page.axes, (*lengths, *page.shape), page.dataoffsets[0]
    return series.axes, series.shape, series.dataoffset


def _is_cut_off(tiff: tifffile.TiffFile, series: Any) -> bool:
    """True when pages are lost: the last directory points to none, or bytes of a page lie behind all that it knows."""
    if tiff.is_imagej or series.kind.lower() == "ome" or _n_held(series) > len(tiff.pages):
        return False  # these say how many planes they have
    form, handle = tiff.tiff, tiff.filehandle
    handle.seek(tiff.pages[-1].offset)
    n_tags = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))[0]
    handle.seek(tiff.pages[-1].offset + form.tagnosize + n_tags * form.tagsize)
    following = handle.read(form.offsetsize)
    if len(following) < form.offsetsize or struct.unpack(form.offsetformat, following)[0] != 0:
        return True
    ends = [handle.tell()]
    for page in (tiff.pages.first, tiff.pages[-1]):
        ends += [offset + size for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False)]
    # A zeroed directory looks like the end of the chain, but the pages after it are still in the file.
    return bool(handle.size - max(ends) >= max(sum(tiff.pages.first.databytecounts), _LEAST_PAGE))


def _choose_series(path: Path, tiff: tifffile.TiffFile) -> Any:
    series = tiff.series
    if not series:
        raise InputError(f"{path} holds no images; check that it was saved completely")
    first = series[0]
    if len(series) > 1:
        if first.kind.lower() in ("generic", "uniform") and len({s.keyframe.shape for s in series}) > 1:
            raise InputError(
                f"{path} holds pages of different sizes; save the frames of one recording in one file"
            )
        log.warning("%s holds %d series; the first is used", path, len(series))
    if "Y" not in first.axes or "X" not in first.axes:
        raise InputError(f"{path} has the axes {first.axes}, not an image; save it with height and width")
    return first


def _describe(path: Path, tiff: tifffile.TiffFile, series: Any) -> Description:
    sizes = dict(zip(series.axes, series.shape, strict=True))
    shape = (int(sizes["Y"]), int(sizes["X"]))
    refuse_giant(path, (*shape, int(sizes.get("S", 1))), series.dtype)
    um = fps = None
    if tiff.is_ome and tiff.ome_metadata:
        um, fps = ome_scale(tiff.ome_metadata)
    elif tiff.is_imagej:
        tags = tiff.pages.first.tags
        resolution = [tags[name].value if name in tags else None for name in ("XResolution", "YResolution")]
        um, fps = imagej_scale(
            tiff.imagej_metadata or {}, (resolution[0], resolution[1]) if all(resolution) else None
        )
    dtype = np.dtype(np.uint16) if series.keyframe.bitspersample == 12 else delivered_dtype(series.dtype)
    return Description(
        shape, dtype, lossless=series.keyframe.compression not in (6, 7), um_per_px=um, fps=fps
    )


def _channels_last(image: Image, axes: str) -> Image:
    if image.ndim == 3 and axes.startswith("S"):  # separate colour planes
        return np.moveaxis(image, 0, -1)
    return image


def _read_bytes(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read(size)
