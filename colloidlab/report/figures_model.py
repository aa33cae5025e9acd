"""Figures of the learned model: data split, training, learned functions, temperature and entropy."""

from __future__ import annotations

from itertools import cycle
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.ticker import FixedLocator, MaxNLocator

from colloidlab.errors import InputError
from colloidlab.indicators.association import BLOCK_FRAMES, held_out_pairs
from colloidlab.report import maps
from colloidlab.report.figures_structure import D2MIN
from colloidlab.report.results import Results
from colloidlab.report.style import (
    BLOCK_COLOURS,
    BLUE,
    GOLD,
    GREEN,
    GREY,
    MAPS,
    ORANGE,
    PURPLE,
    WIDTH,
    Plate,
    draw_band,
    new_figure,
    stamp,
)
from colloidlab.report.words import bath, correlation, label, number, pretty_unit, sentence, solid, species

NOT_IDENTIFIED = "temperature not identified"
_PHASE_LETTERS = 12
"""Of a line of the title of a training phase."""
_NO_MEANING = ": neither correlation says anything about the particles"
_DIRECTIONS = {"parallel": "along the pair", "perpendicular": "across it"}
_COLOURS = BLUE, ORANGE, GREEN, PURPLE, GOLD, GREY
_ROOM = 2.5
"""Height of a panel in units of the largest value in it, where bands would need more."""
_BANDS = (
    "Bands are 95 % intervals, point by point: finite data and an unfinished optimisation are in them, that the true "
    "function may be none of the class is not. They may leave the panel. Kernel, pressure and "
    "a pair potential, where there is one, can stand in for each other: what they make together, the pair force, is known "
    "better than any of them."
)
_UNKNOWN = (
    '"Not identified" is a function that over most of its range is smaller than the half-width of its band.'
)
_NEAR_ZERO = 0.05
"""Share of the largest value below which a function is near zero: every one of a pair vanishes at the cutoff."""
_AXIS_OF_UNIT = {"px": "distance", "px^2": "area per particle", "1/px^2": "number density"}
"""What a learned function depends on, read off the unit of its x (in px, or in um alike)."""


def data_split(results: Results) -> Plate:
    """Strip of the frames used to fit, to choose and to test."""
    blocks = results.blocks
    figure = new_figure(1.15)
    ax = figure.subplots()
    for name, (first, stop) in blocks.items():
        ax.broken_barh([(first - 0.5, stop - first)], (0, 1), color=BLOCK_COLOURS.get(name, GREY), alpha=0.85)
        ax.text(
            (first + stop - 1) / 2,
            0.5,
            f"{name}\n{first} to {stop - 1}",
            ha="center",
            va="center",
            color="#10151b",
        )
    ax.set_xlim(min(b[0] for b in blocks.values()) - 0.5, max(b[1] for b in blocks.values()) - 0.5)
    ax.set_ylim(0, 1)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("frame")
    facts = results.run.facts("fit")
    cutoff = ""
    if "cutoff_px" in facts:
        length = facts["cutoff_px"] * results.calibration.length_per_px
        name = f"{number(length)} {pretty_unit(results.calibration.length_unit)}"
        cutoff = f" Particles interact up to {name} at the mean size ({facts.get('cutoff_reason', '')})."
    noise = ""
    if (scale := results.summary.get("sigma_scale")) is not None:
        noise = (
            f" The fit takes {number(scale)} of the localisation error that the tracks state for noise, new in every frame; "
            "the rest stays as long as the neighbourhood does."
        )
    return Plate(
        figure,
        "The laws were fitted on the training block and chosen on the validation block; every number of merit "
        f"below comes from the test block, which neither has seen.{cutoff}{noise}",
    )


