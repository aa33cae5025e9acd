"""One wide picture of a run, for a README or a talk."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from colloidlab.errors import InputError
from colloidlab.files import atomic_path
from colloidlab.report import maps
from colloidlab.report.figures_model import NOT_IDENTIFIED
from colloidlab.report.figures_rollout import draw_comparison
from colloidlab.report.figures_structure import D2MIN, PSI6, busiest_frame, dress_curve
from colloidlab.report.figures_tracking import draw_tracks
from colloidlab.report.results import Results
from colloidlab.report.style import BLUE, GREY, MAPS, draw_band, house_style, new_figure, stamp
from colloidlab.report.words import label
from colloidlab.run import Run

_WIDTH = 15.0
_DPI = 130
_DETAIL = 120
"""Particles shown of the recording, about: enough to see the packing, few enough to see the circles."""
_TAIL_FRAMES = 15
"""Length of the tracks drawn over the recording; more would hide the particles."""


def write_overview(run: Run, path: Path) -> None:
    """Write the overview of a run as PNG.

    Raises
    ------
    InputError
        The run has no tracks.
    """
    with house_style(), atomic_path(path) as temporary:
        overview_figure(run).savefig(
            temporary, format="png", dpi=_DPI, facecolor="white", bbox_inches="tight", pad_inches=0.08
        )


def overview_figure(run: Run) -> Figure:
    """Recording with tracks, D2min, temperature, and experiment against rollout, side by side.

    Without temperatures the hexatic order takes their place, and without rollouts the experiment's own curve
    that of the comparison; a panel for which nothing is there says so.
    """
    results = Results(run)
    run.require("track")
    view = maps.View.of(results)
    with house_style():
        figure = new_figure(_WIDTH / 4.4 * view.aspect + 0.75, _WIDTH)
        axes = figure.subplots(1, 4)
        for ax, draw in zip(axes, (_recording, _rearrangement, _state, _statistics), strict=True):
            _draw_or_say(ax, draw, results, view)
    return figure


def _draw_or_say(
    ax: Axes, draw: Callable[[Axes, Results, maps.View], None], results: Results, view: maps.View
) -> None:
    try:
        draw(ax, results, view)
    except InputError as error:
        ax.clear()
        ax.set_axis_off()
        said = textwrap.fill(str(error), 34)
        ax.text(0.5, 0.5, said, ha="center", va="center", color=GREY, transform=ax.transAxes)


def _recording(ax: Axes, results: Results, view: maps.View) -> None:
    frame = results.preview_frame
    table = results.table("tracks", ["frame", "particle", "x", "y", "radius_px"])
    view = view.centre(_DETAIL / max(int((table["frame"] == frame).sum()), 1))
    maps.draw_image(ax, view, results.preview)
    soon = table[(table["frame"] >= frame) & (table["frame"] < frame + _TAIL_FRAMES)]
    draw_tracks(ax, view, soon, time_per_frame=results.calibration.time_per_frame, width=1.0)
    maps.draw_outlines(ax, view, table[table["frame"] == frame], colour="#ffb000")
    view.dress(ax, "recording, detections and tracks (detail)", names=False)


def _rearrangement(ax: Axes, results: Results, view: maps.View) -> None:
    frame = busiest_frame(results)
    table = results.at_frame("indicators", frame, ["particle", "d2min_px2"])
    values = table["d2min_px2"].to_numpy(dtype=float) * results.calibration.factor(length=2)
    shown = maps.draw_particles(
        ax, view, table, values, cmap=MAPS["d2min"], norm=maps.log_scale(values, "D2min")
    )
    view.dress(ax, "non-affine rearrangement", names=False)
    maps.add_colour_bar(ax, shown, label(D2MIN, results.calibration.unit(length=2)))


def _state(ax: Axes, results: Results, view: maps.View) -> None:
    if results.refused or results.entropy == "isothermal" or not results.run.has("state.parquet"):
        frame = busiest_frame(results)
        table = results.at_frame("indicators", frame, ["particle", "psi6"])
        psi6 = table["psi6"].to_numpy(dtype=float)
        shown = maps.draw_particles(ax, view, table, psi6, cmap=MAPS["psi6"], norm=Normalize(0, 1))
        view.dress(ax, "hexatic order", names=False)
        maps.add_colour_bar(ax, shown, PSI6)
        return
    frame = int(results.table("state", ["frame"])["frame"].max())
    table = results.at_frame("state", frame, ["particle", "x", "y", "temperature_px2", "boundary"])
    values = table["temperature_px2"].to_numpy(dtype=float) * results.calibration.factor(length=2, time=-2)
    faint = table["boundary"].to_numpy(dtype=bool)
    norm = maps.linear_scale(values[~faint] if np.any(~faint) else values, "temperature")
    shown = maps.draw_particles(ax, view, table, values, cmap=MAPS["temperature"], norm=norm, faint=faint)
    view.dress(ax, "learned temperature", names=False)
    maps.add_colour_bar(ax, shown, label(r"$k_\mathrm{B}T/m$", results.calibration.unit(length=2, time=-2)))
    if not results.temperature_identified:
        stamp(ax, NOT_IDENTIFIED)


def _statistics(ax: Axes, results: Results, view: maps.View) -> None:
    if not results.refused and results.run.has("comparison.parquet"):
        draw_comparison(
            ax, results.table("comparison", ["quantity", "series", "x", "y", "y_low", "y_high"]), "g_r"
        )
        ax.set_title("experiment against rollout")
        ax.legend()
    else:
        table = results.table("curves", ["quantity", "x", "y", "y_low", "y_high", "x_unit", "y_unit"])
        curve = table[table["quantity"] == "msd"]
        if curve.empty:
            raise InputError("The mean squared displacement could not be computed.")
        draw_band(ax, curve, colour=BLUE)
        dress_curve(ax, "msd", curve)
        ax.set_title("mean squared displacement")
    ax.set_box_aspect(view.aspect)
