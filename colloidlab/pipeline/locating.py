"""From a video to features: preparation of the images, locating, and what can be resumed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from colloidlab import features
from colloidlab.config import Config
from colloidlab.errors import InputError
from colloidlab.features.selection import LEAST_FRAMES, Selection, select, wishes
from colloidlab.pipeline.checkpoint import Checkpoint
from colloidlab.pipeline.found import Found
from colloidlab.progress import SILENT, Monitor
from colloidlab.units import Calibration
from colloidlab.video import Frame, Video, statistics


def locate_video(source: Path, config: Config, checkpoint: Checkpoint, monitor: Monitor) -> Found:
    """Locate the particles of every used frame, going on from what the checkpoint holds.

    Raises
    ------
    InputError
        A recording that is unreadable, a single frame, or without particles.
    """
    with select(source, config.video) as selection:
        video = selection.video
        parameters = features.estimate(selection.examples(), **wishes(config.track))
        _locate(selection, parameters, config, checkpoint, monitor)
        frames, found = checkpoint.frames(), checkpoint.features()
        try:
            _check(source, frames, found, parameters)
        except InputError:
            checkpoint.remove()  # a refused recording leaves nothing
            raise
        calibration = _calibration(video, config)
        facts: dict[str, Any] = {"reasons": dict(parameters.reasons), "parameters": plain(parameters)}
        if calibration.fps is None and video.nominal_fps:
            facts["proposed_fps"] = float(video.nominal_fps)
        height, width = video.shape
        x0, y0, x1, y1 = selection.region.roi
        return Found(
            frames=frames,
            features=found.sort_values(["frame", "y", "x"], kind="stable").reset_index(drop=True),
            calibration=calibration,
            view=[0.0, 0.0, float(width), float(height)],
            region=(x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5),
            preview=_preview(video, frames),
            facts=facts,
        )


def _locate(
    selection: Selection,
    parameters: features.LocateParameters,
    config: Config,
    checkpoint: Checkpoint,
    monitor: Monitor,
) -> None:
    """Add every frame that the checkpoint lacks to it."""
    used, done = selection.used, checkpoint.n_done
    if done >= len(used):
        return
    # Rows wait here until the features of their frame are there; frames without an image need none.
    waiting: deque[dict[str, Any]] = deque()

    def usable() -> Iterator[tuple[int, np.ndarray]]:
        for count, frame in enumerate(selection.video.frames(used[done], used.stop)):
            monitor.update("locate", done + count, len(used))
            waiting.append(_row(frame))
            if frame.image is not None:
                yield frame.index, frame.image

    located = features.locate_frames(
        usable(),
        parameters,
        threads=config.track.threads or os.cpu_count() or 1,
        prepare=selection.prepare,
        monitor=SILENT,
    )
    try:
        # Closed before the recording is: no thread may still read from it.
        with closing(located):
            for index, table in located:
                table = selection.in_view(table).assign(frame=index)
                while waiting[0]["frame"] != index:
                    checkpoint.add(waiting.popleft(), None)
                checkpoint.add(waiting.popleft() | {"n_features": len(table)}, table)
        for row in waiting:
            checkpoint.add(row, None)
        monitor.update("locate", len(used), len(used))
    finally:
        # An interrupted command keeps what it has.
        checkpoint.flush()


def _row(frame: Frame) -> dict[str, Any]:
    """One row of the table of frames."""
    row: dict[str, Any] = {
        "frame": frame.index,
        "t_s": np.nan if frame.time_s is None else frame.time_s,
        "status": frame.status,
        "reason": frame.reason,
        "n_features": 0,
        "mean": np.nan,
        "std": np.nan,
        "saturated": np.nan,
    }
    if frame.image is not None:
        row |= vars(statistics(frame.image))
    return row


def _check(
    source: Path, frames: pd.DataFrame, found: pd.DataFrame, parameters: features.LocateParameters
) -> None:
    if frames["status"].isin(["ok", "duplicate"]).sum() < LEAST_FRAMES:
        raise InputError(
            f"fewer than two frames of {source} could be read; the file is damaged: try a backup"
        )
    if len(found) == 0:
        raise InputError(
            f"no particle was found in {len(frames)} frames of {source} (diameter {parameters.diameter_px} px, "
            f"minmass {parameters.minmass:.4g}); give --diameter-px, --minmass or --polarity"
        )


def plain(parameters: features.LocateParameters) -> dict[str, Any]:
    """The values that were used, by the names of the options."""
    return {
        "diameter_px": int(parameters.diameter_px),
        "minmass": float(parameters.minmass),
        "separation_px": float(parameters.separation_px),
        "polarity": "dark" if parameters.invert else "bright",
        "method": parameters.method,
    }


def _preview(video: Video, frames: pd.DataFrame) -> tuple[int, np.ndarray] | None:
    index = int(frames.loc[frames["status"].isin(["ok", "duplicate"]), "frame"].iloc[0])
    image = video.frame(index).image
    return None if image is None else (index, image)


def _calibration(video: Video, config: Config) -> Calibration:
    """Flag or configuration > the file's own metadata > none; a container's nominal rate is not trusted."""

    def choose(given: float | None, own: float | None) -> tuple[float | None, str]:
        if given is not None:
            return given, "option"
        return (own, "file") if own else (None, "none")

    # The option is the camera's rate; a stride leaves out frames.
    given = None if config.video.fps is None else config.video.fps / config.video.stride
    scale, scale_source = choose(config.video.um_per_px, video.um_per_px)
    rate, rate_source = choose(given, video.fps)
    return Calibration(scale, rate, scale_source, rate_source)
