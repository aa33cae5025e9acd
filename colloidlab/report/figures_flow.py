"""Figures of the mean flow: velocity and shear rate over the view."""

from __future__ import annotations

import numpy as np

from colloidlab.errors import InputError
from colloidlab.report import maps
from colloidlab.report.results import Results
from colloidlab.report.style import MAPS, WIDTH, Plate, new_figure
from colloidlab.report.words import label

_SPEEDS = ["vx_px", "vy_px"]


def flow(results: Results) -> Plate:
    """Velocity as arrows and shear rate in colour, of the window in which the flow is fastest."""
    results.need_quantity("flow")
    try:
        table = results.table("flow", ["frame", "x", "y", *_SPEEDS, "shear_rate_per_frame", "vx_error_px"])
    except InputError:
        if results.run.has("flow.parquet"):
            raise InputError(
                "There is no flow field: too few particles are seen in two successive frames."
            ) from None
        raise
    squares = (table.set_index("frame")[_SPEEDS] ** 2).sum(axis=1).groupby("frame").mean()
    frame = int(squares.index[squares.to_numpy().argmax()])
    field = table[table["frame"] == frame]
    calibration, view = results.calibration, maps.View.of(results)
    figure = new_figure(0.42 * WIDTH * view.aspect + 0.8)
    left, right = figure.subplots(1, 2)
    places = field[["x", "y"]].to_numpy(dtype=float) * view.scale
    velocity = field[_SPEEDS].to_numpy(dtype=float) * calibration.factor(length=1, time=-1)
    error = float(np.nanmedian(field["vx_error_px"])) * calibration.factor(length=1, time=-1)
    speed = np.hypot(*velocity.T)
    # Rows of the image run downwards, and so do the arrows.
    arrows = left.quiver(
        *places.T, *velocity.T, speed, cmap=MAPS["speed"], angles="xy", pivot="middle", width=0.005
    )
    unit = calibration.unit(length=1, time=-1)
    maps.add_colour_bar(left, arrows, label("speed", unit))
    rate = field["shear_rate_per_frame"].to_numpy(dtype=float) * calibration.factor(time=-1)
    shown = right.scatter(
        *places.T,
        c=rate,
        s=_tile(places, view),
        marker="s",
        cmap=MAPS["strain"],
        norm=maps.signed_scale(rate, "shear rate"),
        linewidths=0,
    )
    maps.add_colour_bar(right, shown, label("shear rate", calibration.unit(time=-1)))
    n_windows = table["frame"].nunique()
    when = "whole recording" if n_windows == 1 else f"frames up to {frame}"
    for ax in (left, right):
        view.dress(ax, when)
    right.set_ylabel("")
    over = (
        "averaged over the recording"
        if n_windows == 1
        else f"in the fastest of {n_windows} windows of time, eight a period of the drive"
    )
    radius = float(results.summary.get("flow_radius_px", np.nan)) * calibration.factor(length=1)
    return Plate(
        figure,
        f"Mean flow {over}: linear fits to the displacements within {radius:.3g} {calibration.length_unit} of each node. "
        f"Left: velocity; its standard error is {error:.2g} {unit} (median). Right: shear rate ∂v_x/∂y + ∂v_y/∂x.",
    )


def _tile(places: np.ndarray, view: maps.View) -> float:
    """Area in points² of a square as large as the distance of the nodes."""
    steps = np.diff(np.unique(places[:, 0]))
    x0, x1, _, _ = view.extent
    share = float(steps.min()) / ((x1 - x0) * view.scale) if steps.size else 0.05
    return (share * 0.36 * WIDTH * 72) ** 2
