"""Overlap with an earlier configuration, Q(τ), and how much it fluctuates as a whole, χ₄(τ)."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.displacement import choose_lags
from colloidlab.indicators.drift import Drift, remove_drift
from colloidlab.indicators.trajectories import Floats, Integers, Trajectories, trajectories

RADIUS_SPACINGS = 0.3
"""Usual radius of the overlap in distances of the first neighbours: beyond it a particle has left its cage."""

_MAX_BLOCKS = 20


@dataclass(frozen=True)
class Overlap:
    """Overlap and its dynamic susceptibility over the same lags.

    Parameters
    ----------
    q : Curve
        Q(τ); x in frames, y without unit.
    chi4 : Curve
        χ₄(τ); x in frames, y without unit. NaN at lags with a single origin.
    """

    q: Curve
    chi4: Curve


def overlap(
    tracks: pd.DataFrame,
    *,
    radius_px: float,
    max_lag: int,
    drift: Drift = "none",
    rng: np.random.Generator | None = None,
) -> Overlap:
    """Share of particles that are where they were, Q(τ), and its fluctuation χ₄(τ) = N(⟨Q²⟩ − ⟨Q⟩²).

        Q_t(τ) = (1/n_t) Σ_i [ |r_i(t + τ) − r_i(t)| ≤ a ]

    over the n_t particles seen at both times. Q(τ) is the average over all particles and origins t. χ₄ is the variance of
    Q_t over origins, times the number of particles: Q(1 − Q) where particles move independently, and
    larger by about the number that move together.

    Particles come and go: each origin counts with its own n_t, χ₄ = ⟨n_t (Q_t − Q)²⟩, so that
    independent particles give Q(1 − Q) however many there are. The variance about a mean from the same data is
    too small; the variance of that mean, from blocks of time, is added. Both are estimates that need the recording to
    be much longer than τ.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    radius_px : float
        a; 0.3 distances of neighbours is usual (`RADIUS_SPACINGS`). It should exceed the localisation error several
        times.
    max_lag : int
        Longest lag, frames. Lags without any pair are left out.
    drift : {"none", "mean", "affine"}
        Common motion to take out first; see `remove_drift`.
    rng : numpy Generator, optional
        Resampling; by default the same table always gives the same band.

    Returns
    -------
    Overlap
        Bands: 95 %, bootstrap over blocks of successive origins, each as long as the lag and at
        most 20 of them; NaN where there are fewer than two.

    Raises
    ------
    InputError
        No particle is in two frames at most `max_lag` apart, or the radius is not positive.

    References
    ----------
    Lačević, Starr, Schrøder & Glotzer, J. Chem. Phys. 119, 7372 (2003), equations 3 to 8.
    """
    if max_lag < 1 or not radius_px > 0:
        raise InputError(
            f"the overlap needs a positive radius and at least one frame, not {radius_px} and {max_lag}"
        )
    moved = remove_drift(trajectories(tracks), drift)
    lags = choose_lags(max_lag)
    close, number = overlap_per_origin(moved, lags, radius_px)
    found = np.flatnonzero(number.sum(axis=1) > 0)
    if found.size == 0:
        raise InputError(f"no particle is in two frames at most {max_lag} apart; link the features first")
    rng = rng or np.random.default_rng(0)
    rows = [_estimate(close[m], number[m], int(lags[m]), rng) for m in found]
    x = lags[found].astype(np.float64)
    values = np.array(rows)  # lag, quantity, (value, low, high)
    q, chi4 = (Curve(x, values[:, k, 0], values[:, k, 1], values[:, k, 2], "frame", "1") for k in range(2))
    return Overlap(q, chi4)


def overlap_per_origin(tracks: Trajectories, lags: Integers, radius: float) -> tuple[Floats, Floats]:
    """Particles that overlap with themselves, and particles in both frames, for each lag and origin.

    Returns
    -------
    close, number : float array, shape (n_lags, n_frames)
        One column for each frame from the first to the last of the recording.
    """
    since = tracks.frames - tracks.frames.min(initial=np.iinfo(np.int64).max)
    n_frames = int(since.max(initial=-1)) + 1
    return _count(tracks.values, since, tracks.offsets, lags, radius**2, n_frames)


def _estimate(
    close: Floats, number: Floats, lag: int, rng: np.random.Generator
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Q and χ₄ at one lag, each with its band: (value, low, high)."""
    origins = np.flatnonzero(number)
    close, number = close[origins], number[origins]
    q = close.sum() / number.sum()
    n_blocks = int(np.clip(origins.size // lag, 1, _MAX_BLOCKS))
    block = np.arange(origins.size) * n_blocks // origins.size
    # n (Q_t − Q)², about the mean of all the data: linear in the origins, so that blocks of it can be resampled.
    scatter = (close - q * number) ** 2 / number
    columns = [np.bincount(block, values) for values in (close, scatter)]
    weights = [np.bincount(block, values) for values in (number, np.ones_like(number))]
    samples = resample(np.stack(columns, axis=1), np.stack(weights, axis=1), rng)
    estimate = np.array([q, scatter.mean() if origins.size > 1 else np.nan])
    low, high = band(estimate, samples, np.full(2, n_blocks))
    lost = 0.0
    if n_blocks > 1:
        off = columns[0] - q * weights[0]
        lost = n_blocks / (n_blocks - 1) * np.sum(off**2) / number.sum() / origins.size
    shifts = (0.0, lost)
    first, second = ((estimate[k] + shifts[k], low[k] + shifts[k], high[k] + shifts[k]) for k in (0, 1))
    return first, second


@numba.njit(cache=True, nogil=True)
def _count(
    values: Floats, since: Integers, offsets: Integers, lags: Integers, reach: float, n_frames: int
) -> tuple[Floats, Floats]:
    close = np.zeros((lags.size, n_frames))
    number = np.zeros((lags.size, n_frames))
    for track in range(offsets.size - 1):
        end = offsets[track + 1]
        for m in range(lags.size):
            later = offsets[track]
            for row in range(offsets[track], end):
                wanted = since[row] + lags[m]
                while later < end and since[later] < wanted:
                    later += 1
                if later == end:
                    break
                if since[later] != wanted:
                    continue
                squared = 0.0
                for d in range(values.shape[1]):
                    squared += (values[later, d] - values[row, d]) ** 2
                number[m, since[row]] += 1
                if squared <= reach:
                    close[m, since[row]] += 1
    return close, number
