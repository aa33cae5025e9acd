"""Experiment and rollout side by side, frame by frame, as an MP4 or a picture; no screen is needed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

import colloidlab
from colloidlab.config import ExportConfig
from colloidlab.errors import UsageError
from colloidlab.files import atomic_path
from colloidlab.progress import SILENT, Monitor
from colloidlab.report import canvas
from colloidlab.report.film_data import Film, Side, collect
from colloidlab.report.source import open_source
from colloidlab.run import Run
from colloidlab.video.frames import Image, Video
from colloidlab.video.grey_levels import grey_limits
from colloidlab.video.write_colour import write_colour_mp4

OUTLINE: canvas.Colour = (255, 212, 0)
TAIL: canvas.Colour = (120, 200, 255)
_OPACITY = 0.85
_FAINT = 0.35


def write_export(run: Run, path: Path, options: ExportConfig, monitor: Monitor = SILENT) -> dict[str, Any]:
    """Write a film (.mp4) of a run, or a picture (.png) of the first of the frames.

    Parameters
    ----------
    run : Run
    path : Path
        Replaced when all is drawn; an earlier file stays where that fails or is cancelled.
    options : ExportConfig
    monitor : Monitor

    Returns
    -------
    dict
        `export` (the path), `n_frames`, `frames`, and `note` where the recording has moved or is not there.

    Raises
    ------
    InputError
        See `film_data.collect`.
    UsageError
        The name ends neither in .mp4 nor in .png.
    """
    if path.suffix.lower() not in (".mp4", ".png"):
        raise UsageError(
            f"{path} ends neither in .mp4 (a film) nor in .png (a picture of one frame); choose one of them"
        )
    film = collect(run, options, monitor)
    video, note = open_source(run)
    try:
        painter = Painter(run, film, options, video)
        comment = json.dumps(provenance(run, film, options), ensure_ascii=False)
        if path.suffix.lower() == ".png":
            frames = film.frames[:1]
            write_png(path, painter.draw(frames[0]), comment)
        else:
            frames = film.frames
            write_colour_mp4(path, _pictures(painter, frames, monitor), options.fps, comment=comment)
    finally:
        if video is not None:
            video.close()
    result = {"export": str(path), "n_frames": len(frames), "frames": f"{frames[0]}:{frames[-1] + 1}"}
    return result | ({"note": note} if note else {})


def provenance(run: Run, film: Film, options: ExportConfig) -> dict[str, Any]:
    """What a film was made from: program, recording, results and options."""
    source = run.record["source"]
    return {
        "program": f"colloidlab {colloidlab.__version__}",
        "run": run.path.resolve().name,
        "recording": Path(str(source.get("path", ""))).name,
        "sha256": source.get("sha256", ""),
        "stages": {name: run.stage_key(name) for name in run.record["stages"]},
        "frames": [film.frames[0], film.frames[-1] + 1],
        "colours": None if film.colouring is None else [film.colouring.label, *film.colouring.span],
        "options": options.model_dump(mode="json", exclude_none=True),
    }


def _pictures(painter: Painter, frames: tuple[int, ...], monitor: Monitor) -> Iterator[Image]:
    for frame in monitor.track(frames, "film"):
        yield painter.draw(frame)


def write_png(path: Path, picture: Image, comment: str) -> None:
    """Write an RGB picture with a comment in its metadata, atomically."""
    about = PngInfo()
    about.add_itxt("Comment", comment)
    with atomic_path(path) as temporary:
        Pillow.fromarray(picture).save(temporary, format="PNG", pnginfo=about, optimize=True)


@dataclass(frozen=True)
class Layout:
    """Places in the picture, px.

    Parameters
    ----------
    scale : float
        Pixels of the picture per pixel of the recording.
    panel : (int, int)
        Width and height of a panel.
    left, right, top : int
        Left edges of the panels, and the upper edge of both.
    bar : int
        Left edge of the colour bar.
    size : (int, int)
        Width and height of all, even.
    type_px : int
        Height of the type.
    """

    scale: float
    panel: tuple[int, int]
    left: int
    right: int
    top: int
    bar: int
    size: tuple[int, int]
    type_px: int

    @classmethod
    def fit(cls, shape: tuple[int, int], height: int, film: Film) -> Layout:
        """Panels of that height for images of `shape` (height, width)."""
        scale = height / shape[0]
        wide = max(1, round(shape[1] * scale))
        type_px = max(11, round(height / 36))
        margin = type_px
        right = margin + (wide + margin if film.rollout is not None else 0)
        bar = right + wide + margin
        room = 0 if film.colouring is None else canvas.bar_width(film.colouring.span, type_px) + margin
        full = (bar + room, 2 * type_px + height + 2 * type_px + margin // 2)
        return cls(
            scale,
            (wide, height),
            margin,
            right,
            2 * type_px,
            bar,
            (full[0] + full[0] % 2, full[1] + full[1] % 2),
            type_px,
        )

    @property
    def base(self) -> int:
        """Base line of the words below the panels."""
        return self.top + self.panel[1] + round(1.6 * self.type_px)


class Painter:
    """Draws one frame after the other.

    Parameters
    ----------
    run : Run
    film : Film
    options : ExportConfig
    video : Video or None
        The recording; without it particles are drawn on an even ground.
    """

    def __init__(self, run: Run, film: Film, options: ExportConfig, video: Video | None) -> None:
        self._film, self._video, self._tail = film, video, options.tail_frames
        self._grey: tuple[float, float] | None = None
        # So many that two frames differ, and always as many, so that nothing jumps.
        self._decimals = max(0, math.ceil(math.log10(run.calibration.fps or 1e3)))
        self._layout = Layout.fit(_shape(run, film, video), options.height_px, film)
        self._empty = self._frame_of_film(run)

    def draw(self, frame: int) -> Image:
        """The picture of one frame, uint8, shape (height, width, 3)."""
        picture, layout, film = self._empty.copy(), self._layout, self._film
        self._draw_side(self._panel(picture, layout.left), film.experiment, frame, self._image(frame))
        if film.rollout is not None:
            right = self._panel(picture, layout.right)
            self._draw_side(right, film.rollout, frame, (None, ""))
            if frame >= film.beyond:
                self._say(right, "beyond the recording")
        time = f", t = {film.times_s[frame]:.{self._decimals}f} s" if frame in film.times_s else ""
        canvas.write(picture, f"frame {frame}{time}", (layout.left, layout.base), layout.type_px)
        return picture

    # ---- what stays the same ----------------------------------------------------------------

    def _frame_of_film(self, run: Run) -> Image:
        layout, film = self._layout, self._film
        picture = np.empty((layout.size[1], layout.size[0], 3), np.uint8)
        picture[:] = canvas.GROUND
        wide, high = layout.panel
        type_px, base = layout.type_px, layout.base
        for x, side in ((layout.left, film.experiment), (layout.right, film.rollout)):
            if side is not None:
                self._panel(picture, x)[:] = canvas.PANEL
                canvas.write(picture, side.title, (x, round(1.5 * type_px)), type_px, room=wide)
        unit, length = run.calibration.length_unit, run.calibration.length_per_px
        end = layout.left + wide
        canvas.draw_scale_bar(picture, end, base, layout.scale / length, wide // 5, unit, type_px)
        if film.rollout is not None and film.rollout.table["faint"].any():
            words = "faint: motion prescribed"
            canvas.write(picture, words, (layout.right, base), type_px, colour=canvas.PALE, room=wide)
        if film.colouring is not None:
            shown = film.colouring
            at, size = (layout.bar, layout.top), (16, high)
            canvas.draw_colour_bar(picture, at, size, shown.colours, shown.span, shown.label, type_px)
        return picture

    def _panel(self, picture: Image, x: int) -> Image:
        wide, high = self._layout.panel
        return picture[self._layout.top : self._layout.top + high, x : x + wide]

    # ---- what moves -------------------------------------------------------------------------

    def _draw_side(self, panel: Image, side: Side, frame: int, image: tuple[Image | None, str]) -> None:
        grey, words = image
        drawn = np.ascontiguousarray(panel)  # OpenCV writes into whole arrays only
        if grey is not None:
            drawn[:] = cv2.resize(grey, self._layout.panel, interpolation=cv2.INTER_LINEAR)[..., None]
        scale, rows = self._layout.scale, side.at(frame)
        places, radii = (
            self._to_panel(rows[["x", "y"]].to_numpy(dtype=float)),
            scale * rows["radius_px"].to_numpy(),
        )
        values, faint = rows["value"].to_numpy(dtype=float), rows["faint"].to_numpy(dtype=bool)
        known = np.isfinite(values)
        for pale in (True, False):
            opacity = _FAINT if pale else _OPACITY
            chosen = faint == pale
            hollow, filled = chosen & ~known, chosen & known
            rim = canvas.PALE if side.coloured else OUTLINE
            canvas.draw_discs(drawn, places[hollow], radii[hollow], None, rim=rim, opacity=opacity)
            if side.coloured and self._film.colouring is not None:
                shown = self._film.colouring
                colours = canvas.to_colours(values[filled], shown.colours, shown.span)
                canvas.draw_discs(drawn, places[filled], radii[filled], colours, opacity=opacity)
        if self._tail:
            tails, thin = (
                self._to_panel(side.tails(frame, self._tail)),
                max(1, round(self._layout.type_px / 14)),
            )
            canvas.draw_segments(
                drawn, tails, canvas.INK if side.coloured else TAIL, opacity=0.75, width=thin
            )
        if words:
            self._say(drawn, words)
        panel[:] = drawn

    def _to_panel(self, places: np.ndarray) -> np.ndarray:
        """Pixels of the recording to those of a panel; centres of pixels lie at whole numbers in both."""
        return (places + 0.5) * self._layout.scale - 0.5

    def _image(self, frame: int) -> tuple[Image | None, str]:
        """The recording's image, 8 bit, or a word on why there is none."""
        if frame >= self._film.beyond:
            return None, "not recorded"
        if self._video is None:
            return None, ""
        found = self._video.frame(frame)
        if found.image is None:
            return None, f"frame {found.status}"
        if self._grey is None:
            self._grey = grey_limits(found.image)
        low, high = self._grey
        grey = np.clip((np.nan_to_num(found.image.astype(np.float32)) - low) / (high - low), 0, 1)
        return np.rint(255 * grey).astype(np.uint8), ""

    def _say(self, panel: Image, words: str) -> None:
        """Write words into a panel's upper right corner, on a ground of their own."""
        type_px = self._layout.type_px
        wide = round(0.62 * type_px * len(words)) + type_px
        panel[: 2 * type_px, max(0, panel.shape[1] - wide) :] = canvas.GROUND
        canvas.write(
            panel, words, (panel.shape[1] - type_px // 2, round(1.4 * type_px)), type_px, anchor="rs"
        )


def _shape(run: Run, film: Film, video: Video | None) -> tuple[int, int]:
    """Height and width of the view, px."""
    if video is not None:
        return video.shape
    table = film.experiment.table
    _, _, x1, y1 = run.facts("track").get("view", (0, 0, table["x"].max() + 1, table["y"].max() + 1))
    return max(1, round(y1)), max(1, round(x1))
