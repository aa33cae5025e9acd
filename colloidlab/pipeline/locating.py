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
from colloidlab.option_text import parse_frames, parse_roi
from colloidlab.pipeline.checkpoint import Checkpoint
from colloidlab.pipeline.found import LEAST_FRAMES, Found
from colloidlab.progress import SILENT, Monitor
from colloidlab.units import Calibration
from colloidlab.video import Correction, Frame, Region, Video, every, open_video, statistics, used_range

_ESTIMATION_FRAMES = 6


def locate_video(source: Path, config: Config, checkpoint: Checkpoint, monitor: Monitor) -> Found:
    """Locate the particles of every used frame, going on from what the checkpoint holds.

    Raises
    ------
    InputError
        A recording that is unreadable, a single frame, or without particles.
    """
    with (
        every(open_video(source), config.video.stride) as video,
        Correction.from_options(config.video, video) as correction,
    ):
        first, stop = parse_frames(config.video.frames) if config.video.frames else (0, None)
        used = used_range(video, first, stop)
        if len(used) < LEAST_FRAMES:
            raise InputError(
                f"{source} has {video.n_frames} frame(s), of which {len(used)} are selected; "
                "tracking needs at least two"
            )
        roi = parse_roi(config.video.roi) if config.video.roi else None
        images = _Images(Region.from_options(roi, config.video.mask, video.shape), correction)
        parameters = _estimate(video, used, images, config)
        _locate(video, used, images, parameters, config, checkpoint, monitor)
        frames, found = checkpoint.frames(), checkpoint.features()
        try:
            _check(source, frames, found, parameters)
        except InputError:
            checkpoint.remove()  # a refused recording leaves nothing
            raise
        calibration = _calibration(video, config)
        facts: dict[str, Any] = {"reasons": dict(parameters.reasons), "parameters": _plain(parameters)}
        if calibration.fps is None and video.nominal_fps:
            facts["proposed_fps"] = float(video.nominal_fps)
        height, width = video.shape
        x0, y0, x1, y1 = images.region.roi
        return Found(
            frames=frames,
            features=found.sort_values(["frame", "y", "x"], kind="stable").reset_index(drop=True),
            calibration=calibration,
            view=[0.0, 0.0, float(width), float(height)],
            region=(x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5),
            preview=_preview(video, frames),
            facts=facts,
        )


class _Images:
    """What is done to an image before particles are located, and to positions afterwards."""

    def __init__(self, region: Region, correction: Correction) -> None:
        self.region = region
        self._correction = correction

    def prepare(self, index: int, image: np.ndarray) -> np.ndarray:
        return self.region.apply(self._correction.apply(index, image))[0]

    def in_view(self, table: pd.DataFrame) -> pd.DataFrame:
        """Positions in the whole view, without those outside the mask."""
        x0, y0, _, _ = self.region.roi
        table = table.assign(x=table["x"] + x0, y=table["y"] + y0)
        return table[self.region.contains(table["x"].to_numpy(), table["y"].to_numpy())]


def _estimate(video: Video, used: range, images: _Images, config: Config) -> features.LocateParameters:
    looked_at = []
    for place in np.unique(np.linspace(0, len(used) - 1, _ESTIMATION_FRAMES).astype(int)):
        frame = video.frame(used[int(place)])
        if frame.image is not None:
            looked_at.append(images.prepare(frame.index, frame.image))
    if not looked_at:
        raise InputError(
            f"none of the frames of {video.path} that were tried could be read; the file is damaged"
        )
    options = config.track
    radii = None
    if options.radius_min_px is not None and options.radius_max_px is not None:
        radii = (options.radius_min_px, options.radius_max_px)
    return features.estimate(
        looked_at,
        polarity=options.polarity,
        diameter_px=options.diameter_px,
        minmass=options.minmass,
        separation_px=options.separation_px,
        method=options.method,
        radii_px=radii,
        minsignal=options.minsignal,
    )


def _locate(
    video: Video,
    used: range,
    images: _Images,
    parameters: features.LocateParameters,
    config: Config,
    checkpoint: Checkpoint,
    monitor: Monitor,
) -> None:
    """Add every frame that the checkpoint lacks to it."""
    done = checkpoint.n_done
    if done >= len(used):
        return
    # Rows wait here until the features of their frame are there; frames without an image need none.
    waiting: deque[dict[str, Any]] = deque()

    def usable() -> Iterator[tuple[int, np.ndarray]]:
        for count, frame in enumerate(video.frames(used[done], used.stop)):
            monitor.update("locate", done + count, len(used))
            waiting.append(_row(frame))
            if frame.image is not None:
                yield frame.index, frame.image

    located = features.locate_frames(
        usable(),
        parameters,
        threads=config.track.threads or os.cpu_count() or 1,
        prepare=images.prepare,
        monitor=SILENT,
    )
    try:
        # Closed before the recording is: no thread may still read from it.
        with closing(located):
            for index, table in located:
                table = images.in_view(table).assign(frame=index)
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


def _plain(parameters: features.LocateParameters) -> dict[str, Any]:
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