def training(results: Results) -> Plate:
    """Log-likelihood during training, one panel per phase."""
    table = results.table("training", ["phase", "step", "train_loglik", "validation_loglik"])
    phases = list(dict.fromkeys(table["phase"]))
    figure = new_figure(3.1, WIDTH * min(1.0, 0.5 * len(phases)))
    axes = figure.subplots(1, len(phases), squeeze=False)[0]
    for ax, phase in zip(axes, phases, strict=True):
        part = table[table["phase"] == phase]
        for column, colour, name in (
            ("train_loglik", BLUE, "training"),
            ("validation_loglik", ORANGE, "validation"),
        ):
            ax.plot(part["step"], part[column], color=colour, label=name, marker="o", markersize=2.5)
        # Six phases lie side by side.
        ax.set_title("\n".join(wrap(phase.replace("$", ""), _PHASE_LETTERS)))
        ax.ticklabel_format(useOffset=False)
        single = part["step"].nunique() == 1
        ax.xaxis.set_major_locator(
            FixedLocator(part["step"].unique()) if single else MaxNLocator(nbins=3, integer=True)
        )
        ax.set_xlabel("steps")
    axes[0].set_ylabel("log-likelihood\n(nats per particle and frame)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return Plate(
        figure,
        "A validation curve that falls while the training curve rises would show over-fitting. Of all laws with entropy, "
        "those are the result that the validation block has liked best; the last ones are those of one temperature.",
    )


def functions(results: Results) -> Plate:
    """The learned functions, with bands where they are known; friction and noise along and across a pair together."""
    table = results.table("functions", ["quantity", "x", "y", "y_low", "y_high", "x_unit", "y_unit"])
    panels = group_functions(table)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(2.8 * rows, WIDTH * columns / 3 if columns < 3 else WIDTH)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, parts) in zip(axes, panels.items(), strict=False):
        draw_function(ax, table, name, parts)
    for ax in axes[len(panels) :]:
        ax.remove()
    banded = np.isfinite(table["y_low"]) & np.isfinite(table["y_high"])
    bands = f"{_BANDS} {_UNKNOWN}" if banded.any() else "No uncertainty was computed for these functions."
    if results.entropy == "encoder" and banded.any():
        bands += " The encoder of the entropy is held fixed in them."
    found = "The laws that the fit found, in units where k_B = 1 and the particle's mass is 1. "
    found += f"{species(results)}{solid(results)}{bath(results)}{bands}"
    return Plate(figure, found)


def draw_function(ax: Axes, table: pd.DataFrame, name: str, parts: list[str]) -> None:
    """One learned function, its curves along and across a pair, or of all kinds of pairs in a mixture, together.

    A title says which is not identified.

    Parameters
    ----------
    table : DataFrame
        As `functions.parquet`.
    name, parts
        A panel of `group_functions`.
    """
    shown = table[table["quantity"].isin(parts)]
    curves, unknown = _curves(shown, name, parts), []
    for (which, curve), colour in zip(curves.items(), cycle(_COLOURS), strict=False):
        draw_band(ax, curve, colour=colour, label=which)
        if not is_identified(curve):
            unknown.append(which)
    ax.axhline(0, color=GREY, linewidth=0.8)
    _keep_curves_visible(ax, shown)
    if len(curves) > 1:
        ax.legend(loc="upper right")
    if unknown:
        some = "" if len(unknown) == len(curves) else f": {', '.join(unknown)}"
        ax.set_title(f"not identified{some}")
    ax.set_xlabel(_argument(str(shown["x_unit"].iloc[0])))
    ax.set_ylabel(label(_title(name), str(shown["y_unit"].iloc[0])))


def _title(name: str) -> str:
    """Name of a panel, short enough for its height."""
    head, _, way = name.rpartition("_")
    short = f"{head} {_DIRECTIONS[way].split()[0]}" if way in _DIRECTIONS else name
    return short.replace("_", " ").replace("$", "")


def _curves(shown: pd.DataFrame, name: str, parts: list[str]) -> dict[str, pd.DataFrame]:
    """The curves of a panel by what tells them apart: the kind of pair, or the direction."""
    if _of_a_mixture(shown):
        # Matplotlib leaves out what begins with a line, and sets what is between dollars as a formula.
        return {
            kind.replace("$", "").lstrip("_"): curve for kind, curve in shown.groupby("species", sort=False)
        }
    return {
        _DIRECTIONS.get(part.removeprefix(f"{name}_"), ""): shown[shown["quantity"] == part] for part in parts
    }


def _of_a_mixture(table: pd.DataFrame) -> bool:
    """Has every kind of pair functions of its own? Tables of older versions do not say, and have not."""
    return "species" in table and bool((table["species"] != "").any())


