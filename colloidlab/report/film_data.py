"""What a film of a run shows: experiment and rollout over the same frames, with values, scale and times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from colloidlab.config import Config, ExportConfig
from colloidlab.errors import InputError
from colloidlab.indicators import compute
from colloidlab.option_text import parse_frames
from colloidlab.progress import SILENT, Monitor
from colloidlab.report.quantities import Quantity, describe, limits
from colloidlab.report.results import Results
from colloidlab.report.rollouts import Rollout, as_observed, read_rollout
from colloidlab.report.words import label
from colloidlab.run import Run
from colloidlab.tables import column_names

ROLLOUT_ERROR = "error_px"

MEASURED = {"d2min_px2": "d2min", "psi6": "psi6", "hop_px2": "hop", "local_density_per_px2": "density"}
"""By column, the indicator that is measured in the rollout as it was in the experiment."""

_LEARNED = ("temperature_px2", "entropy")


@dataclass(frozen=True)
class Colouring:
    """One scale of colours for both sides.

    Parameters
    ----------
    label : str
        What it is, whether it can be believed, and its unit.
    colours : str
        matplotlib's name of the map.
    span : (float, float)
        Values at its ends, in that unit.
    factor : float
        From pixels and frames to that unit.
    """

    label: str
    colours: str
    span: tuple[float, float]
    factor: float


@dataclass(frozen=True)
class Side:
    """The particles of one of the two pictures.

    Parameters
    ----------
    title : str
    table : DataFrame
        frame, particle, x, y, radius_px (px), `value` (NaN where it is not known) and `faint`; sorted by frame.
    coloured : bool
        Particles are filled with the colour of their value, else they are outlines.
    """

    title: str
    table: pd.DataFrame
    coloured: bool

    def at(self, frame: int) -> pd.DataFrame:
        """Rows of one frame."""
        first, stop = np.searchsorted(self._frames, (frame, frame + 1))
        return self.table.iloc[first:stop]

    def tails(self, frame: int, n_frames: int) -> np.ndarray:
        """Pieces of the tracks over the frames before, of the particles that are there: ends x, y, shape (n, 2, 2), px."""
        first, stop = np.searchsorted(self._frames, (frame - n_frames, frame + 1))
        part = self.table.iloc[first:stop][["particle", "frame", "x", "y"]]
        part = part[part["particle"].isin(self.at(frame)["particle"])].sort_values(["particle", "frame"])
        particle, places = part["particle"].to_numpy(), part[["x", "y"]].to_numpy(dtype=np.float64)
        pieces = np.stack([places[:-1], places[1:]], axis=1)
        return pieces[particle[1:] == particle[:-1]]

    @cached_property
    def _frames(self) -> np.ndarray:
        return self.table["frame"].to_numpy()


@dataclass(frozen=True)
class Film:
    """Everything that is drawn, but the images of the recording.

    Parameters
    ----------
    frames : tuple of int
    experiment : Side
    rollout : Side or None
    colouring : Colouring or None
    beyond : int
        First frame that is not recorded.
    times_s : dict of int to float
        Empty where no time is known.
    """

    frames: tuple[int, ...]
    experiment: Side
    rollout: Side | None
    colouring: Colouring | None
    beyond: int
    times_s: dict[int, float]


def collect(run: Run, options: ExportConfig, monitor: Monitor = SILENT) -> Film:
    """Read what a film shows, and measure in the rollout what the experiment is coloured by.

    Raises
    ------
    InputError
        The run has no tracks, no such rollout, no such frames, or not what the particles are to be coloured by; says
        which command makes it.
    """
    run.require("track")
    tracks = run.read_table("tracks")
    tracks.attrs.clear()
    if "radius_px" not in tracks:
        tracks["radius_px"] = np.nan
    recorded = run.read_table("frames")
    rollout = _rollout(run, options) if options.rollout else None
    column = _column(run, options)
    monitor.update("colours", 0, 0)
    left = None if column in ("none", ROLLOUT_ERROR) else _measured(run, tracks, column)
    right = None if rollout is None or column == "none" else _simulated(run, rollout, column, monitor)
    colouring = None if column == "none" else _colouring(run, column, right if left is None else left)
    frames = _frames(
        options, recorded["frame"] if rollout is None else rollout.table["frame"], rollout is not None
    )
    name = Results(run).name
    return Film(
        frames=frames,
        experiment=_side(f"experiment, {name}", tracks, left, colouring),
        rollout=None if rollout is None else _rollout_side(rollout, tracks, right, colouring),
        colouring=colouring,
        beyond=int(recorded["frame"].max()) + 1,
        times_s=_times(run, recorded, frames),
    )


# ---- what is coloured -----------------------------------------------------------------------


def _column(run: Run, options: ExportConfig) -> str:
    if options.colour_by == ROLLOUT_ERROR and not options.rollout:
        raise InputError(
            "error_px is the rollout's distance to the experiment; show the rollout, or choose another colour"
        )
    if options.colour_by != "auto":
        return options.colour_by
    if run.summary.get("temperature_identified") is True and run.has("state.parquet"):
        return "temperature_px2"
    if run.has("indicators.parquet") and "d2min_px2" in run.read_table("indicators"):
        return "d2min_px2"
    return "none"


def _measured(run: Run, tracks: pd.DataFrame, column: str) -> np.ndarray:
    """A column of the experiment on the rows of its tracks."""
    learned = column in _LEARNED
    name, command = ("state", "fit") if learned else ("indicators", "indicators")
    found = run.read_table(name) if run.has(f"{name}.parquet") else pd.DataFrame()
    if column not in found or not found[column].notna().any():
        only = "" if learned else f" --only {MEASURED[column]}"
        refused = run.facts("fit").get("refused") if learned else None
        advice = (
            f"for the fit was refused: {refused}"
            if refused
            else f"run 'colloidlab {command} {run.path}{only}'"
        )
        raise InputError(f"{run.path} has no {describe(column).title} to colour by; {advice}")
    found.attrs.clear()
    keys = ["frame", "particle"]
    return tracks[keys].merge(found[[*keys, column]], on=keys, how="left")[column].to_numpy(dtype=np.float64)


def _simulated(run: Run, rollout: Rollout, column: str, monitor: Monitor) -> np.ndarray:
    """The same of the rollout: its own, or measured in it as in the experiment.

    That is with the options, the lag and the localisation error of the experiment: positions without an error would
    have less D2min, whatever the laws.
    """
    table = rollout.table
    if column not in MEASURED:
        return table[column].to_numpy(dtype=np.float64)
    options = dict(run.record["config"].get("indicators", {}))
    options["only"] = MEASURED[column]
    for option, known in (
        ("lag_frames", "d2min_lag_frames"),
        ("hop_frames", "hop_frames"),
        ("neighbour_cutoff_px", "neighbour_cutoff_px"),
    ):
        if known in run.summary:
            options[option] = run.summary[known]
    config = Config.model_validate({"indicators": options}).indicators
    x0, y0, x1, y1 = run.facts("track").get("region") or _around(table)
    view = (int(np.ceil(x1)), int(np.ceil(y1)))
    tracks = as_observed(run, rollout)
    found = compute(tracks, run.calibration, config, view=view, region=(x0, y0, x1, y1), monitor=monitor)
    keys = ["frame", "particle"]
    return tracks.merge(found.table[[*keys, column]], on=keys, how="left")[column].to_numpy(dtype=np.float64)


def _colouring(run: Run, column: str, values: np.ndarray | None) -> Colouring:
    quantity: Quantity = describe(column)
    factor, unit = run.calibration.convert(quantity.unit)
    low, high = limits(values, quantity)
    doubt = quantity.learned and run.summary.get("temperature_identified") is not True
    title = quantity.title + (", not identified" if doubt else "")
    if column == ROLLOUT_ERROR:
        low, title = 0.0, "distance of rollout and experiment"
    return Colouring(
        label(title, unit), quantity.colours, (factor * low, factor * max(high, low + 1e-12)), factor
    )


# ---- the two sides --------------------------------------------------------------------------


def why_no_rollout(run: Run) -> str:
    """Why a run can have no rollout, without a capital and a full stop; empty where it can.

    Raises
    ------
    InputError
        The tracks are damaged.
    """
    if "z" in column_names(run.path / "tracks.parquet"):
        return "rollouts are of two dimensions, and these tracks of three"
    refused = run.facts("fit").get("refused")
    return f"for the fit was refused: {str(refused).rstrip('.')}" if refused else ""


def _rollout(run: Run, options: ExportConfig) -> Rollout:
    if why := why_no_rollout(run):
        raise InputError(f"{run.path} has no rollout: {why}; show the experiment alone (--no-rollout)")
    if not run.has("rollout.zarr"):
        raise InputError(
            f"{run.path} has no rollout: run 'colloidlab simulate {run.path}' first; or show the experiment alone "
            "(--no-rollout)"
        )
    return read_rollout(run, options.member - 1)


def _side(title: str, tracks: pd.DataFrame, values: np.ndarray | None, colouring: Colouring | None) -> Side:
    known = values is not None and colouring is not None
    shown = values * colouring.factor if values is not None and colouring is not None else np.nan
    table = tracks[["frame", "particle", "x", "y", "radius_px"]].assign(value=shown, faint=False)
    table["radius_px"] = _radii(table)
    return Side(title, table.sort_values(["frame", "particle"], kind="stable", ignore_index=True), known)


def _rollout_side(
    rollout: Rollout, tracks: pd.DataFrame, values: np.ndarray | None, colouring: Colouring | None
) -> Side:
    own = tracks.groupby("particle")["radius_px"].median()
    table = rollout.table.assign(radius_px=rollout.table["particle"].map(own))
    side = _side(f"rollout {rollout.member + 1} of {rollout.n_members}", table, values, colouring)
    simulated = table.sort_values(["frame", "particle"], kind="stable")["simulated"].to_numpy(dtype=bool)
    return Side(side.title, side.table.assign(faint=~simulated), side.coloured)


def _radii(table: pd.DataFrame) -> np.ndarray:
    """Radii to draw, px: each particle's own, else the usual one, else a share of the distance of neighbours."""
    own = table["radius_px"].to_numpy(dtype=np.float64)
    if np.isfinite(own).any():
        return np.where(np.isfinite(own), own, np.nanmedian(own))
    x0, y0, x1, y1 = _around(table)
    number = max(1.0, len(table) / max(1, table["frame"].nunique()))
    return np.full(len(table), 0.3 * np.sqrt((x1 - x0) * (y1 - y0) / number))


