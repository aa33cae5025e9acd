"""Figures of rearrangement events: where neighbours are exchanged, and when, beside what drives the sample."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize

from colloidlab.errors import InputError
from colloidlab.report import maps
from colloidlab.report.figures_structure import COLUMNS, D2MIN
from colloidlab.report.results import Results
from colloidlab.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MAPS,
    ORANGE,
    PURPLE,
    WIDTH,
    Plate,
    draw_band,
    new_figure,
)
from colloidlab.report.words import label

_BEFORE, _AFTER = BLUE, ORANGE
_FOUR = ("particle_a", "particle_b", "particle_c", "particle_d")


def busiest_stretch(frames: np.ndarray, length: int) -> int:
    """First frame of the stretch of `length` frames with the most events."""
    first = np.unique(frames)
    counts = np.searchsorted(np.sort(frames), first + length) - np.searchsorted(np.sort(frames), first)
    return int(first[counts.argmax()])


def events(results: Results) -> Plate:
    """Where neighbours are exchanged: the busiest stretch in detail, and all events of the recording."""
    table = _events(results)
    kept = int(results.summary.get("t1_persistence_frames", 1))
    first = busiest_stretch(table["frame"].to_numpy(), kept)
    now = table[table["frame"].between(first, first + kept - 1)]
    view = maps.View.of(results)
    figure = new_figure(0.42 * WIDTH * view.aspect + 0.8)
    left, right = figure.subplots(1, 2)
    n_lines = _draw_exchanges(left, view, results, now, first)
    view.dress(left, f"frames {first} to {first + kept - 1}: {len(now)} events")
    places = table[["x", "y"]].to_numpy(dtype=float) * view.scale
    time = table["frame"].to_numpy(dtype=float) * results.calibration.time_per_frame
    shown = right.scatter(
        *places.T, c=time, s=5, cmap=MAPS["time"], norm=Normalize(time.min(), time.max()), linewidths=0
    )
    maps.add_colour_bar(
        right, shown, label("time" if results.calibration.fps else "frame", _time_unit(results))
    )
    view.dress(right, f"all {len(table)} events")
    right.set_ylabel("")
    missing = "" if n_lines else " The four particles are not all in the tracks of that frame."
    return Plate(
        figure,
        "T1 events: two neighbours part (blue, dashed) and the two particles between them become neighbours (orange), "
        f"and stay so for at least {kept} frames. Left: the {kept} frames with the most of them. Right: all of the "
        f"recording.{missing}",
    )


def _draw_exchanges(ax: Axes, view: maps.View, results: Results, now: pd.DataFrame, frame: int) -> int:
    """Particles of one frame, and the contacts that events break and make; gives the number drawn."""
    here = results.at_frame("tracks", frame, ["particle", "x", "y", "radius_px"])
    maps.draw_outlines(ax, view, here, colour=GREY)
    where = here.set_index("particle")[["x", "y"]] * view.scale
    drawn = 0
    for ends, colour, style in ((_FOUR[:2], _BEFORE, "dashed"), (_FOUR[2:], _AFTER, "solid")):
        segments = [
            where.loc[list(pair)].to_numpy()
            for pair in now[list(ends)].itertuples(index=False)
            if set(pair) <= set(where.index)
        ]
        ax.add_collection(LineCollection(segments, colors=colour, linestyles=style, linewidths=1.6))
        drawn += len(segments)
    return drawn


def timeline(results: Results) -> Plate:
    """How much rearranges against time, and the drive where the flow oscillates."""
    rows = [row for row in (_t1_rate(results), _hops(results), _d2min(results)) if row is not None]
    if not rows:
        raise InputError("Neither events, hops nor D2min are there to be drawn against time.")
    drive = _drive(results)
    n_rows = len(rows) + (drive is not None)
    figure = new_figure(0.5 + 1.25 * n_rows)
    axes = figure.subplots(n_rows, 1, sharex=True, squeeze=False)[:, 0]
    for ax, (name, series, colour) in zip(axes, rows, strict=False):
        if isinstance(series, pd.DataFrame):
            draw_band(ax, series, colour=colour)
        else:
            ax.plot(series.index, series, color=colour, linewidth=0.6, alpha=0.45)
            ax.plot(series.index, _smooth(series), color=colour, linewidth=1.4)
        ax.set_ylabel(name)
    said = ""
    if drive is not None:
        said = _draw_drive(axes, drive, results)
    axes[-1].set_xlabel("frame")
    return Plate(
        figure,
        "Against time, averaged over particles; thick lines are running means over a thirtieth of the "
        "recording, and the band of the events is that of their number." + said,
    )


_COMPONENTS = {
    "shear_xy": "shear_strain",
    "strain_xx": "gradient_xx",
    "strain_yy": "gradient_yy",
    "rotation_xy": "rotation_rad",
}
"""Columns of the table of the drive that hold the components of an oscillation, where the names differ."""


def _draw_drive(axes: np.ndarray, drive: pd.DataFrame, results: Results) -> str:
    """The component that oscillates, else the shear strain, and a line at each of its maxima."""
    ax, summary = axes[-1], results.summary
    period, phase = summary.get("oscillation_period_frames"), summary.get("oscillation_phase_rad", 0.0)
    component = str(summary.get("oscillation_component", "shear_xy"))
    column = _COMPONENTS.get(component, component)
    spoken = column.replace("_", " ").removesuffix(" px").removesuffix(" rad")
    spoken += " (px)" if column.endswith("_px") else ""
    ax.plot(drive["frame"], drive[column], color=INK, linewidth=1.2)
    ax.set_ylabel(spoken)
    if not period:
        return f" Below: the common {spoken} of all particles; no period was found in it."
    first, last = float(drive["frame"].min()), float(drive["frame"].max())
    # A cos(2 pi t/P + phi) is largest where its argument is a multiple of 2 pi.
    peak = -float(phase) / (2 * np.pi) * float(period)
    peaks = peak + float(period) * np.arange(
        np.ceil((first - peak) / period), np.floor((last - peak) / period) + 1
    )
    for k in peaks:
        for one in axes:
            one.axvline(k, color=GREY, linewidth=0.7, linestyle=":")
    return (
        f" Below: the common {spoken} of all particles; dotted lines are at the maxima of its wave, one period "
        f"({period:.1f} frames) apart."
    )


def _events(results: Results) -> pd.DataFrame:
    results.need_quantity("t1")
    try:
        return results.table("events", ["frame", "x", "y", *_FOUR])
    except InputError:
        if not results.run.has("events.parquet"):
            raise
        why = (
            "no exchange of neighbours lasted."
            if "n_t1_events" in results.summary
            else "they could not be looked for; the notes below say why."
        )
        raise InputError(f"There are no T1 events: {why}") from None


def _t1_rate(results: Results) -> tuple[str, pd.DataFrame, str] | None:
    curves = results.table("curves", COLUMNS)
    rate = curves[curves["quantity"] == "t1_rate"]
    if rate.empty:
        return None
    unit = results.calibration.unit(time=-1).removeprefix("1/")
    frames = rate["x"] / results.calibration.time_per_frame
    return f"T1 events\na particle and {unit}", rate.assign(x=frames), PURPLE


def _hops(results: Results) -> tuple[str, pd.Series, str] | None:
    indicators = results.table("indicators", ["frame"])
    if "hopped" not in indicators:
        return None
    # Without a localisation error nothing is flagged, which is not to say that nothing hops.
    share = indicators[indicators["hop_error_px2"].notna()].groupby("frame")["hopped"].mean()
    return None if share.empty else ("share of particles\nthat hop", share, GREEN)


def _d2min(results: Results) -> tuple[str, pd.Series, str] | None:
    indicators = results.table("indicators", ["frame"])
    if "d2min_px2" not in indicators:
        return None
    mean = indicators.groupby("frame")["d2min_px2"].mean().dropna() * results.calibration.factor(length=2)
    return None if mean.empty else (label(f"mean {D2MIN}\n", results.calibration.unit(length=2)), mean, BLUE)


def _drive(results: Results) -> pd.DataFrame | None:
    try:
        return results.table("drive", ["frame", "shear_strain"])
    except InputError:
        return None


def _smooth(series: pd.Series) -> pd.Series:
    return series.rolling(max(3, len(series) // 30), center=True, min_periods=1).mean()


def _time_unit(results: Results) -> str:
    return results.calibration.time_unit if results.calibration.fps else ""
