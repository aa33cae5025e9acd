"""Figures of what was seen: frame health, detections, tracks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.patches import Patch

from colloidlab.report import maps
from colloidlab.report.results import Results
from colloidlab.report.style import BLUE, GREY, MAPS, ORANGE, STATUS_COLOURS, WIDTH, Plate, new_figure
from colloidlab.report.words import label

_MAX_CELLS = 1000
"""Cells of the frame strip; longer recordings show the worst frame of each cell."""
_MAX_SEGMENTS = 60_000
"""Pieces of track drawn; longer recordings are thinned in time."""


def frame_health(results: Results) -> Plate:
    """One cell per frame, coloured by status, above the number of particles found in it."""
    table = results.table("frames", ["frame", "status", "n_features"]).sort_values("frame")
    names = [*STATUS_COLOURS, *sorted(set(table["status"]) - set(STATUS_COLOURS))]
    severity = table["status"].map({name: i for i, name in enumerate(names)}).to_numpy()
    per_cell = -(-len(table) // _MAX_CELLS)
    padded = np.pad(severity, (0, -len(severity) % per_cell), mode="edge")
    cells = padded.reshape(-1, per_cell).max(axis=1)
    colours = [STATUS_COLOURS.get(name, GREY) for name in names]

    figure = new_figure(2.2)
    strip, counts = figure.subplots(2, 1, sharex=True, height_ratios=[0.28, 1])
    first = float(table["frame"].iloc[0])
    ends = (first - 0.5, first - 0.5 + per_cell * len(cells), 0, 1)
    strip.imshow(
        cells[None, :],
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(names) - 0.5,
        extent=ends,
        aspect="auto",
        interpolation="nearest",
    )
    strip.set_yticks([])
    strip.tick_params(labelbottom=False, length=0)
    for spine in strip.spines.values():
        spine.set_visible(False)
    found = table["status"].value_counts()
    handles = [Patch(color=colours[i], label=f"{found[n]} {n}") for i, n in enumerate(names) if n in found]
    strip.legend(
        handles=handles, ncols=len(handles), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2
    )
    counts.plot(table["frame"], table["n_features"], color=BLUE, linewidth=1)
    counts.set_ylim(0, 1.12 * max(float(table["n_features"].max()), 1.0))
    counts.set_xlim(ends[0], first + len(table) - 0.5)
    counts.set_xlabel("frame")
    counts.set_ylabel("particles found")
    worst = "" if per_cell == 1 else f" Each cell stands for {per_cell} frames and shows the worst of them."
    return Plate(
        figure,
        "Every frame of the recording by its state. Damaged and missing frames keep their index and hold "
        f"no particles.{worst}",
    )


def detections(results: Results) -> Plate:
    """Detections over the first usable frame, beside histograms of all detections."""
    picture = results.preview
    view = maps.View.of(results)
    features = results.table("features", ["frame", "x", "y", "mass", "size", "radius_px"])
    frame = results.preview_frame
    here = features[features["frame"] == frame]
    figure = new_figure(max(3.6, 0.5 * WIDTH * view.aspect + 0.7))
    grid = figure.add_gridspec(2, 3, width_ratios=[2.2, 1, 1])
    image = figure.add_subplot(grid[:, 0])
    maps.draw_image(image, view, picture)
    maps.draw_outlines(image, view, here, colour="#ffb000")
    view.dress(image, f"frame {frame}: {len(here)} detections")
    mass = figure.add_subplot(grid[0, 1])
    _histogram(mass, features["mass"], "mass (grey levels)")
    threshold = ""
    if "minmass" in results.summary:
        mass.axvline(float(results.summary["minmass"]), color=ORANGE, linewidth=1, linestyle="--")
        threshold = " The dashed line is the least mass that counts as a particle."
    _histogram(figure.add_subplot(grid[0, 2]), features["size"], "size, radius of gyration (px)")
    _histogram(figure.add_subplot(grid[1, 1]), features["radius_px"], "apparent radius (px)")
    _subpixel(figure.add_subplot(grid[1, 2]), features)
    return Plate(
        figure,
        f"Left: circles of the apparent radius over the recording. Right: all {len(features)} "
        f"detections.{threshold} The sub-pixel part of the positions is flat, within the grey band of "
        "counting noise (95 %), when the centres are unbiased.",
    )


def _histogram(ax: Axes, values: pd.Series, name: str, *, from_zero: bool = False) -> None:
    """Histogram up to the 99.8th percentile, so that one bright speck does not squeeze it."""
    finite = values[np.isfinite(values)].to_numpy(dtype=float)
    ax.set_xlabel(name)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    if finite.size == 0:
        ax.text(0.5, 0.5, "not known", transform=ax.transAxes, ha="center")
        return
    low, high = np.percentile(finite, (0.2, 99.8))
    low = 0.0 if from_zero else low
    equal = not from_zero and np.ptp(finite) == 0
    if equal or (high - low <= 40 and np.all(finite % 1 == 0)):
        # Whole numbers want one bar each, or the bars make a comb; equal values stand in the middle of one.
        edges = np.arange(low - 0.5, high + 1.0)
    else:
        edges = np.linspace(low, high, 41)
    counts, edges = np.histogram(finite, bins=edges)
    ax.stairs(counts, edges, fill=True, color=BLUE, alpha=0.75)
    ax.set_ylim(0, None)


def _subpixel(ax: Axes, features: pd.DataFrame) -> None:
    """Histograms of the sub-pixel part of x and y with the band that a flat one stays in."""
    # Here, because `features` brings OpenCV along, which a report has no other use for.
    from colloidlab.features.pixel_bias import subpixel_shares

    shares, spread = subpixel_shares(features[["x", "y"]].to_numpy())
    ax.axhspan(max(1 - spread, 0), 1 + spread, color=GREY, alpha=0.3, linewidth=0)
    edges = np.linspace(0, 1, shares.shape[1] + 1)
    for column, share, colour in zip("xy", shares, (BLUE, ORANGE), strict=True):
        ax.stairs(share, edges, baseline=None, color=colour, linewidth=1.3, label=column)
    ax.set_ylim(0, 1.35 * ax.dataLim.ymax)
    ax.set_xlim(0, 1)
    ax.set_xlabel("sub-pixel position (px)")
    ax.set_ylabel("count / mean")
    ax.legend(ncols=2, loc="lower center", handlelength=1)


def tracks(results: Results) -> Plate:
    """Tracks over the view, coloured by time."""
    view = maps.View.of(results)
    table = results.table("tracks", ["frame", "particle", "x", "y"])
    figure = new_figure(max(3.6, 0.56 * WIDTH * view.aspect + 0.6))
    grid = figure.add_gridspec(2, 2, width_ratios=[2.1, 1])
    ax = figure.add_subplot(grid[:, 0])
    step = draw_tracks(ax, view, table, time_per_frame=results.calibration.time_per_frame)
    view.dress(ax)
    maps.add_colour_bar(ax, ax.collections[0], label("time", "s") if results.calibration.fps else "frame")
    moves = figure.add_subplot(grid[0, 1])
    _histogram(moves, _displacements(table), "move between two frames (px)", from_zero=True)
    limit = ""
    if "search_range_px" in results.summary:
        moves.axvline(float(results.summary["search_range_px"]), color=ORANGE, linewidth=1, linestyle="--")
        limit = (
            " Moves that pile up at the dashed line, the search range, would mean that longer ones were lost."
        )
    lengths = table["particle"].value_counts()
    _histogram(figure.add_subplot(grid[1, 1]), lengths, "length of a track (frames)", from_zero=True)
    thinned = "" if step == 1 else f" Every {step}th frame is drawn."
    return Plate(
        figure,
        f"Left: {len(lengths)} tracks, half of them {lengths.median():.0f} frames or longer; the longest "
        f"has {lengths.max()}.{thinned} Right: how far particles move from one frame to the next, and how "
        f"long tracks last.{limit}",
    )


def _displacements(table: pd.DataFrame) -> pd.Series:
    """Distances between successive frames of one track, px; gaps are left out."""
    table = table.sort_values(["particle", "frame"])
    step = table[["particle", "frame", "x", "y"]].diff()
    step = step[(step["particle"] == 0) & (step["frame"] == 1)]
    return pd.Series(np.hypot(step["x"], step["y"]))


def draw_tracks(
    ax: Axes, view: maps.View, table: pd.DataFrame, *, time_per_frame: float, width: float = 0.7
) -> int:
    """Draw every track as a line coloured by time; gives the number of frames between drawn points."""
    step = max(1, -(-len(table) // _MAX_SEGMENTS))
    kept = table[table["frame"] % step == 0].sort_values(["particle", "frame"])
    places = view.scale * kept[["x", "y"]].to_numpy(dtype=float)
    same = kept["particle"].to_numpy()[1:] == kept["particle"].to_numpy()[:-1]
    segments = np.stack([places[:-1], places[1:]], axis=1)[same]
    times = kept["frame"].to_numpy(dtype=float)[1:][same] * time_per_frame
    span = Normalize(
        float(table["frame"].min()) * time_per_frame, float(table["frame"].max()) * time_per_frame
    )
    lines = LineCollection(
        segments, array=times, cmap=MAPS["time"], norm=span, linewidths=width, rasterized=True
    )
    ax.add_collection(lines)
    return step
