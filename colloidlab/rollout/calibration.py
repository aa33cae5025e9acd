"""Are predictions as sure as they should be? Ranks of the observations in their ensembles, coverage, and skill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.indicators.bootstrap import band, resample
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.trajectories import Floats, Integers
from colloidlab.rollout.forecast import Forecasts
from colloidlab.units import Calibration

LEVELS = (50, 80, 95)
"""Central intervals of which the coverage is stated, per cent."""

PIT_BINS = 10


@dataclass(frozen=True)
class Judgement:
    """Curves in long form as in `calibration.parquet`, and entries of `summary.json`."""

    curves: pd.DataFrame
    summary: dict[str, float]


NOTHING = Judgement(Curve(*(np.zeros(0),) * 4, x_unit="", y_unit="").to_table(""), {})
"""Where no prediction was made."""


def pit(predicted: Floats, observed: Floats, rng: np.random.Generator) -> Floats:
    """Probability integral transform of observations in their ensembles: uniform between 0 and 1 for a true law.

    With n_less of M members below the observation and n_equal at it, (n_less + u (n_equal + 1))/(M + 1) with u uniform.
    Where observation and members have one law this is exactly uniform for every M, and so is the coverage that follows
    from it. Where they have not, few members blur what happens in the wings: with nine of them everything beyond the
    outermost member falls into a rank of ten per cent, of which three quarters count as inside of a 95 % interval.

    Parameters
    ----------
    predicted : float array, shape (members, ...)
    observed : float array, shape (...)

    References
    ----------
    Gneiting, Balabdaoui & Raftery, J. R. Stat. Soc. B 69, 243 (2007); Czado, Gneiting & Held, Biometrics 65, 1254 (2009).

    Examples
    --------
    >>> 0.5 < pit(np.array([1.0, 2, 3]), np.array(2.5), np.random.default_rng(0)) < 0.75
    np.True_
    """
    less = np.sum(predicted < observed, axis=0)
    equal = np.sum(predicted == observed, axis=0)
    return np.asarray((less + rng.random(np.shape(observed)) * (equal + 1)) / (len(predicted) + 1))


def judge_forecasts(forecasts: Forecasts, calibration: Calibration, *, seed: int = 0) -> Judgement:
    """PIT histograms, coverage and rms errors at every horizon, with 95 % intervals over the start frames.

    Every axis of every particle counts. The ensemble's mean is compared with staying at the filtered position and with
    going on at the filtered velocity; what the mean of few members adds to its own error is taken out, and the error of the
    observation stays in.

    Parameters
    ----------
    forecasts : Forecasts
    calibration : Calibration
    seed : int
        Of the ranks.
    """
    values = pit(forecasts.predicted, forecasts.observed, np.random.default_rng(seed))
    members, observed = len(forecasts.predicted), forecasts.observed
    scatter = forecasts.predicted.var(axis=0, ddof=1) / members if members > 1 else 0.0
    squares = {
        "rms_forecast": (forecasts.predicted.mean(axis=0) - observed) ** 2 - scatter,
        "rms_rest": (forecasts.rest - observed) ** 2,
        "rms_velocity": (forecasts.straight - observed) ** 2,
    }
    horizons = np.unique(forecasts.horizon)
    tables: list[pd.DataFrame] = []
    summary: dict[str, float] = {}
    points: dict[str, list[tuple[float, float, float]]] = {}
    for horizon in horizons:
        mine = forecasts.horizon == horizon
        block = np.unique(forecasts.start[mine], return_inverse=True)[1]
        tables.append(_histogram(values[mine], block).to_table(f"pit_{horizon}"))
        for level in LEVELS:
            inside = np.abs(values[mine] - 0.5) <= level / 200
            points.setdefault(f"coverage_{level}", []).append(_mean(inside.astype(np.float64), block))
        for name, square in squares.items():
            rms = np.sqrt(np.maximum(_mean(square[mine], block), 0.0))
            points.setdefault(name, []).append((rms[0], rms[1], rms[2]))
    for name, found in points.items():
        length = 1 if name.startswith("rms") else 0
        y, low, high = np.array(found).T
        curve = Curve(horizons.astype(np.float64), y, low, high, "frame", "px" if length else "1")
        tables.append(curve.calibrated(calibration, x=(0, 1), y=(length, 0)).to_table(name))
    summary["forecast_frames"] = int(horizons[-1])
    for when, k in (("first", 0), ("last", -1)):
        for level in LEVELS:
            for end, value in zip(("", "_low", "_high"), points[f"coverage_{level}"][k], strict=True):
                summary[f"coverage_{level}_{when}{end}"] = float(value)
    for name, found in points.items():
        if name.startswith("rms"):
            whose = name.removeprefix("rms_").replace("forecast", "mean")
            summary[f"forecast_{whose}_rms_px"] = float(found[-1][0])
    return Judgement(pd.concat(tables, ignore_index=True), summary)


def _mean(values: Floats, block: Integers) -> tuple[float, float, float]:
    """Mean over all rows and axes with its interval."""
    found = _averages(values.sum(axis=1)[:, None], block, values.shape[1])
    return float(found[0][0]), float(found[1][0]), float(found[2][0])


def _histogram(values: Floats, block: Integers) -> Curve:
    """Density of the PIT values, 1 where predictions are calibrated."""
    place = np.minimum((values * PIT_BINS).astype(np.int64), PIT_BINS - 1)
    hits = (place[:, :, None] == np.arange(PIT_BINS)).sum(axis=1) * float(PIT_BINS)
    y, low, high = _averages(hits, block, values.shape[1])
    return Curve((np.arange(PIT_BINS) + 0.5) / PIT_BINS, y, low, high, "1", "1")


def _averages(values: Floats, block: Integers, dim: int) -> tuple[Floats, Floats, Floats]:
    """Averages of the columns over rows and axes, shape (n,) each, with intervals over blocks of rows."""
    n_blocks = int(block.max()) + 1
    sums = np.stack([np.bincount(block, column, n_blocks).astype(np.float64) for column in values.T], axis=1)
    numbers = dim * np.bincount(block, minlength=n_blocks).astype(np.float64)
    counts = np.repeat(numbers[:, None], values.shape[1], axis=1)
    y = sums.sum(axis=0) / counts.sum(axis=0)
    low, high = band(y, resample(sums, counts, np.random.default_rng(0)), np.full(y.size, n_blocks))
    return y, low, high
