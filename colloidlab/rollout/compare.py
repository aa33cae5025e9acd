"""Rollouts beside the experiment: the same estimators on both, with the localisation error added to the rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from colloidlab.indicators import (
    Curve,
    first_peak,
    msd,
    non_gaussian,
    pair_correlation,
    self_scattering,
    vacf,
    van_hove,
)
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout import comparison_curves
from colloidlab.rollout.comparison_curves import BINS_OF_G, Blocking
from colloidlab.rollout.comparison_errors import (
    Blocks,
    floor_of_blocks,
    largest_difference,
    measure_error,
    relative_rmse,
)
from colloidlab.units import Calibration

_BINS = 60
_SHELL = 1.5
"""First minimum of g(r) over the spacing, where g(r) shows no first peak."""

UNITS = {
    "g_r": ((1, 0), (0, 0)),
    "msd": ((0, 1), (2, 0)),
    "vacf": ((0, 1), (2, -2)),
    "alpha2": ((0, 1), (0, 0)),
    "f_s": ((0, 1), (0, 0)),
    "van_hove": ((1, 0), (-1, 0)),
}
"""Powers (length, time) of x and y of every curve."""


@dataclass(frozen=True)
class Setting:
    """What is compared and how.

    Attributes
    ----------
    region : ((x, y), (x, y)), px
        Rectangle for g(r): two cutoffs inside the view.
    r_max, cutoff_px : float, px
        Range of g(r); neighbours of D2min.
    lag_frames : int
        Lag of D2min.
    calibration : Calibration
    """

    region: tuple[tuple[float, float], tuple[float, float]]
    r_max: float
    cutoff_px: float
    lag_frames: int
    calibration: Calibration


@dataclass(frozen=True)
class Result:
    """Curves in long form with the column `series`, and headline errors."""

    curves: pd.DataFrame
    summary: dict[str, Any]


@dataclass(frozen=True)
class _Series:
    """Tables of one series, and of the simulated particles alone; `pooled` gives every member particles of its own."""

    name: str
    frames: list[pd.DataFrame]
    own: list[pd.DataFrame]
    pooled: pd.DataFrame


def compare(
    experiment: pd.DataFrame,
    members: list[pd.DataFrame],
    simulated: np.ndarray,
    setting: Setting,
    monitor: Monitor = SILENT,
) -> Result:
    """Compare structure, motion and rearrangement over the same frames.

    g(r) counts every particle in the region; everything else counts the simulated particles only. Curves of the
    rollout average over members. The error of a curve is the root mean square of the difference over the root mean
    square of the experiment, that of D2min the distance of Kolmogorov and Smirnov; each comes with the 95 % scatter
    over blocks of time and members, and with what two halves of the experiment give (`comparison_errors`).

    F_s is taken at q = 2 pi over the distance of the first peak of g(r), the van Hove function at the shortest, a middle
    and the longest lag, of which the longest gives the error.

    Parameters
    ----------
    experiment : DataFrame
        Tracks (frame, particle, x, y, radius_px) over the rollout's frames.
    members : list of DataFrame
        The same for each member; positions carry a localisation error like the experiment's.
    simulated : int array
        Identities of the simulated particles.
    setting : Setting
    """
    first, last = int(experiment["frame"].min()), int(experiment["frame"].max())
    blocking = Blocking(first, last - first + 1)
    both = [_series("experiment", [experiment], simulated), _series("rollout", members, simulated)]
    max_lag = max(1, experiment["frame"].nunique() // 2)
    tables: list[pd.DataFrame] = []
    blocks: list[dict[str, Blocks]] = []
    q, edges = 0.0, {}
    for step, series in enumerate(both):
        monitor.update("compare with the experiment", step, 4)
        g = _structure(series.frames, setting)
        if series.name == "experiment":
            q = 2 * np.pi / (first_peak(g) or setting.cutoff_px / _SHELL)
            edges = {lag: _edges(series.pooled, lag) for lag in _lags_of_van_hove(max_lag)}
        curves = {"g_r": g, **_motion(series.pooled, max_lag, q)}
        for lag, bins in edges.items():
            found = van_hove(series.pooled, lag=lag, edges=bins)
            curves[f"van_hove_{lag}"] = found.curve
            if series.name == "experiment":
                tables.append(_table(f"van_hove_{lag}", found.gaussian, "gaussian", setting.calibration))
        tables += [_table(name, curve, series.name, setting.calibration) for name, curve in curves.items()]
        longest = max(edges)
        blocks.append(
            {
                "g_r": comparison_curves.structure(series.frames, setting.region, setting.r_max, blocking),
                **comparison_curves.motion(series.own, max_lag, q, blocking),
                "van_hove": comparison_curves.displacements(series.own, longest, edges[longest], blocking),
            }
        )
    monitor.update("compare with the experiment", 2, 4)
    summary: dict[str, Any] = {"scattering_q_per_px": float(q)}
    for name in blocks[0]:
        error = measure_error(blocks[0][name], blocks[1][name], relative_rmse)
        keys = "error", "error_low", "error_high", "floor"
        summary |= {f"rollout_{name}_{k}": v for k, v in zip(keys, vars(error).values(), strict=True)}
    monitor.update("compare with the experiment", 3, 4)
    found_tables, found_summary = _rearrangement(both, simulated, setting, blocking)
    monitor.update("compare with the experiment", 4, 4)
    return Result(pd.concat([*tables, *found_tables], ignore_index=True), summary | found_summary)


def _series(name: str, tables: list[pd.DataFrame], simulated: np.ndarray) -> _Series:
    own = [table[table["particle"].isin(simulated)] for table in tables]
    offset = int(simulated.max()) + 1
    pooled = pd.concat([t.assign(particle=t["particle"] + k * offset) for k, t in enumerate(own)])
    return _Series(name, tables, own, pooled)


def _structure(tables: list[pd.DataFrame], setting: Setting) -> Curve:
    groups = [group for table in tables for _, group in table.groupby("frame")]
    return pair_correlation(
        [g[["x", "y"]].to_numpy() for g in groups],
        r_max=setting.r_max,
        n_bins=BINS_OF_G,
        region=setting.region,
    )


def _motion(pooled: pd.DataFrame, max_lag: int, q: float) -> dict[str, Curve]:
    return {
        "msd": msd(pooled, max_lag=max_lag),
        "vacf": vacf(pooled, max_lag=max_lag),
        "alpha2": non_gaussian(pooled, max_lag=max_lag),
        "f_s": self_scattering(pooled, q=q, max_lag=max_lag),
    }


def _lags_of_van_hove(max_lag: int) -> list[int]:
    return sorted({1, round(np.sqrt(max_lag)), max_lag})


def _edges(tracks: pd.DataFrame, lag: int) -> np.ndarray:
    """Bins that suit the experiment, for both series."""
    x = van_hove(tracks, lag=lag).curve.x
    half = 0.5 * (x[1] - x[0])
    return np.append(x - half, x[-1] + half)


def _table(name: str, curve: Curve, series: str, calibration: Calibration) -> pd.DataFrame:
    x, y = UNITS["van_hove" if name.startswith("van_hove") else name]
    return curve.calibrated(calibration, x=x, y=y).to_table(name).assign(series=series)


def _rearrangement(
    both: list[_Series], simulated: np.ndarray, setting: Setting, blocking: Blocking
) -> tuple[list[pd.DataFrame], dict[str, Any]]:
    """Density and distance of the distributions of D2min; nothing where there are fewer than two values."""
    lag, cutoff = setting.lag_frames, setting.cutoff_px
    rows = [
        [comparison_curves.rearrangement(t, simulated, lag, cutoff) for t in series.frames] for series in both
    ]
    values = [np.concatenate([t["d2min_px2"].to_numpy() for t in tables]) for tables in rows]
    if any(len(v) < 2 for v in values):
        return [], {}
    grid = comparison_curves.common_grid(np.concatenate(values))
    experiment, rollout = (comparison_curves.distribution(tables, grid, blocking) for tables in rows)
    error = measure_error(experiment, rollout, largest_difference)
    floor = floor_of_blocks(experiment, largest_difference)
    summary: dict[str, Any] = {
        "d2min_ks_distance": error.value,
        "d2min_ks_distance_low": error.low,
        "d2min_ks_distance_high": error.high,
        "d2min_ks_floor": floor,
        "d2min_ks_floor_halves": error.floor,
    }
    if np.isfinite(floor):
        summary["d2min_ks_holds"] = bool(error.value <= floor)
    names = [series.name for series in both]
    densities = zip(_densities(values, setting.calibration), names, strict=True)
    return [table.assign(series=name) for table, name in densities], summary


def _densities(values: list[np.ndarray], calibration: Calibration) -> list[pd.DataFrame]:
    """Probability density of ln D2min, on common bins."""
    factor, unit = calibration.factor(2), calibration.unit(2)
    positive = [np.log(v[v > 0] * factor) for v in values]
    both = np.concatenate(positive)
    low, high = np.percentile(both, [0.1, 99.9])
    edges = np.linspace(low, high, _BINS + 1)
    nothing = np.full(_BINS, np.nan)
    tables = []
    for logs in positive:
        density = np.histogram(logs, edges)[0] / len(logs) / np.diff(edges)
        curve = Curve(
            np.exp(0.5 * (edges[1:] + edges[:-1])), density, nothing, nothing, unit, "density of ln D2min"
        )
        tables.append(curve.to_table("d2min"))
    return tables
