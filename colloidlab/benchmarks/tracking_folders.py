"""Real recordings: the same features as trackpy with the parameters that people chose, and automatic counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colloidlab import features
from colloidlab.benchmarks.rows import Row, between
from colloidlab.benchmarks.tracking_speed import same_features
from colloidlab.errors import InputError
from colloidlab.progress import SILENT, Monitor
from colloidlab.video import open_video

_FRAMES = 5
_TOLERANCE = 0.05


@dataclass(frozen=True)
class Known:
    """What people chose for a recording, and how many particles a frame they found with it."""

    path: str
    diameter_px: int
    minmass: float
    invert: bool
    fewest: int
    most: int


FOLDERS = (
    Known("quasi2d_crystallites", 9, 300, False, 3290, 3350),
    Known("bulk_water", 11, 150, True, 420, 420),
    Known("foam", 21, 1000, False, 485, 485),
    Known("brightfield", 21, 2000, False, 5, 5),
    Known("colloids/colloids.mp4", 9, 250, True, 38, 44),
)


def folder_rows(data: Path, monitor: Monitor = SILENT) -> list[Row]:
    """Rows for every folder of `FOLDERS` that is there.

    Raises
    ------
    InputError
        None of them is there.
    """
    present = [known for known in FOLDERS if (data / known.path).exists()]
    if not present:
        names = ", ".join(known.path for known in FOLDERS)
        raise InputError(f"{data} holds none of {names}; give the folder that does, or leave --data out")
    rows = []
    for known in monitor.track(present, "folders"):
        with open_video(data / known.path) as video:
            indices = np.unique(np.linspace(0, video.n_frames - 1, _FRAMES).astype(int))
            images = [i for i in (video.frame(int(k)).image for k in indices) if i is not None]
        name = known.path.split("/")[0]
        rows += same_features(name, images[:2], known.diameter_px, minmass=known.minmass, invert=known.invert)
        parameters = features.estimate(images)
        counts = [len(table) for _, table in features.locate_frames(enumerate(images), parameters)]
        rows.append(
            between(
                f"{name}: features a frame, no number given",
                float(np.mean(counts)),
                (1 - _TOLERANCE) * known.fewest,
                (1 + _TOLERANCE) * known.most,
            )
        )
    return rows