def is_identified(curve: pd.DataFrame) -> bool:
    """Is a function larger than the half-width of its 95 % interval, over most of where it is not near zero?

    True where no uncertainty was computed, of which nothing can then be said.

    Parameters
    ----------
    curve : DataFrame with y, y_low, y_high
    """
    y, low, high = (curve[c].to_numpy(dtype=float) for c in ("y", "y_low", "y_high"))
    size = np.abs(y)
    judged = np.isfinite(low) & np.isfinite(high) & (size > _NEAR_ZERO * size.max(initial=0.0))
    return not judged.any() or bool(np.mean(0.5 * (high - low)[judged] < size[judged]) > 0.5)


def group_functions(table: pd.DataFrame) -> dict[str, list[str]]:
    """Curves of `functions.parquet` by panel: the physics first, and the kernel, which only defines density, last."""
    panels: dict[str, list[str]] = {}
    together = not _of_a_mixture(table)
    for quantity in dict.fromkeys(table["quantity"]):
        head, _, way = quantity.rpartition("_")
        panels.setdefault(head if together and way in _DIRECTIONS else quantity, []).append(quantity)
    physics = "pressure", "pair_friction", "pair_noise", "pair_force", "pair_potential"
    first = [name for what in physics for name in sorted(panels) if name.startswith(what)]
    return {n: sorted(panels[n]) for n in [*first, *(n for n in panels if n not in first)]}


def _keep_curves_visible(ax: Axes, shown: pd.DataFrame) -> None:
    """Let a band that is very wide run out of the panel rather than flatten the curve."""
    y = shown["y"].to_numpy(dtype=float)
    size = float(np.abs(y).max()) or 1.0
    top = np.nanmax(np.append(np.minimum(shown["y_high"], _ROOM * size), y))
    bottom = np.nanmin(np.append(np.maximum(shown["y_low"], -_ROOM * size), [*y, 0.0]))
    ax.set_ylim(bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom))


def _argument(unit: str) -> str:
    """Label of the x axis; a unit that names its own quantity ("density / W(0)") is the label."""
    name = _AXIS_OF_UNIT.get(unit.replace("um", "px"))
    return pretty_unit(unit) if name is None else label(name, unit)


def temperature_maps(results: Results) -> Plate:
    """Temperature per particle at the beginning, middle and end of the test block."""
    factor = results.calibration.factor(length=2, time=-2)
    name = label(r"$k_\mathrm{B}T/m$", results.calibration.unit(length=2, time=-2))
    return _state_maps(results, "temperature_px2", factor, name, MAPS["temperature"])


def entropy_maps(results: Results) -> Plate:
    """Entropy per particle at the beginning, middle and end of the test block."""
    return _state_maps(results, "entropy", 1.0, r"entropy ($k_\mathrm{B}$)", MAPS["entropy"])


def _state_maps(results: Results, column: str, factor: float, name: str, cmap: str) -> Plate:
    """Three maps on one colour scale, taken from the particles that are not at the boundary."""
    results.need_temperature()
    what = column.removesuffix("_px2")
    frames = _frames_of_test_block(results)
    view = maps.View.of(results)
    tables = [results.at_frame("state", f, ["particle", "x", "y", "boundary", column]) for f in frames]
    inside = np.concatenate(
        [t.loc[~t["boundary"].astype(bool), column].to_numpy(dtype=float) for t in tables]
    )
    if inside.size == 0:
        inside = np.concatenate([t[column].to_numpy(dtype=float) for t in tables])
    norm = maps.linear_scale(factor * inside, what)
    figure = new_figure(WIDTH / 3.35 * view.aspect + 0.7)
    axes = figure.subplots(1, len(frames), squeeze=False)[0]
    for i, (ax, frame, table) in enumerate(zip(axes, frames, tables, strict=True)):
        values = factor * table[column].to_numpy(dtype=float)
        shown = maps.draw_particles(
            ax, view, table, values, cmap=cmap, norm=norm, faint=table["boundary"].to_numpy()
        )
        view.dress(ax, f"frame {frame}", names=i == 0)
        if not results.temperature_identified:
            stamp(ax, NOT_IDENTIFIED)
    maps.add_colour_bar(axes[-1], shown, name)
    zero = " Its zero is arbitrary: only differences mean something." if column == "entropy" else ""
    how = "In each frame encoded" if results.entropy == "encoder" else "Filtered"
    return Plate(
        figure,
        f"{how} {what} at the beginning, middle and end of the test block, on one colour scale.{zero} "
        "Pale particles lie near the edge of the view, where unseen neighbours push them, and do not count.",
    )


