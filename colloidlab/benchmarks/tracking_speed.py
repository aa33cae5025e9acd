"""Centroids: the same features as trackpy, and what they cost beside trackpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import trackpy
from scipy.spatial import cKDTree

from colloidlab import features
from colloidlab.benchmarks.cost import cpu_ratio, in_fresh_process, peak_growth_mb, wall_ratio
from colloidlab.benchmarks.quiet import mortal_workers, quiet_trackpy
from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.crowded import SCENES, film

DIAMETERS = {"a": 15, "b": 9, "c": 9}
_SAME_PX = 1e-3
_FRAMES = {"a": 24, "b": 48, "c": 8}
"""Distinct images are few, but enough to fill two workers many times over."""
_DISTINCT = 4
_WORKERS = 2
_SECONDS = 8.0


def speed_rows(seed: int, monitor: Monitor = SILENT) -> list[Row]:
    """Sameness, processor time, wall time and memory on scenes a, b and c."""
    rows = []
    for done, (name, diameter) in enumerate(DIAMETERS.items()):
        monitor.update("speed", done, len(DIAMETERS))
        images = [image for image, _ in film(SCENES[name], _DISTINCT, seed=seed)]
        frames = (images * (_FRAMES[name] // _DISTINCT + 1))[: _FRAMES[name]]
        rows += same_features(f"scene {name}", images[:2], diameter)
        rows += _cost(name, frames, diameter)
    monitor.update("speed", len(DIAMETERS), len(DIAMETERS))
    return rows


def same_features(
    name: str, images: Sequence[np.ndarray], diameter_px: int, *, minmass: float = 0.0, invert: bool = False
) -> list[Row]:
    """Counts and positions of `method="centroid"` against `trackpy.locate`, frame by frame."""
    unequal, near, total = 0, 0, 0
    for image in images:
        ours = features.locate(image, diameter_px, method="centroid", minmass=minmass, invert=invert)
        theirs = _trackpy(image, diameter_px, minmass=minmass, invert=invert)
        unequal += len(ours) != len(theirs)
        near += _near(ours, theirs)
        total += len(theirs)
    return [
        at_most(f"{name}: frames whose number of features differs from trackpy's", unequal, 0),
        at_least(f"{name}: trackpy's features within 0.001 px", near / max(total, 1), 0.999),
    ]


def _near(ours: pd.DataFrame, theirs: pd.DataFrame) -> int:
    if len(ours) == 0 or len(theirs) == 0:
        return 0
    distance, _ = cKDTree(ours[["x", "y"]].to_numpy()).query(theirs[["x", "y"]].to_numpy())
    return int((distance < _SAME_PX).sum())


def _trackpy(image: np.ndarray, diameter_px: int, **options: float) -> pd.DataFrame:
    with quiet_trackpy():
        return trackpy.locate(image, diameter_px, engine="numba", **options)


def _cost(name: str, frames: list[np.ndarray], diameter_px: int) -> list[Row]:
    distinct = frames[:_DISTINCT]

    # Several frames in a row, as in a film: what the other program leaves in the caches is not counted.
    def ours() -> None:
        for _ in features.locate_frames(enumerate(distinct), _parameters(diameter_px)):
            pass

    def theirs() -> None:
        for image in distinct:
            _trackpy(image, diameter_px)

    def ours_in_threads() -> None:
        for _ in features.locate_frames(enumerate(frames), _parameters(diameter_px), threads=_WORKERS):
            pass

    def theirs_in_processes() -> None:
        with quiet_trackpy(), mortal_workers():
            trackpy.batch(frames, diameter_px, processes=_WORKERS, engine="numba")

    ours()  # compilation
    theirs()
    ratio, seconds = cpu_ratio(ours, theirs, repeats=5, seconds=_SECONDS)
    rows = [
        at_least(f"scene {name}: trackpy.locate / locate, processor time", ratio, 8.0),
        Row(f"scene {name}: locate, processor time a frame", 1e3 * seconds / len(distinct), "ms"),
        at_least(
            f"scene {name}: trackpy.batch / two threads, wall time",
            wall_ratio(ours_in_threads, theirs_in_processes, repeats=2),
            15.0,
        ),
    ]
    growth = in_fresh_process(_growth, frames, diameter_px)
    if growth is not None:
        rows.append(at_most(f"scene {name}: extra memory a worker", growth / _WORKERS, 60.0, "MB"))
    return rows


def _parameters(diameter_px: int) -> features.LocateParameters:
    return features.LocateParameters(diameter_px, 0.0, float(diameter_px + 1), method="centroid")


def _growth(frames: list[np.ndarray], diameter_px: int) -> float | None:
    parameters = _parameters(diameter_px)

    def work(images: list[np.ndarray]) -> None:
        for _ in features.locate_frames(enumerate(images), parameters, threads=_WORKERS):
            pass

    # A corner compiles everything and leaves no large scratch memory behind.
    work([np.ascontiguousarray(frames[0][:128, :128])])
    return peak_growth_mb(lambda: work(frames))
