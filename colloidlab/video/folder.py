"""A folder of images, one a frame, in the natural order of their names."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path

import numpy as np

from colloidlab.errors import InputError
from colloidlab.video.frames import Description, Image
from colloidlab.video.images import IMAGE_SUFFIXES, image_size, read_image
from colloidlab.video.slots import place
from colloidlab.video.stack import Damaged, Stack

log = logging.getLogger(__name__)


class ImageFolder(Stack):
    """Images of one kind and size; a gap in their numbers is a missing frame."""

    def __init__(self, path: Path) -> None:
        self._files = list_images(path)
        shape = _common_shape(path, self._files)
        slots = _slots(self._files)
        lossless = self._files[0].suffix.lower() not in (".jpg", ".jpeg")
        first = _first_readable(path, self._files)
        super().__init__(path, Description(shape, first.dtype, lossless), slots=slots)

    def _read(self, k: int) -> Image:
        try:
            return read_image(self._files[k])
        except InputError as error:
            raise Damaged(str(error)) from error


class StillImage(Stack):
    """A single picture: a recording of one frame."""

    def __init__(self, path: Path) -> None:
        self._image = read_image(path)
        shape = (self._image.shape[0], self._image.shape[1])
        super().__init__(path, Description(shape, self._image.dtype, lossless=False), slots=np.array([0]))

    def _read(self, k: int) -> Image:
        return self._image


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which frame_2 comes before frame_10.

    >>> sorted(["f10.png", "f2.png"], key=natural_key)
    ['f2.png', 'f10.png']
    """
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), "") if i % 2 else (0, 0, part.lower()) for i, part in enumerate(parts)]


def list_images(path: Path) -> list[Path]:
    """Image files of a folder in natural order; hidden files are left out.

    Raises
    ------
    InputError
        There are none, or they are of several kinds.
    """
    found = [
        p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "." and p.is_file()
    ]
    if not found:
        others = sorted(p.name for p in path.iterdir() if p.is_file() and p.name[0] != ".")
        hint = f"give the file itself, such as {path / others[0]}" if others else "it is empty"
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"the folder {path} holds no images ({kinds}); {hint}")
    kinds_found = Counter(p.suffix.lower() for p in found)
    if len(kinds_found) > 1:
        text = " and ".join(f"{n} {kind}" for kind, n in sorted(kinds_found.items()))
        raise InputError(f"the folder {path} holds {text} files; keep only the frames of one recording in it")
    return sorted(found, key=lambda p: natural_key(p.name))


def _common_shape(path: Path, files: list[Path]) -> tuple[int, int]:
    sizes = [image_size(file) for file in files]
    known = Counter(size for size in sizes if size is not None)
    if not known:
        raise InputError(f"none of the {len(files)} images in {path} can be read; copy them again")
    shape = known.most_common(1)[0][0]
    for file, size in zip(files, sizes, strict=True):
        if size is not None and size != shape:
            raise InputError(
                f"{file} is {size[1]} x {size[0]} px, the others of its folder {shape[1]} x {shape[0]} px; "
                "keep only the frames of one recording in the folder"
            )
    return shape


def _first_readable(path: Path, files: list[Path]) -> Image:
    for file in files:
        try:
            return read_image(file)
        except InputError as error:
            problem = error
    raise InputError(f"none of the {len(files)} images in {path} can be read; the last one: {problem}")


def _slots(files: list[Path]) -> np.ndarray:
    """Frame index of each file by the last number in its name, where that counts up evenly."""
    consecutive = np.arange(len(files))
    named = [re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", file.name) for file in files]
    if len(files) < 3 or any(m is None for m in named):
        return consecutive
    if len({(m[1].rstrip("0123456789"), m[3]) for m in named if m}) > 1:
        return consecutive
    numbers = [int(m[2]) for m in named if m]
    if max(numbers) > 2**53 or np.any(np.diff(np.array(numbers, dtype=float)) <= 0):
        return consecutive
    placement = place(np.array(numbers, dtype=float))
    if placement.interval is None:
        log.warning(
            "the numbers in %s do not count up evenly; frames are taken in the order of names",
            files[0].parent,
        )
    return placement.slots