def _frames_of_test_block(results: Results) -> list[int]:
    first, stop = results.blocks["test"]
    frames = np.unique(results.table("state", ["frame"])["frame"])
    frames = frames[(frames >= first) & (frames < stop)]
    if frames.size == 0:
        raise InputError("state.parquet has no frame of the test block; run 'colloidlab fit' again.")
    return list(dict.fromkeys(int(frames[i]) for i in (0, frames.size // 2, -1)))


def temperature_and_rearrangement(results: Results) -> Plate:
    """Temperature and entropy against D2min over the test block: density of particles, median and quartiles."""
    results.need_temperature()
    state = results.table("state", ["frame", "particle", "temperature_px2", "entropy", "boundary"])
    indicators = results.table("indicators", ["frame", "particle", "d2min_px2"])
    both = held_out_pairs(state, indicators, results.blocks["test"])
    if len(both) < 50:
        raise InputError("Fewer than 50 particles of the test block have both a temperature and a D2min.")
    calibration = results.calibration
    x = both["d2min_px2"].to_numpy(dtype=float) * calibration.factor(length=2)
    heat = label(r"$k_\mathrm{B}T/m$", calibration.unit(length=2, time=-2))
    figure = new_figure(3.6)
    axes = figure.subplots(1, 2)
    for ax, column, factor, name in (
        (axes[0], "temperature_px2", calibration.factor(length=2, time=-2), heat),
        (axes[1], "entropy", 1.0, r"entropy ($k_\mathrm{B}$)"),
    ):
        y = both[column].to_numpy(dtype=float) * factor
        ax.set_xscale("log")
        _draw_density(ax, x, y)
        _draw_binned(ax, x, y)
        ax.set_title(correlation(x, y, both["frame"].to_numpy()))
        ax.set_xlabel(label(D2MIN, calibration.unit(length=2)))
        ax.set_ylabel(name)
        ax.legend(loc="upper left")
        if not results.temperature_identified:
            stamp(ax, NOT_IDENTIFIED)
    unknown = "" if results.temperature_identified else f" {sentence(NOT_IDENTIFIED + _NO_MEANING)}"
    return Plate(
        figure,
        "Do the particles that rearrange run hot? Every particle and frame of the test block away from the "
        f"boundary ({len(both)} in all): density in grey, median and quartiles in bins that hold equal "
        f"numbers; Spearman's rank correlation with a 95 % interval from blocks of {BLOCK_FRAMES} frames.{unknown}",
    )


def _draw_density(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Number of particles per cell as depth of grey; empty cells stay empty."""
    (left, right), (low, high) = np.percentile(x, (0.2, 99.8)), np.percentile(y, (0.5, 99.5))
    edges = (
        np.geomspace(left, max(right, 1.01 * left), 60),
        np.linspace(low, high if high > low else low + 1, 50),
    )
    counts, _, _ = np.histogram2d(x, y, bins=edges)
    ax.pcolormesh(
        *edges,
        np.ma.masked_equal(counts.T, 0),
        norm=PowerNorm(0.5),
        cmap=LinearSegmentedColormap.from_list("density", [(0.55, 0.57, 0.6, 0.08), (0.55, 0.57, 0.6, 1.0)]),
        rasterized=True,
    )


def _draw_binned(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Median and quartiles of y in bins of x that hold equal numbers."""
    order = np.array_split(np.argsort(x), min(12, max(3, len(x) // 30)))
    middle = np.array([np.median(x[i]) for i in order])
    quartiles = np.array([np.percentile(y[i], (25, 50, 75)) for i in order])
    spread = np.abs(quartiles[:, [0, 2]] - quartiles[:, [1]]).T
    ax.errorbar(
        middle,
        quartiles[:, 1],
        yerr=spread,
        fmt="o",
        color=ORANGE,
        markersize=4,
        label="median and quartiles",
    )