def _around(table: pd.DataFrame) -> tuple[float, float, float, float]:
    return (
        float(table["x"].min()) - 0.5,
        float(table["y"].min()) - 0.5,
        float(table["x"].max()) + 0.5,
        float(table["y"].max()) + 0.5,
    )


# ---- frames and times -----------------------------------------------------------------------


def _frames(options: ExportConfig, there: pd.Series, of_rollout: bool) -> tuple[int, ...]:
    frames = np.unique(there.to_numpy())
    if options.frames is None:
        return tuple(frames.tolist())
    first, stop = parse_frames(options.frames)
    stop = int(frames[-1]) + 1 if stop is None else stop
    chosen = frames[(frames >= first) & (frames < stop)]
    if first < frames[0] or stop > frames[-1] + 1 or not len(chosen):
        whose = "the rollout" if of_rollout else "the run"
        advice = "; or show the experiment alone (--no-rollout)" if of_rollout else ""
        raise InputError(
            f"the frames {options.frames} are not all among those of {whose}, {frames[0]}:{frames[-1] + 1}; choose from "
            f"these{advice}"
        )
    return tuple(chosen.tolist())


def _times(run: Run, recorded: pd.DataFrame, frames: tuple[int, ...]) -> dict[int, float]:
    """Times of frames, s: as they were stamped, else from the frame rate; none where neither is known."""
    fps = run.calibration.fps
    times = {} if fps is None else {k: k / fps for k in frames}
    if "t_s" in recorded:
        stamped: Any = recorded.loc[recorded["t_s"].notna(), ["frame", "t_s"]]
        times |= dict(zip(stamped["frame"].tolist(), stamped["t_s"].tolist(), strict=True))
    return times
