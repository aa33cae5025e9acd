"""Figures of the rollouts: statistics beside the experiment, snapshots, momentum and energy budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import zarr
from matplotlib.axes import Axes

from colloidlab.errors import InputError
from colloidlab.report import maps
from colloidlab.report.figures_structure import dress_curve
from colloidlab.report.results import Results
from colloidlab.report.style import (
    BLUE,
    GREEN,
    GREY,
    MAPS,
    ORANGE,
    PURPLE,
    SERIES_COLOURS,
    WIDTH,
    Plate,
    draw_band,
    new_figure,
)
from colloidlab.report.words import label, notes_on_rollouts, number, unjudged

_BUDGET = ["member", "frame", "energy", "work", "heat", "energy_drift", "momentum_x", "momentum_y"]
_STATISTICS = ("g_r", "msd", "vacf", "d2min")
_NAMES = {"gaussian": "Gaussian of the experiment's variance"}
_MOMENTUM = ["impulse_x", "impulse_y", "momentum_drift"]


def comparison(results: Results) -> Plate:
    """g(r), MSD, VACF and the distribution of D2min: experiment and rollouts over each other."""
    table = results.table(
        "comparison", ["quantity", "series", "x", "y", "y_low", "y_high", "x_unit", "y_unit"]
    )
    present = [name for name in _STATISTICS if (table["quantity"] == name).any()]
    if not present:
        raise InputError(
            "comparison.parquet holds none of g(r), MSD, VACF and D2min; run 'colloidlab simulate' again."
        )
    rows = -(-len(present) // 2)
    figure = new_figure(3.1 * rows, 0.92 * WIDTH)
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for ax, name in zip(axes, present, strict=False):
        draw_comparison(ax, table, name)
        ax.set_title(distance_of(results, name))
    axes[0].legend()
    for ax in axes[len(present) :]:
        ax.remove()
    return Plate(
        figure,
        "The same estimators applied to the recording and to the rollouts, over the same frames and "
        "particles; bands are 95 % intervals. "
        + (
            unjudged(results)
            or "The relative error is the root mean square difference over the root mean square of the experiment."
        )
        + (f" {notes}" if (notes := notes_on_rollouts(results)) else ""),
    )


def displacements(results: Results) -> Plate:
    """How displacements are distributed: van Hove functions, alpha2 and F_s."""
    table = results.table(
        "comparison", ["quantity", "series", "x", "y", "y_low", "y_high", "x_unit", "y_unit"]
    )
    names = dict.fromkeys(str(name) for name in table["quantity"])
    lags = sorted(int(name.removeprefix("van_hove_")) for name in names if name.startswith("van_hove_"))
    if not lags or not {"alpha2", "f_s"} <= set(names):
        again = f"run 'colloidlab simulate {results.run.path}' again."
        raise InputError(f"comparison.parquet has no distribution of displacements; {again}")
    figure = new_figure(6.0)
    grid = figure.add_gridspec(2, 2 * len(lags))
    for i, lag in enumerate(lags):
        ax = figure.add_subplot(grid[0, 2 * i : 2 * i + 2])
        draw_comparison(ax, table, f"van_hove_{lag}")
        error = _relative(results, "van_hove") if lag == lags[-1] else ""
        ax.set_title(f"after {lag} frame{'' if lag == 1 else 's'}{', ' if error else ''}{error}")
        if i > 0:
            ax.set_ylabel("")
    handles, labels = ax.get_legend_handles_labels()
    for i, name in enumerate(("alpha2", "f_s")):
        below = figure.add_subplot(grid[1, len(lags) * i : len(lags) * (i + 1)])
        draw_comparison(below, table, name)
        below.set_title(_relative(results, name))
    known = dict(zip(labels, handles, strict=True))
    shown = {key: known[key] for key in sorted(known, key=lambda k: k.startswith("Gaussian"))}
    figure.legend(shown.values(), shown.keys(), loc="outside upper left", ncols=len(shown))
    return Plate(
        figure,
        "Above: distribution of displacements along the axes, beside the Gaussian of the experiment's variance; wings "
        "above it are particles that move farther than most. Below: the same as one number a lag, zero for a Gaussian, "
        "and the self-scattering function, which falls when particles leave the places of their neighbours (wave number "
        "2π over the distance of the first peak of g(r)). Bands are 95 % intervals over particles and time; the "
        "rollouts carry the localisation error of the experiment.",
    )


def _relative(results: Results, name: str) -> str:
    error = results.summary.get(f"rollout_{name}_error")
    return "" if error is None else f"relative error {number(100 * float(error))} %"


def distance_of(results: Results, name: str) -> str:
    """How far rollouts and experiment are apart in one quantity; empty where that is not known."""
    if name == "d2min" and "d2min_ks_distance" in results.summary:
        return f"Kolmogorov-Smirnov distance {number(float(results.summary['d2min_ks_distance']))}"
    return _relative(results, name)


def draw_comparison(ax: Axes, table: pd.DataFrame, name: str) -> None:
    """One quantity of `comparison.parquet`, every series with its band."""
    part = table[table["quantity"] == name]
    for series in dict.fromkeys(part["series"]):
        curve = part[part["series"] == series]
        line = "--" if series == "rollout" else "-"
        colour = SERIES_COLOURS.get(series, GREY)
        name_of = _NAMES.get(str(series), str(series).replace("$", ""))
        draw_band(ax, curve, colour=colour, label=name_of, line=line)
    dress_curve(ax, name, part)


@dataclass(frozen=True)
class LastFrame:
    """One rollout member at its last frame: `table` has particle, x, y, speed_px, simulated."""

    frame: int
    n_frames: int
    table: pd.DataFrame


def read_last_frame(results: Results) -> LastFrame:
    """Read the first member's last frame from `rollout.zarr`.

    Raises
    ------
    InputError
        There is no rollout, or the store is damaged.
    """
    path = results.run.path / "rollout.zarr"
    if not path.exists() or results.refused:
        raise InputError(results.why_absent("rollout"))
    names = ("frame", "particle", "simulated", "positions", "velocities")
    try:
        group = zarr.open_group(path, mode="r")
        arrays: list[Any] = [group[name] for name in names]
        frame, particle, simulated, positions, velocities = arrays
        last = np.asarray(positions[0, -1], dtype=float)
        speed = np.linalg.norm(np.asarray(velocities[0, -1], dtype=float), axis=1)
        columns = {"particle": np.asarray(particle[:]), "simulated": np.asarray(simulated[:], dtype=bool)}
        table = pd.DataFrame({**columns, "x": last[:, 0], "y": last[:, 1], "speed_px": speed})
        frames = np.asarray(frame[:], dtype=int)
        return LastFrame(int(frames[-1]), len(frames), table.dropna(subset=["x", "y"]))
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, OSError, RuntimeError):
        again = f"run 'colloidlab simulate {results.run.path}' again."
        raise InputError(f"rollout.zarr is damaged; {again}") from None


def snapshots(results: Results) -> Plate:
    """Experiment and one rollout at the last simulated frame, coloured by speed."""
    rollout = read_last_frame(results)
    columns = ["particle", "x", "y", "vx_px", "vy_px"]
    experiment = results.at_frame("state", rollout.frame, columns)
    if experiment.empty or rollout.table.empty:
        raise InputError(f"No particle is there in frame {rollout.frame}, the last of the rollouts.")
    tracks = results.table("tracks", ["particle", "radius_px"])
    radii = tracks.groupby("particle")["radius_px"].median()
    table = rollout.table.assign(radius_px=rollout.table["particle"].map(radii).fillna(radii.median()))
    simulated = set(table.loc[table["simulated"], "particle"])
    factor = results.calibration.factor(length=1, time=-1)
    speeds = (
        factor
        * np.hypot(experiment["vx_px"].to_numpy(dtype=float), experiment["vy_px"].to_numpy(dtype=float)),
        factor * table["speed_px"].to_numpy(),
    )
    # One scale, set by the experiment, so that a rollout that runs hot looks hot.
    norm = maps.linear_scale(speeds[0], "velocity")
    norm.vmin = 0.0
    faint = (~experiment["particle"].isin(simulated).to_numpy(), ~table["simulated"].to_numpy())
    view = maps.View.of(results)
    figure = new_figure(0.44 * WIDTH * view.aspect + 0.7)
    axes = figure.subplots(1, 2)
    for i, (ax, part, title) in enumerate(
        zip(axes, (experiment, table), ("experiment", "rollout, member 0"), strict=True)
    ):
        shown = maps.draw_particles(ax, view, part, speeds[i], cmap=MAPS["speed"], norm=norm, faint=faint[i])
        view.dress(ax, f"{title}, frame {rollout.frame}", names=i == 0)
    maps.add_colour_bar(axes[-1], shown, label("speed", results.calibration.unit(1, -1)))
    return Plate(
        figure,
        f"After {rollout.n_frames - 1} simulated frames. Pale particles were prescribed from the recording, "
        "not simulated. Single trajectories diverge, as they must in a noisy system: compare the texture, "
        "not the particles.",
    )


def energy_budget(results: Results) -> Plate:
    """Energy change of the rollouts, split in boundary work, heat and integrator drift."""
    table = results.table("budget", _BUDGET).sort_values(["member", "frame"])
    calibration = results.calibration
    factor = calibration.factor(length=2, time=-2)
    change = _since_first(table, "energy")
    parts = [_sum_since_first(table, name) for name in ("work", "heat", "energy_drift")]
    styles = (BLUE, "-"), (ORANGE, "-"), (GREEN, "-"), (PURPLE, "--")
    names = "energy change", "work at the boundary", "heat", "integrator drift"
    figure = new_figure(3.4, 0.72 * WIDTH)
    ax = figure.subplots()
    for name, values, (colour, line) in zip(names, (change, *parts), styles, strict=True):
        _draw_members(ax, table["frame"], factor * values, colour, line, name)
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.set_xlabel("frame")
    ax.set_ylabel(label("energy per unit mass", calibration.unit(length=2, time=-2)))
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    gap = float(np.nanmax(np.abs(change - parts[0] - parts[1] - parts[2])))
    size = max(float(np.nanmax(np.abs(values))) for values in (change, *parts))
    closes = "round-off" if gap <= 1e-9 * size else f"{number(100 * gap / size)} % of the largest term"
    return Plate(
        figure,
        "Sums over the particles and since the first frame; lines are means over the rollouts, bands their "
        "full range. Work done by the prescribed particles, heat that they bring, and drift of the "
        f"integrator must add up to the energy change, and do to within {closes}.",
    )


def momentum_budget(results: Results) -> Plate:
    """Momentum change of the rollouts against the impulse through the boundary, and what neither explains."""
    table = results.table("budget", [*_BUDGET, *_MOMENTUM]).sort_values(["member", "frame"])
    calibration = results.calibration
    factor = calibration.factor(length=1, time=-1)
    figure = new_figure(2.9)
    axes = figure.subplots(1, 3)
    unit = calibration.unit(length=1, time=-1)
    for ax, axis in zip(axes, "xy", strict=False):
        change = factor * _since_first(table, f"momentum_{axis}")
        impulse = factor * _sum_since_first(table, f"impulse_{axis}")
        _draw_members(ax, table["frame"], change, BLUE, "-", "momentum change")
        _draw_members(ax, table["frame"], impulse, ORANGE, "--", "impulse at the boundary")
        ax.set_ylabel(label(f"momentum/mass, {axis}", unit))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    _draw_members(axes[2], table["frame"], factor * table["momentum_drift"], PURPLE, "-", "")
    axes[2].set_ylabel(label("unexplained, per frame", unit))
    for ax in axes:
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.set_xlabel("frame")
    return Plate(
        figure,
        "Pair forces cannot change the total momentum: whatever changes must have come through the "
        "boundary. The right panel is the remainder in each frame, which is round-off when the integrator "
        "conserves momentum.",
    )


def _since_first(table: pd.DataFrame, column: str) -> pd.Series:
    """Change of a state variable since the first frame, per member."""
    return table[column] - table.groupby("member")[column].transform("first")


def _sum_since_first(table: pd.DataFrame, column: str) -> pd.Series:
    """Sum of what every frame after the first brought, per member (rows hold increments)."""
    groups = table.groupby("member")[column]
    return groups.cumsum() - groups.transform("first")


def _draw_members(ax: Axes, frame: pd.Series, values: pd.Series, colour: str, line: str, name: str) -> None:
    """Mean over the rollouts with the range from the lowest to the highest."""
    curve = values.groupby(frame.to_numpy()).agg(["mean", "min", "max"])
    curve.columns = pd.Index(["y", "y_low", "y_high"])
    draw_band(ax, curve.rename_axis("x").reset_index(), colour=colour, label=name, line=line)
