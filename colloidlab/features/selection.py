"""The frames of a recording that are used, and what is done to their images before particles are located."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from colloidlab.config import TrackConfig, VideoConfig
from colloidlab.errors import InputError
from colloidlab.option_text import parse_frames, parse_roi
from colloidlab.progress import SILENT, Monitor
from colloidlab.video import Correction, Region, Video, every, open_video, used_range

LEAST_FRAMES = 2
"""A single frame shows no motion."""

_ESTIMATION_FRAMES = 6


@dataclass(frozen=True)
class Selection:
    """A recording with the options that count before locating; `select` makes one.

    Attributes
    ----------
    video : Video
        Every n-th frame of the file, where there is a stride.
    used : range
        Frames that are located, as `video` counts.
    region : Region
    correction : Correction
    """

    video: Video
    used: range
    region: Region
    correction: Correction

    def prepare(self, index: int, image: np.ndarray) -> np.ndarray:
        """The image in which particles are located; any thread may call this for any frame."""
        return self.region.apply(self.correction.apply(index, image))[0]

    def in_view(self, table: pd.DataFrame) -> pd.DataFrame:
        """Positions in the whole view, without those outside the mask."""
        x0, y0, _, _ = self.region.roi
        table = table.assign(x=table["x"] + x0, y=table["y"] + y0)
        return table[self.region.contains(table["x"].to_numpy(), table["y"].to_numpy())]

    def examples(self, monitor: Monitor = SILENT) -> list[np.ndarray]:
        """Prepared images from the whole length of the recording, of which options are estimated.

        Raises
        ------
        InputError
            None of those that were tried could be read.
        """
        images = []
        places = np.unique(np.linspace(0, len(self.used) - 1, _ESTIMATION_FRAMES).astype(int))
        for k, place in enumerate(places):
            monitor.update("read", k, len(places))
            frame = self.video.frame(self.used[int(place)])
            if frame.image is not None:
                images.append(self.prepare(frame.index, frame.image))
        if not images:
            raise InputError(
                f"none of the frames of {self.video.path} that were tried could be read; the file is damaged"
            )
        return images


@contextmanager
def select(source: Path, options: VideoConfig) -> Iterator[Selection]:
    """Open a recording; it is closed at the end of the block.

    Raises
    ------
    InputError, UsageError
        It is unreadable or has a single frame, or the options do not fit it.
    """
    with (
        every(open_video(source), options.stride) as video,
        Correction.from_options(options, video) as correction,
    ):
        first, stop = parse_frames(options.frames) if options.frames else (0, None)
        used = used_range(video, first, stop)
        if len(used) < LEAST_FRAMES:
            raise InputError(
                f"{source} has {video.n_frames} frame(s), of which {len(used)} are selected; "
                "tracking needs at least two"
            )
        roi = parse_roi(options.roi) if options.roi else None
        yield Selection(video, used, Region.from_options(roi, options.mask, video.shape), correction)


def wishes(options: TrackConfig) -> dict[str, Any]:
    """Options as `features.estimate` takes them; None where it is to find a value."""
    radii = None
    if options.radius_min_px is not None and options.radius_max_px is not None:
        radii = (options.radius_min_px, options.radius_max_px)
    return {
        "polarity": options.polarity,
        "diameter_px": options.diameter_px,
        "minmass": options.minmass,
        "separation_px": options.separation_px,
        "method": options.method,
        "radii_px": radii,
        "minsignal": options.minsignal,
    }
