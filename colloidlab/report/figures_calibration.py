"""Figure of the short predictions: ranks of the observations, coverage of intervals, and errors beside simple guesses."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from colloidlab.errors import InputError
from colloidlab.report.results import Results
from colloidlab.report.style import BLUE, GREEN, GREY, ORANGE, PURPLE, WIDTH, Plate, draw_band, new_figure
from colloidlab.report.words import calibration_of_predictions, label, unjudged

_COVERAGE = {"coverage_50": (BLUE, 0.5), "coverage_80": (GREEN, 0.8), "coverage_95": (PURPLE, 0.95)}
_GUESSES = {
    "rms_forecast": ("mean of the ensemble", ORANGE, "-"),
    "rms_velocity": ("goes on at its velocity", BLUE, "--"),
    "rms_rest": ("stays where it is", GREY, ":"),
}


def calibration(results: Results) -> Plate:
    """Histograms of ranks at the shortest and longest horizon, coverage and rms error against the horizon."""
    table = results.table("calibration", ["quantity", "x", "y", "y_low", "y_high", "x_unit", "y_unit"])
    horizons = sorted(
        int(str(q).removeprefix("pit_")) for q in set(table["quantity"]) if str(q).startswith("pit_")
    )
    if not horizons:
        again = f"run 'colloidlab simulate {results.run.path}' again."
        raise InputError(f"calibration.parquet has no ranks of observations; {again}")
    figure = new_figure(5.8, 0.92 * WIDTH)
    (first, last), (coverage, errors) = figure.subplots(2, 2)
    ends = (horizons[0], horizons[-1])
    for ax, horizon in zip((first, last), ends, strict=True):
        _draw_ranks(ax, _part(table, f"pit_{horizon}"))
        ax.set_title(f"after {horizon} frame{'' if horizon == 1 else 's'}")
    top = max(first.get_ylim()[1], last.get_ylim()[1])
    for ax in (first, last):
        ax.set_ylim(0, top)
    for name, (colour, level) in _COVERAGE.items():
        part = _part(table, name)
        _draw_points(coverage, part, colour, f"{100 * level:.0f} % interval", "-")
        coverage.axhline(level, color=colour, linewidth=0.8, linestyle=":")
    coverage.set_ylim(0, 1.05)
    coverage.set_ylabel("share of observations inside")
    for name, (words, colour, line) in _GUESSES.items():
        _draw_points(errors, _part(table, name), colour, words, line)
    errors.set_ylim(0, None)
    errors.set_ylabel(label("rms error per axis", str(_part(table, "rms_rest")["y_unit"].iloc[0])))
    for ax in (coverage, errors):
        ax.set_xlabel(label("predicted ahead", str(_part(table, "coverage_50")["x_unit"].iloc[0])))
        ax.set_xlim(0, None)
    coverage.legend(loc="lower right")
    errors.legend(loc="upper left")
    return Plate(
        figure,
        "Predictions of single particles from several frames of the rollouts. Above: ranks of the observed positions among "
        "those predicted, flat where the spread is right, a U where predictions are too sure, a hump where they are not "
        "sure enough. Below left: share of observations inside of central intervals; dotted lines are what it should be. "
        "Below right: error of the mean beside simple guesses. Bands are 95 % intervals over the start frames. "
        + (unjudged(results) or calibration_of_predictions(results)),
    )


def _part(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    return table[table["quantity"] == quantity].sort_values("x")


def _draw_ranks(ax: Axes, part: pd.DataFrame) -> None:
    x, y = part["x"].to_numpy(dtype=float), part["y"].to_numpy(dtype=float)
    width = 1 / len(x)
    ax.bar(x, y, width=0.94 * width, color=ORANGE, alpha=0.55)
    low, high = (part[c].to_numpy(dtype=float) for c in ("y_low", "y_high"))
    ax.vlines(x, low, high, color=ORANGE, linewidth=1.2)
    ax.axhline(1, color=GREY, linewidth=0.8)
    ax.set_xlim(0, 1)
    ax.set_xlabel("rank of the observation among predictions")
    ax.set_ylabel("density")


def _draw_points(ax: Axes, part: pd.DataFrame, colour: str, name: str, line: str) -> None:
    draw_band(ax, part, colour=colour, label=name, line=line)
    ax.plot(part["x"], part["y"], "o", color=colour, markersize=3.5)
