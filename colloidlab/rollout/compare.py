"""Rollouts beside the experiment: the same estimators on both, with the localisation error added to the rollout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from colloidlab.indicators import Curve, d2min_table, msd, pair_correlation, vacf
from colloidlab.progress import SILENT, Monitor
from colloidlab.units import Calibration

_BINS = 60


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
    summary: dict[str, float]


def compare(
    experiment: pd.DataFrame,
    members: list[pd.DataFrame],
    simulated: np.ndarray,
    setting: Setting,
    monitor: Monitor = SILENT,
) -> Result:
    """Compare structure, motion and rearrangement over the same frames.

    g(r) counts every particle in the region; MSD, VACF and D2min count the simulated
    particles only. Curves of the rollout average over members. The relative error of a
    curve is the root mean square of the difference over the root mean square of the experiment.

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
    max_lag = max(1, experiment["frame"].nunique() // 2)
    offset = int(max(experiment["particle"].max(), simulated.max())) + 1
    pooled = pd.concat([m.assign(particle=m["particle"] + k * offset) for k, m in enumerate(members)])
    wanted = np.concatenate([simulated + k * offset for k in range(len(members))])
    inner = {
        "experiment": experiment[experiment["particle"].isin(simulated)],
        "rollout": pooled[pooled["particle"].isin(wanted)],
    }
    tables: list[pd.DataFrame] = []
    pairs: dict[str, list[Curve]] = {}
    for step, (series, own) in enumerate(inner.items()):
        monitor.update("compare with the experiment", step, 3)
        frames = [experiment] if series == "experiment" else members
        curves = {
            "g_r": _structure(frames, setting).calibrated(setting.calibration, x=(1, 0), y=(0, 0)),
            "msd": msd(own, max_lag=max_lag).calibrated(setting.calibration, x=(0, 1), y=(2, 0)),
            "vacf": vacf(own, max_lag=max_lag).calibrated(setting.calibration, x=(0, 1), y=(2, -2)),
        }
        for quantity, curve in curves.items():
            tables.append(curve.to_table(quantity).assign(series=series))
            pairs.setdefault(quantity, []).append(curve)
    monitor.update("compare with the experiment", 2, 3)
    summary = {f"rollout_{q}_error": relative_error(*both) for q, both in pairs.items()}
    values = [_rearrangement([experiment], simulated, setting), _rearrangement(members, simulated, setting)]
    if all(len(v) > 1 for v in values):
        summary["d2min_ks_distance"] = float(ks_2samp(*values).statistic)
        tables += [
            t.assign(series=s) for s, t in zip(inner, _densities(values, setting.calibration), strict=True)
        ]
    monitor.update("compare with the experiment", 3, 3)
    return Result(pd.concat(tables, ignore_index=True), summary)


def relative_error(experiment: Curve, rollout: Curve) -> float:
    """Root mean square of the difference over the root mean square of the experiment, on common abscissae."""
    common = np.intersect1d(experiment.x, rollout.x)
    a = experiment.y[np.searchsorted(experiment.x, common)]
    b = rollout.y[np.searchsorted(rollout.x, common)]
    good = np.isfinite(a) & np.isfinite(b)
    scale = np.sqrt(np.mean(a[good] ** 2)) if good.any() else 0.0
    return float(np.sqrt(np.mean((a - b)[good] ** 2)) / scale) if scale > 0 else float("nan")


def _structure(tables: list[pd.DataFrame], setting: Setting) -> Curve:
    groups = [group for table in tables for _, group in table.groupby("frame")]
    return pair_correlation(
        [g[["x", "y"]].to_numpy() for g in groups], r_max=setting.r_max, n_bins=80, region=setting.region
    )


def _rearrangement(tables: list[pd.DataFrame], simulated: np.ndarray, setting: Setting) -> np.ndarray:
    found = []
    for table in tables:
        if table["frame"].nunique() <= setting.lag_frames:
            continue
        rows = d2min_table(table, lag_frames=setting.lag_frames, cutoff_px=setting.cutoff_px)
        found.append(rows.loc[rows["particle"].isin(simulated), "d2min_px2"].dropna().to_numpy())
    return np.concatenate(found) if found else np.empty(0)


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
