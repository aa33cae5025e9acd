"""How often events come, with bands that hold where they come in bursts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import chi2

from colloidlab.indicators.bootstrap import LEVEL, band, resample
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.trajectories import Floats

_LEAST_BIN_FRAMES = 10
_LEAST_BINS = 4
"""Fewer do not show whether events come in bursts."""


def mean_rate(rate: pd.DataFrame, *, persistence_frames: int) -> tuple[float, float, float]:
    """Events a particle and frame in the whole recording, and its 95 % band: block bootstrap over the bins of `rate_curve`.

    Parameters
    ----------
    rate : DataFrame
        From `t1_rate`.
    persistence_frames : int

    Returns
    -------
    rate, low, high : float
        The band is NaN for a recording of one bin, and nowhere narrower than that of independent events.
    """
    _, events, seen = _bins(rate, persistence_frames)
    y = np.array([events.sum() / max(seen.sum(), 1.0)])
    samples = resample(events[:, None], seen[:, None], np.random.default_rng(0))
    low, high = band(y, samples, np.array([events.size]))
    least, most = _poisson(events.sum(keepdims=True), 1.0) / max(seen.sum(), 1.0)
    if not np.isfinite(low[0]):
        return float(y[0]), float("nan"), float("nan")
    return float(y[0]), float(min(max(low[0], 0.0), least[0])), float(max(high[0], most[0]))


def rate_curve(rate: pd.DataFrame, *, persistence_frames: int) -> Curve:
    """Events a particle and frame against time, in bins of the persistence (at least 10 frames).

    A bin holds too few events for a bootstrap of its own: none at all would have no scatter. What one bin cannot show,
    how many events come at a time, all of them together do: F = Σ (n_k+1 − n_k)² / Σ (n_k+1 + n_k) over successive bins,
    which a slow change of the rate does not raise. It is 1 for independent events, and g where they come by g. The band
    is that of a Poisson number of n/F bursts (Garwood 1936), times F; F is taken to be 1 at least, and where there are
    fewer than four bins.

    Parameters
    ----------
    rate : DataFrame
        From `t1_rate`.
    persistence_frames : int

    Returns
    -------
    Curve
        x in frames, the mean of each bin; y in 1/frame. Band: 95 %.

    References
    ----------
    Garwood, Biometrika 28, 437 (1936); overdispersion: McCullagh & Nelder, Generalized Linear Models (2nd ed.,
    1989); its estimate from differences: von Neumann, Ann. Math. Stat. 12, 367 (1941).
    """
    middle, events, seen = _bins(rate, persistence_frames)
    low, high = _poisson(events, _burst(events)) / seen
    return Curve(middle, events / seen, low, high, "frame", "1/frame")


def _bins(rate: pd.DataFrame, persistence: int) -> tuple[Floats, Floats, Floats]:
    """Mean frame, events, and particles times frames of each bin."""
    number = (rate["frame"] - rate["frame"].iloc[0]) // max(persistence, _LEAST_BIN_FRAMES)
    groups = rate.groupby(number)
    middle = groups["frame"].mean().to_numpy(dtype=np.float64)
    sums = groups[["n_events", "n_particles"]].sum().to_numpy(dtype=np.float64)
    return middle, sums[:, 0], np.maximum(sums[:, 1], 1.0)


def _burst(events: Floats) -> float:
    """F, how many events come at a time."""
    together = float((events[1:] + events[:-1]).sum())
    if events.size < _LEAST_BINS or together == 0:
        return 1.0
    return max(1.0, float((np.diff(events) ** 2).sum()) / together)


def _poisson(events: Floats, burst: float) -> Floats:
    """95 % limits of the number of events expected, shape (2, n)."""
    tail, n = (1 - LEVEL) / 2, events / burst
    low = np.where(n > 0, chi2.ppf(tail, 2 * np.maximum(n, 1e-9)), 0.0)
    return 0.5 * burst * np.array([low, chi2.ppf(1 - tail, 2 * n + 2)])
