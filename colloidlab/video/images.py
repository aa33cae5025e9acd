"""Single image files: PNG, JPEG, BMP and TIFF, at full bit depth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image as pillow

from colloidlab.errors import InputError
from colloidlab.video.foreign import reading
from colloidlab.video.frames import Image
from colloidlab.video.grey import refuse_giant, to_grey
from colloidlab.video.tiff import TIFF_SUFFIXES, TiffVideo

PLAIN_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
IMAGE_SUFFIXES = PLAIN_SUFFIXES | TIFF_SUFFIXES

_GREY_MODES = {"1", "L", "LA", "I;16", "I;16B", "I;16L", "I", "F"}


def read_image(path: Path) -> Image:
    """Read one grey image, as it is delivered from a recording; a stack of planes is projected.

    Raises
    ------
    InputError
        The file is missing, damaged, no image, or holds more than one frame.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    if path.suffix.lower() not in TIFF_SUFFIXES:
        with reading(path, "an image"):
            return to_grey(_read_plain(path))
    with TiffVideo(path) as video:
        if video.n_frames > 1:
            raise InputError(
                f"{path} is itself a stack of {video.n_frames} frames where one image is expected"
            )
        frame = video.frame(0)
    if frame.image is None:
        raise InputError(f"{path} has no usable image ({frame.reason}); copy it again")
    return frame.image


def image_size(path: Path) -> tuple[int, int] | None:
    """Height and width from the header alone; None when the header cannot be read."""
    try:
        with pillow.open(path) as header:
            return header.height, header.width
    except Exception:  # whatever it is, reading the frame will say it with its index
        return None


def _read_plain(path: Path) -> Image:
    with pillow.open(path) as opened:
        refuse_giant(path, (opened.height, opened.width), np.dtype(np.uint8))
        deep_colour = opened.format == "PNG" and opened.mode in ("RGB", "RGBA") and _png_depth(path) == 16
        opened.load()  # checks that the file is complete, which OpenCV does not
        if deep_colour:  # Pillow cuts colour to 8 bit
            raw = np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED))
            return raw[..., 2::-1]
        if opened.mode in _GREY_MODES or opened.mode in ("RGB", "RGBA"):
            return np.asarray(opened)
        return np.asarray(opened.convert("RGB"))


def _png_depth(path: Path) -> int:
    with path.open("rb") as stream:
        return stream.read(25)[24]
