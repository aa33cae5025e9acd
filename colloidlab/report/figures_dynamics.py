"""Figures of the indicators' curves: how particles leave their places, and how unequally."""

from __future__ import annotations

import re

import pandas as pd
from matplotlib.axes import Axes

from colloidlab.errors import InputError
from colloidlab.report.figures_structure import COLUMNS, dress_curve
from colloidlab.report.results import Results
from colloidlab.report.style import BLUE, GREY, ORANGE, WIDTH, Plate, draw_band, make_log_x, new_figure
from colloidlab.report.words import number, pretty_unit

_RELAXATION = ("alpha2", "f_s", "overlap", "chi4")
_HEIGHT = 2.9


def relaxation(results: Results) -> Plate:
    """alpha2, F_s, overlap and chi4 against the lag."""
    results.need_quantity("alpha2", "f_s", "overlap")
    table = results.table("curves", COLUMNS)
    present = [name for name in _RELAXATION if (table["quantity"] == name).any()]
    if not present:
        raise InputError(
            "None of alpha2, F_s, overlap and chi4 was computed: too few particles, or too few frames."
        )
    figure = new_figure(_HEIGHT, WIDTH * max(len(present), 2) / len(_RELAXATION))
    for ax, name in zip(figure.subplots(1, len(present), squeeze=False)[0], present, strict=True):
        curve = table[table["quantity"] == name]
        draw_band(ax, curve, colour=BLUE)
        dress_curve(ax, name, curve)
        make_log_x(ax, curve["x"])
    q = _chosen(results, "indicator_q_per_px", "at wave number", -1)
    radius = _chosen(results, "overlap_radius_px", "within", 1)
    return Plate(
        figure,
        "How particles leave their places. The non-Gaussian parameter is zero where all move alike; the self-scattering "
        f"function{q} and the overlap (share of particles that are{radius} of where they were) fall as places are left; "
        "χ₄ is large where many leave together. Bands are 95 % block-bootstrap intervals.",
    )


def _chosen(results: Results, key: str, words: str, power: int) -> str:
    """A length (power 1) or wave number (-1) of the summary in words and units; empty where it is not there."""
    value = results.summary.get(key)
    if value is None:
        return ""
    calibration = results.calibration
    unit = pretty_unit(calibration.unit(length=power))
    unit = unit.removeprefix("1") if power < 0 else f" {unit}"
    return f" {words} {number(float(value) * calibration.factor(length=power))}{unit}"


def displacements(results: Results) -> Plate:
    """Self and distinct van Hove functions."""
    results.need_quantity("van_hove")
    table = results.table("curves", COLUMNS)
    lags = _lags(table, "van_hove")
    if not lags:
        raise InputError(
            "No distribution of displacements was computed: no particle is seen to move, or it was not asked for."
        )
    distinct = _lags(table, "van_hove_distinct")
    n_panels = len(lags) + bool(distinct)
    figure = new_figure(_HEIGHT, WIDTH * max(n_panels, 2) / 4)
    axes = figure.subplots(1, n_panels, squeeze=False)[0]
    for i, (ax, lag) in enumerate(zip(axes, lags, strict=False)):
        curve = table[table["quantity"] == f"van_hove_{lag}"]
        gaussian = table[table["quantity"] == f"van_hove_{lag}_gaussian"].sort_values("x")
        ax.plot(gaussian["x"], gaussian["y"], color=GREY, linewidth=1, label="Gaussian")
        draw_band(ax, curve, colour=BLUE, label="measured")
        dress_curve(ax, "van_hove", curve)
        ax.set_title(f"after {_frames(lag)}")
        if i == 0:
            ax.legend(loc="lower center", fontsize=7.5)
        else:
            ax.set_ylabel("")
    if distinct:
        _draw_distinct(axes[-1], table, distinct)
    return Plate(
        figure,
        "Distribution of displacements along the axes, beside the Gaussian of the same variance: wings above it are "
        "particles that move farther than most."
        + (
            " Right: places of other particles around where a particle was, relative to their mean density; the hole "
            "at zero fills as others take its place."
            if distinct
            else ""
        ),
    )


def _draw_distinct(ax: Axes, table: pd.DataFrame, lags: list[int]) -> None:
    for lag, colour in zip(lags, (BLUE, ORANGE, GREY), strict=False):
        curve = table[table["quantity"] == f"van_hove_distinct_{lag}"]
        draw_band(ax, curve, colour=colour, label=f"after {_frames(lag)}")
        dress_curve(ax, "van_hove_distinct", curve)
    ax.legend(fontsize=7.5)


def _lags(table: pd.DataFrame, name: str) -> list[int]:
    """Lags in frames for which a family of curves is there."""
    found = (re.fullmatch(rf"{name}_(\d+)", str(quantity)) for quantity in table["quantity"].unique())
    return sorted(int(match[1]) for match in found if match)


def _frames(n: int) -> str:
    return f"{n} frame" if n == 1 else f"{n} frames"
