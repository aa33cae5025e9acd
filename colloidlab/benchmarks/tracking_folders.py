"""Real recordings: the same features as trackpy with the parameters that people chose, and automatic counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from colloidlab import features
from colloidlab.benchmarks.rows import Row, between
from colloidlab.benchmarks.tracking_speed import same_features
from colloidlab.errors import InputError
from colloidlab.progress import SILENT, Monitor
from colloidlab.video import open_video

_FRAMES = 5
_TOLERANCE = 0.05
_SAME_PX = 2.5
"""Two programs that look at one particle with discs of different sizes place it this near."""


@dataclass(frozen=True)
class Known:
    """What people chose for a recording, and how many particles a frame they found with it.

    Whose count is the better one, where they differ, `tracking_pictures` shows.
    """

    path: str
    diameter_px: int
    minmass: float
    invert: bool
    fewest: int
    most: int
    separation_px: float | None = None

    @property
    def name(self) -> str:
        return self.path.split("/")[0]


FOLDERS = (
    Known("quasi2d_crystallites", 9, 300, False, 3290, 3350, separation_px=6),
    Known("bulk_water", 11, 150, True, 420, 420),
    Known("foam", 21, 1000, False, 485, 485, separation_px=14),
    Known("brightfield", 21, 2000, False, 5, 5),
    Known("colloids/colloids.mp4", 9, 250, True, 38, 44),
)


@dataclass(frozen=True)
class Found:
    """Features of one frame: ours with no number given, trackpy's with the numbers of people."""

    name: str
    image: np.ndarray
    ours: pd.DataFrame
    theirs: pd.DataFrame


def folder_rows(data: Path, monitor: Monitor = SILENT) -> list[Row]:
    """Rows for every folder of `FOLDERS` that is there.

    Raises
    ------
    InputError
        None of them is there.
    """
    rows = []
    for known in monitor.track(_present(data), "folders"):
        images = _images(data / known.path)
        rows += same_features(
            known.name, images[:2], known.diameter_px, minmass=known.minmass, invert=known.invert
        )
        parameters = features.estimate(images)
        ours = [table for _, table in features.locate_frames(enumerate(images), parameters)]
        theirs = [_trackpys(known, image) for image in images]
        rows += [
            between(
                f"{known.name}: features a frame, no number given",
                float(np.mean([len(table) for table in ours])),
                (1 - _TOLERANCE) * known.fewest,
                (1 + _TOLERANCE) * known.most,
            ),
            Row(f"{known.name}: trackpy's features that are among them", _shared(ours, theirs)),
        ]
    return rows


def found_in_folders(data: Path, monitor: Monitor = SILENT) -> list[Found]:
    """The second frame looked at of every folder of `FOLDERS` that is there."""
    found = []
    for known in monitor.track(_present(data), "pictures"):
        images = _images(data / known.path)
        image = images[min(1, len(images) - 1)]
        (_, ours), *_ = features.locate_frames([(0, image)], features.estimate(images))
        found.append(Found(known.name, image, ours, _trackpys(known, image)))
    return found


def _present(data: Path) -> list[Known]:
    present = [known for known in FOLDERS if (data / known.path).exists()]
    if not present:
        names = ", ".join(known.path for known in FOLDERS)
        raise InputError(f"{data} holds none of {names}; give the folder that does, or leave --data out")
    return present


def _images(path: Path) -> list[np.ndarray]:
    with open_video(path) as video:
        indices = np.unique(np.linspace(0, video.n_frames - 1, _FRAMES).astype(int))
        return [i for i in (video.frame(int(k)).image for k in indices) if i is not None]


def _trackpys(known: Known, image: np.ndarray) -> pd.DataFrame:
    """trackpy's features; `same_features` shows that ours are the same."""
    return features.locate(
        image,
        known.diameter_px,
        method="centroid",
        minmass=known.minmass,
        separation_px=known.separation_px,
        invert=known.invert,
    )


def _shared(ours: list[pd.DataFrame], theirs: list[pd.DataFrame]) -> float:
    """Share of their features that have one of ours at the same particle."""
    near = [
        cKDTree(mine[["x", "y"]]).query(other[["x", "y"]])[0] < _SAME_PX
        for mine, other in zip(ours, theirs, strict=True)
    ]
    return float(np.concatenate(near).mean())
