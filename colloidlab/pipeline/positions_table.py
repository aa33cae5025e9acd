"""A table of positions in place of a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from colloidlab.config import Config
from colloidlab.errors import InputError, UsageError
from colloidlab.features.selection import LEAST_FRAMES
from colloidlab.option_text import parse_frames, parse_roi
from colloidlab.pipeline.found import Found
from colloidlab.tables import read_positions
from colloidlab.units import Calibration

_ONLY_IMAGES = ("mask", "flat_field", "background_image")


def read_table(source: Path, config: Config) -> Found:
    """Positions that something else has located.

    Raises
    ------
    InputError
        Fewer than two frames in the selection.
    UsageError
        An option that only images obey.
    """
    video = config.video
    for name in _ONLY_IMAGES:
        if getattr(video, name) is not None:
            raise UsageError(
                f"{source} is a table, to which no {name} applies; leave --{name.replace('_', '-')} out, or use --roi"
            )
    if video.background != "none" or video.stride != 1:
        raise UsageError(f"{source} is a table: --background and --stride apply to videos; leave them out")
    table = read_positions(source)
    if video.frames:
        first, stop = parse_frames(video.frames)
        table = table[(table["frame"] >= first) & (table["frame"] < (stop if stop is not None else np.inf))]
    if video.roi:
        x0, y0, x1, y1 = parse_roi(video.roi)
        # Pixel k reaches from k - 0.5 to k + 0.5.
        inside_x = table["x"].between(x0 - 0.5, x1 - 0.5, inclusive="left")
        table = table[inside_x & table["y"].between(y0 - 0.5, y1 - 0.5, inclusive="left")]
    if table["frame"].nunique() < LEAST_FRAMES:
        raise InputError(
            f"{source} holds positions of {table['frame'].nunique()} frame(s) in the selection; tracking needs two"
        )
    for column in ("sigma_x_px", "sigma_y_px"):
        if column not in table:
            table[column] = np.nan
    around = _rectangle(table)
    sources = ["option" if v is not None else "none" for v in (video.um_per_px, video.fps)]
    return Found(
        frames=_frames(table),
        features=table.reset_index(drop=True),
        calibration=Calibration(video.um_per_px, video.fps, *sources),
        view=list(around),
        region=around,
        facts={"reasons": {"positions": f"read from the table {source.name}, not located"}},
    )


def _frames(table: pd.DataFrame) -> pd.DataFrame:
    seen = table.groupby("frame").size()
    index = np.arange(table["frame"].min(), table["frame"].max() + 1)
    counts = seen.reindex(index, fill_value=0)
    status = np.where(counts > 0, "ok", "missing")
    frames = pd.DataFrame({"frame": index, "t_s": np.nan, "status": status})
    frames["reason"] = np.where(counts > 0, "", "no position in the table")
    frames["n_features"] = counts.to_numpy()
    return frames


def _rectangle(table: pd.DataFrame) -> tuple[float, float, float, float]:
    """The smallest rectangle around all positions; a pixel wide where they all lie on one line."""
    points = table[["x", "y"]].to_numpy(dtype=float)
    low, high = points.min(axis=0), points.max(axis=0)
    half = np.where(low == high, 0.5, 0.0)
    (x0, y0), (x1, y1) = (low - half).tolist(), (high + half).tolist()
    return x0, y0, x1, y1
