"""Figures of structure, rearrangement and motion: maps of D2min, strain and psi6; g(r), MSD, VACF."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from colloidlab.errors import InputError
from colloidlab.report import maps
from colloidlab.report.results import Results
from colloidlab.report.style import (
    BLUE,
    GREEN,
    GREY,
    MAPS,
    ORANGE,
    WIDTH,
    Plate,
    draw_band,
    make_log,
    new_figure,
)
from colloidlab.report.words import label

D2MIN = r"$D^2_\mathrm{min}$"
PSI6 = r"$|\psi_6|$"
CURVES = {
    "g_r": ("distance", "g(r)"),
    "msd": ("lag", "mean squared displacement"),
    "vacf": ("lag", "velocity autocorrelation"),
    "alpha2": ("lag", r"non-Gaussian parameter $\alpha_2$"),
    "f_s": ("lag", r"self-scattering $F_s(q)$"),
    "van_hove": ("displacement along an axis", r"van Hove $G_s$"),
    "d2min": (D2MIN, "probability density"),
    "s_q": ("wave number", "structure factor S(q)"),
    "cage_msd": ("lag", "relative to neighbours"),
    "overlap": ("lag", "overlap Q"),
    "chi4": ("lag", r"$\chi_4$"),
    "van_hove_distinct": ("distance", r"van Hove $G_d/\rho$"),
}
"""Name of x and y of each curve."""


COLUMNS = ("quantity", "x", "y", "y_low", "y_high", "x_unit", "y_unit")
"""Of curves.parquet."""


def busiest_frame(results: Results) -> int:
    """Frame with the largest mean D2min, among those in which most particles have one."""
    groups = results.table("indicators", ["frame", "d2min_px2"]).groupby("frame")["d2min_px2"]
    known = groups.agg(["mean", "count"])
    known = known[known["count"] > 0]
    if known.empty:
        raise InputError("No particle had enough neighbours in two frames for a local strain.")
    # A nearly empty frame (damaged, or at the end of a gap) must not win with a handful of outliers.
    means = known.loc[known["count"] >= 0.5 * known["count"].median(), "mean"]
    return int(means.index.to_numpy()[means.to_numpy().argmax()])


def rearrangement(results: Results) -> Plate:
    """Maps of D2min and of the local shear strain at the frame with the largest mean D2min."""
    frame = busiest_frame(results)
    view = maps.View.of(results)
    calibration = results.calibration
    table = results.at_frame("indicators", frame, ["particle", "d2min_px2", "strain_xy"])
    d2min = table["d2min_px2"].to_numpy(dtype=float) * calibration.factor(length=2)
    strain = table["strain_xy"].to_numpy(dtype=float)
    figure = new_figure(0.42 * WIDTH * view.aspect + 0.8)
    left, right = figure.subplots(1, 2)
    shown = maps.draw_particles(
        left, view, table, d2min, cmap=MAPS["d2min"], norm=maps.log_scale(d2min, "D2min")
    )
    maps.add_colour_bar(left, shown, label(D2MIN, calibration.unit(length=2)))
    shown = maps.draw_particles(
        right, view, table, strain, cmap=MAPS["strain"], norm=maps.signed_scale(strain, "local strain")
    )
    maps.add_colour_bar(right, shown, "local shear strain, xy")
    view.dress(left, f"frame {frame}")
    view.dress(right, f"frame {frame}")
    right.set_ylabel("")
    lag, fixed = (results.summary.get(f"d2min_{key}") for key in ("lag_frames", "reference_frame"))
    since = (
        f" since frame {fixed}"
        if fixed is not None
        else ""
        if lag is None
        else " since the frame before"
        if lag == 1
        else f" over the {lag:.0f} frames before"
    )
    return Plate(
        figure,
        f"Frame {frame}, where the mean non-affine displacement is largest. Left: squared displacement that "
        f"no local strain explains{since}; logarithmic colours. Right: local shear strain over the same "
        "lag. Hollow circles had too few neighbours.",
    )


def hexatic_order(results: Results) -> Plate:
    """Map of the modulus of psi6 (psi_n), and it and D2min averaged over particles against time."""
    view = maps.View.of(results)
    calibration = results.calibration
    fold = int(results.summary.get("psi_fold", 6))
    column, symbol = f"psi{fold}", rf"$|\psi_{{{fold}}}|$"
    indicators = results.table("indicators", ["frame", column, "d2min_px2"])
    means = indicators.groupby("frame")[[column, "d2min_px2"]].mean()
    known = means.dropna(subset=[column])
    if known.empty:
        raise InputError(f"No particle has a known {column}: too few neighbours around each.")
    # The frame of the other maps; a recording too short for D2min still has its order.
    frame = busiest_frame(results) if known["d2min_px2"].notna().any() else int(known.index.to_numpy()[0])
    table = results.at_frame("indicators", frame, ["particle", column])
    order = table[column].to_numpy(dtype=float)
    figure = new_figure(0.42 * WIDTH * view.aspect + 0.8)
    grid = figure.add_gridspec(2, 2, width_ratios=[1.15, 1])
    left = figure.add_subplot(grid[:, 0])
    shown = maps.draw_particles(left, view, table, order, cmap=MAPS["psi6"], norm=Normalize(0, 1))
    maps.add_colour_bar(left, shown, symbol)
    view.dress(left, f"frame {frame}")
    above = figure.add_subplot(grid[0, 1])
    _time_series(above, means[column], frame, f"mean {symbol}", GREEN)
    above.tick_params(labelbottom=False)
    below = figure.add_subplot(grid[1, 1], sharex=above)
    name = label(f"mean {D2MIN}", calibration.unit(length=2))
    _time_series(below, means["d2min_px2"] * calibration.factor(length=2), frame, name, BLUE)
    below.set_xlabel("frame")
    return Plate(
        figure,
        f"Left: {_order(fold)}; particles at the edge of the packing are hollow. Right: averages over particles, frame by "
        "frame; the dashed line marks the frame of the maps.",
    )


def _order(fold: int) -> str:
    if fold == 6:
        return "hexatic order, 1 for a perfect triangular neighbourhood"
    return f"bond order of {fold} folds, 1 for a perfect neighbourhood of that symmetry"


def _time_series(ax: Axes, means: pd.Series, frame: int, name: str, colour: str) -> None:
    ax.plot(means.index, means, color=colour, linewidth=1.1)
    ax.axvline(frame, color=GREY, linestyle="--", linewidth=1)
    ax.set_ylabel(name)


_NAMES = {"g_r": "g(r)", "s_q": "S(q)", "msd": "MSD", "vacf": "VACF"}


def curves(results: Results) -> Plate:
    """g(r), S(q), MSD and VACF with their bands."""
    results.need_quantity(*_NAMES)
    table = results.table("curves", COLUMNS)
    present = [name for name in _NAMES if (table["quantity"] == name).any()]
    if not present:
        raise InputError(
            "None of g(r), S(q), MSD and VACF was computed: too few particles, or too few frames."
        )
    figure = new_figure(2.9, WIDTH * max(len(present), 2) / len(_NAMES))
    said = ""
    for ax, name in zip(figure.subplots(1, len(present), squeeze=False)[0], present, strict=True):
        curve = table[table["quantity"] == name]
        draw_band(ax, curve, colour=BLUE)
        dress_curve(ax, name, curve)
        if name == "msd":
            _draw_slopes(ax, curve)
            said += _draw_cages(ax, table) + _draw_noise_floor(ax, results)
    missing = [spoken for name, spoken in _NAMES.items() if name not in present]
    absent = f" {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there." if missing else ""
    return Plate(
        figure,
        "Pair correlation, structure factor, mean squared displacement and velocity autocorrelation; bands are 95 % "
        "block-bootstrap intervals. Grey lines beside the MSD have the slopes of ballistic (2) and of "
        f"diffusive (1) motion.{said}{absent}",
    )


def _draw_cages(ax: Axes, table: pd.DataFrame) -> str:
    """The MSD relative to the neighbours, where it is there; gives its sentence."""
    curve = table[table["quantity"] == "cage_msd"]
    if curve.empty:
        return ""
    draw_band(ax, curve, colour=GREEN)
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.7 * float(curve["y"][curve["y"] > 0].min())), high)
    return " Green: the same relative to each particle's neighbours."


def dress_curve(ax: Axes, name: str, curve: pd.DataFrame) -> None:
    """Labels, units, scales and reference line of one curve of the long-form tables."""
    x_name, y_name = CURVES[name] if name in CURVES else CURVES["van_hove"]
    ax.set_xlabel(label(x_name, str(curve["x_unit"].iloc[0])))
    ax.set_ylabel(label(y_name, str(curve["y_unit"].iloc[0])))
    if name in {"g_r", "s_q", "van_hove_distinct"}:
        ax.axhline(1, color=GREY, linewidth=0.8)
        ax.set_ylim(0, None)
        ax.set_xlim(0, None)
    elif name in {"vacf", "alpha2", "f_s", "overlap", "chi4"}:
        ax.axhline(0, color=GREY, linewidth=0.8)
    elif name == "msd":
        make_log(ax, curve, decades=6)
    elif name == "d2min":
        make_log(ax, curve, decades=4)
    elif name.startswith("van_hove"):
        # Only the vertical axis: displacements have both signs.
        top = float(curve["y"].max())
        ax.set_yscale("log", nonpositive="clip")
        ax.set_ylim(top / 1e4, 2 * top)


def _draw_slopes(ax: Axes, curve: pd.DataFrame) -> None:
    """Lines of slope 2 and 1 above the beginning and the end of the MSD."""
    curve = curve[(curve["x"] > 0) & (curve["y"] > 0)].sort_values("x")
    if curve.empty:
        return
    x = curve["x"].to_numpy(dtype=float)
    y = 1.8 * curve["y"].to_numpy(dtype=float)
    third = max(2, len(x) // 3)
    for slope, reach, anchor in ((2, x[:third], 0), (1, x[-2 * third :], -1)):
        guide = y[anchor] * (reach / x[anchor]) ** slope
        ax.plot(reach, guide, color=GREY, linewidth=0.9)
        ax.annotate(f"slope {slope}", (reach[-1], guide[-1]), color=GREY, ha="right", va="bottom")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, 4 * top)


def _draw_noise_floor(ax: Axes, results: Results) -> str:
    """Line at 2 D sigma^2, what localisation error adds to an MSD in D dimensions; gives its sentence."""
    # The error that the motion itself tells is one only where the motion is free diffusion.
    told = results.summary.get("localisation_error_px") if results.summary.get("diffusion_free") else None
    sigma = told or results.summary.get("sigma_px")
    if not sigma:
        return ""
    axes = 3 if "z" in results.table("tracks", ["x"]) else 2
    floor = 2 * axes * float(sigma) ** 2 * results.calibration.factor(length=2)
    ax.axhline(floor, color=ORANGE, linestyle=":", linewidth=1)
    bottom, top = ax.get_ylim()
    ax.set_ylim(min(bottom, 0.7 * floor), top)
    return f" The dotted line is what localisation error alone would give ({2 * axes}σ²)."
