"""Drawing on arrays of pixels, without a screen: particles, tails, words, a colour bar and a scale bar.

OpenCV draws what there is much of, at a sixteenth of a pixel (900 discs in some milliseconds; matplotlib takes many times as
long), and Pillow the words, for OpenCV's letters know neither µ nor ².
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import MaxNLocator
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from colloidlab.report.words import number, pretty_unit
from colloidlab.video.frames import Image

Colour = tuple[int, int, int]

GROUND: Colour = (24, 27, 32)
PANEL: Colour = (38, 42, 49)
INK: Colour = (232, 234, 237)
PALE: Colour = (150, 156, 165)

_FINE = 4
"""Binary digits behind the point for OpenCV's coordinates."""


def to_colours(values: np.ndarray, colours: str, span: tuple[float, float]) -> np.ndarray:
    """Colours of values by a matplotlib map, uint8, shape (n, 3); values beyond `span` take its ends."""
    low, high = span
    scaled = np.clip((np.asarray(values, dtype=np.float64) - low) / (high - low), 0, 1)
    return colormaps[colours](scaled, bytes=True)[:, :3]


def draw_discs(
    picture: Image,
    places: np.ndarray,
    radii: np.ndarray,
    colours: np.ndarray | None,
    *,
    opacity: float = 1.0,
    rim: Colour = PALE,
    thickness: int = 1,
) -> None:
    """Draw a disc for each place into `picture`, filled where there are colours.

    Parameters
    ----------
    places : float array, shape (n, 2)
        x, y in pixels of the picture, the centre of the first at (0, 0).
    radii : float array, shape (n,)
    colours : uint8 array, shape (n, 3), or None
        None draws rims alone.
    """
    if not len(places):
        return
    over = picture if opacity >= 1 else picture.copy()
    fine = np.rint(places * 2**_FINE).astype(int)
    sizes = np.rint(np.maximum(radii, 1.0) * 2**_FINE).astype(int)
    more: dict[str, Any] = {"lineType": cv2.LINE_AA, "shift": _FINE}
    for k, (x, y) in enumerate(fine.tolist()):
        if colours is not None:
            cv2.circle(over, (x, y), int(sizes[k]), colours[k].tolist(), cv2.FILLED, **more)
        cv2.circle(over, (x, y), int(sizes[k]), rim, thickness, **more)
    if over is not picture:
        cv2.addWeighted(over, opacity, picture, 1 - opacity, 0, dst=picture)


def draw_segments(picture: Image, ends: np.ndarray, colour: Colour, *, opacity: float, width: int) -> None:
    """Draw straight pieces, shape (n, 2, 2): both ends as x, y in pixels of the picture."""
    if not len(ends):
        return
    over = picture.copy()
    fine = np.rint(ends * 2**_FINE).astype(np.int32)
    cv2.polylines(over, list(fine), False, colour, width, cv2.LINE_AA, _FINE)
    cv2.addWeighted(over, opacity, picture, 1 - opacity, 0, dst=picture)


def write(
    picture: Image,
    text: str,
    place: tuple[float, float],
    size: int,
    *,
    colour: Colour = INK,
    anchor: str = "ls",
    room: int | None = None,
) -> None:
    """Write a line into `picture`.

    Parameters
    ----------
    place : (float, float)
        x, y of the anchor, px.
    size : int
        Height of the type, px.
    anchor : str
        Pillow's: "l", "m", "r" and "t", "m", "s" (the base line).
    room : int, optional
        Greatest width, px: a longer text is cut short with an ellipsis.
    """
    font = _font(size)
    if room is not None and font.getlength(text) > room:
        while text and font.getlength(text + "…") > room:
            text = text[:-1]
        text += "…"
    box = font.getbbox(text, anchor=anchor)
    x0, y0 = (int(np.floor(place[k] + box[k])) - 1 for k in (0, 1))
    x1, y1 = (int(np.ceil(place[k] + box[k + 2])) + 1 for k in (0, 1))
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, picture.shape[1]), min(y1, picture.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    part = Pillow.fromarray(picture[y0:y1, x0:x1])
    ImageDraw.Draw(part).text((place[0] - x0, place[1] - y0), text, fill=colour, font=font, anchor=anchor)
    picture[y0:y1, x0:x1] = np.asarray(part)


def draw_colour_bar(
    picture: Image,
    place: tuple[int, int],
    size: tuple[int, int],
    colours: str,
    span: tuple[float, float],
    title: str,
    type_px: int,
) -> None:
    """Draw an upright colour bar with numbers to its right and its title, turned, beyond them."""
    (x, y), (wide, high) = place, size
    ramp = to_colours(np.linspace(1, 0, high), colours, (0, 1))
    picture[y : y + high, x : x + wide] = ramp[:, None]
    cv2.rectangle(picture, (x, y), (x + wide - 1, y + high - 1), PALE, 1)
    low, top = span
    right = x + wide
    for value in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, top):
        if not low <= value <= top:
            continue
        at = y + (high - 1) * (top - value) / (top - low)
        cv2.line(picture, (x + wide, round(at)), (x + wide + 3, round(at)), PALE, 1)
        name = number(float(value))
        write(picture, name, (x + wide + 7, at), type_px, anchor="lm")
        right = max(right, x + wide + 7 + round(_font(type_px).getlength(name)))
    turned = np.rot90(picture, -1).copy()  # its x runs from the picture's bottom to its top
    middle = picture.shape[0] - 1 - (y + high / 2)
    write(turned, title, (middle, right + 0.5 * type_px), type_px, anchor="ma", room=picture.shape[0])
    picture[:] = np.rot90(turned)


def bar_width(span: tuple[float, float], type_px: int) -> int:
    """Room that a colour bar of 16 px takes with its numbers and its title, px."""
    names = [number(float(v)) for v in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(*span)]
    return 16 + 7 + max(round(_font(type_px).getlength(name)) for name in names) + 2 * type_px


def draw_scale_bar(
    picture: Image, right: int, base: int, px_per_unit: float, longest: int, unit: str, type_px: int
) -> None:
    """Draw a bar of a round length that ends at `right`, its length written to its left; `longest` in px."""
    length = round_length(longest / px_per_unit)
    wide = round(length * px_per_unit)
    height = max(2, type_px // 5)
    top = base - type_px // 2
    picture[top : top + height, right - wide : right] = INK
    write(picture, f"{number(length)} {pretty_unit(unit)}", (right - wide - 8, base), type_px, anchor="rs")


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above `longest`.

    >>> round_length(34.0), round_length(0.5)
    (20.0, 0.5)
    """
    power = 10.0 ** np.floor(np.log10(longest))
    return float(max(step for step in (1.0, 2.0, 5.0) if step * power <= longest * (1 + 1e-9)) * power)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
