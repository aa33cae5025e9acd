"""Trying options on single frames of a recording: located exactly as `track` locates them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from colloidlab.config import TrackConfig, VideoConfig
from colloidlab.errors import InputError
from colloidlab.features.centroid import find_centroids
from colloidlab.features.estimation import Estimator
from colloidlab.features.frames import locate_frames
from colloidlab.features.images import usable
from colloidlab.features.parameters import LocateParameters
from colloidlab.features.selection import select, wishes
from colloidlab.progress import SILENT, Monitor
from colloidlab.tables import TABLE_SUFFIXES


@dataclass(frozen=True)
class FramePreview:
    """One frame as a run would have it.

    Attributes
    ----------
    frame : int
        As the tables of the run count.
    status, reason : str
        Of the frame; see `Frame`.
    features : DataFrame
        Its rows of `features.parquet`, without times and micrometres; none where the frame has no image.
    parameters : LocateParameters
        What the options resolve to.
    """

    frame: int
    status: str
    reason: str
    features: pd.DataFrame
    parameters: LocateParameters


class Preview:
    """A recording that stays open while options are tried on it; for one thread at a time.

    What the options of locating resolve to is estimated of the same frames as by `run_track`, and kept.

    Parameters
    ----------
    source : Path
    options : VideoConfig

    Raises
    ------
    InputError, UsageError
        As `run_track`: the recording is unreadable or has one frame, or the options do not fit it.
    """

    def __init__(self, source: Path, options: VideoConfig) -> None:
        if not source.exists():
            raise InputError(f"{source} does not exist; check the path")
        if source.is_file() and source.suffix.lower() in TABLE_SUFFIXES:
            raise InputError(f"{source} is a table of positions; there are no images to look at")
        with ExitStack() as opening:
            self._selection = opening.enter_context(select(source, options))
            self._open = opening.pop_all()
        self._estimator: Estimator | None = None
        self._known: dict[str, LocateParameters] = {}
        self._image: tuple[int, str, str, np.ndarray | None] = (-1, "", "", None)

    def close(self) -> None:
        """Release the file."""
        self._open.close()

    def number(self, file_frame: int) -> int | None:
        """What the tables of a run call a frame of the file; None where the options leave it out."""
        number, rest = divmod(file_frame, self._selection.video.stride)
        return number if not rest and number in self._selection.used else None

    def parameters(self, options: TrackConfig, monitor: Monitor = SILENT) -> LocateParameters:
        """What the options resolve to; nothing is estimated where all of them are given."""
        wished = wishes(options)
        if (given := _given(wished)) is not None:
            return given
        key = repr(wished)
        if key not in self._known:
            if self._estimator is None:
                self._estimator = Estimator(self._selection.examples(monitor))
            self._known[key] = self._estimator.estimate(**wished, monitor=monitor)
        return self._known[key]

    def locate(self, frame: int, options: TrackConfig, monitor: Monitor = SILENT) -> FramePreview:
        """Locate the particles of one frame, as the tables of the run count."""
        parameters = self.parameters(options, monitor)
        _, status, reason, image = self._prepared(frame)
        if image is None:
            return FramePreview(frame, status, reason, pd.DataFrame(), parameters)
        [(_, table)] = locate_frames([(frame, image)], parameters)
        table = self._selection.in_view(table).assign(frame=frame)
        table = table.sort_values(["y", "x"], kind="stable").reset_index(drop=True)
        return FramePreview(frame, status, reason, table, parameters)

    def candidates(self, preview: FramePreview) -> pd.DataFrame:
        """Everything of the frame's diameter and separation, also what is too faint to count as a particle.

        Returns
        -------
        DataFrame
            `MEASURED_COLUMNS` of centroids; the features themselves where circles are looked for.
        """
        _, _, _, image = self._prepared(preview.frame)
        parameters = preview.parameters
        if image is None or parameters.method == "circles":
            return preview.features
        bright = usable(image, invert=parameters.invert).image
        found = find_centroids(
            bright, parameters.diameter_px, minmass=0.0, separation_px=parameters.separation_px
        )
        return self._selection.in_view(found)

    def _prepared(self, index: int) -> tuple[int, str, str, np.ndarray | None]:
        if self._image[0] != index:
            found = self._selection.video.frame(index)
            image = None if found.image is None else self._selection.prepare(index, found.image)
            self._image = (index, found.status, found.reason, image)
        return self._image


def _given(wished: dict[str, Any]) -> LocateParameters | None:
    """Options that leave nothing to estimation; None where something is to be estimated.

    The joint fit learns its template, and circles their outline, from the recording.
    """
    values = {name: value for name, value in wished.items() if name != "radii_px"}
    if wished["method"] != "centroid" or wished["polarity"] == "auto" or None in values.values():
        return None
    return LocateParameters(
        wished["diameter_px"],
        wished["minmass"],
        wished["separation_px"],
        wished["polarity"] == "dark",
        "centroid",
        minsignal=wished["minsignal"],
        reasons=dict.fromkeys(("polarity", *values), "given by the user"),
    )
