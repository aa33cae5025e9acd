"""Mean squared displacement and velocity autocorrelation, over all origins in time."""

from __future__ import annotations

import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample, row_groups
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.drift import Drift, remove_drift
from colloidlab.indicators.trajectories import Floats, Integers, Trajectories, successive_rows, trajectories

_DENSE_LAGS = 32
_LAGS_PER_OCTAVE = 12


def choose_lags(max_lag: int) -> Integers:
    """Lags in frames: every one up to 32, then twelve an octave.

    >>> choose_lags(5)
    array([1, 2, 3, 4, 5])
    """
    dense = np.arange(1, min(max_lag, _DENSE_LAGS) + 1)
    n = 1 + int(np.ceil(_LAGS_PER_OCTAVE * np.log2(max(max_lag / _DENSE_LAGS, 1))))
    sparse = np.round(np.geomspace(dense[-1], max_lag, n))
    return np.unique(np.concatenate([dense, sparse.astype(np.int64)]))


def msd(
    tracks: pd.DataFrame, *, max_lag: int, drift: Drift = "none", rng: np.random.Generator | None = None
) -> Curve:
    """Mean squared displacement ⟨|r(t + τ) − r(t)|²⟩ over all particles and all origins t.

    Every pair of positions of a particle that are τ apart counts once (overlapping
    origins), whatever is missing in between, so gaps neither bias nor end a track.
    Localisation error adds 2 D σ² at every lag (D dimensions).

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    max_lag : int
        Longest lag, frames. Lags without any pair are left out.
    drift : {"none", "mean", "affine"}
        Common motion to take out first; see `remove_drift`.
    rng : numpy Generator, optional
        Resampling; by default the same table always gives the same band.

    Returns
    -------
    Curve
        x in frames, y in px². Band: 95 %, bootstrap over blocks of one particle during
        2 max_lag frames; particles are taken as independent, so a flow that they share
        makes it too narrow.

    Raises
    ------
    InputError
        No particle is in two frames at most `max_lag` apart.
    """
    if max_lag < 1:
        raise InputError(f"max_lag is {max_lag}; a displacement takes at least one frame")
    moved = remove_drift(trajectories(tracks), drift)
    lags = choose_lags(max_lag)
    sums, counts = _lagged(moved, lags, stretch=2 * max_lag, differences=True)
    if counts.sum() == 0:
        raise InputError(f"no particle is in two frames at most {max_lag} apart; link the features first")
    samples = resample(sums, counts, rng or np.random.default_rng(0))
    return _curve(lags, sums, counts, samples, norm=1.0, unit="px^2")


def vacf(
    tracks: pd.DataFrame,
    *,
    max_lag: int,
    drift: Drift = "none",
    normalised: bool = False,
    rng: np.random.Generator | None = None,
) -> Curve:
    """Velocity autocorrelation ⟨v(t + τ)·v(t)⟩ of velocities v(t) = r(t + 1) − r(t), px/frame.

    Each lag is divided by its own number of pairs (unbiased); velocities exist only
    between consecutive frames. Two effects of sampling stay in and are exact: v is an
    average over one frame, and a localisation error σ adds 2 D σ² at lag 0 and −D σ²
    at lag 1 (D dimensions).

    Parameters
    ----------
    tracks, max_lag, drift, rng
        As for `msd`.
    normalised : bool
        Divide by the value at lag 0.

    Returns
    -------
    Curve
        x in frames from 0, y in px²/frame² (or 1). Band as for `msd`.

    Raises
    ------
    InputError
        No particle is in two consecutive frames.
    """
    if max_lag < 0:
        raise InputError(f"max_lag is {max_lag}; a lag is zero or more frames")
    velocities = finite_velocities(remove_drift(trajectories(tracks), drift))
    lags = np.concatenate([[0], choose_lags(max_lag)]) if max_lag else np.zeros(1, dtype=np.int64)
    sums, counts = _lagged(velocities, lags, stretch=2 * max(max_lag, 1), differences=False)
    if counts.sum() == 0:
        raise InputError("no particle is in two consecutive frames; velocities need linked features")
    samples = resample(sums, counts, rng or np.random.default_rng(0))
    norm = 1.0
    if normalised:
        norm = float(sums[:, 0].sum() / counts[:, 0].sum())
        if norm == 0:
            raise InputError("no particle moves, so the velocity autocorrelation cannot be normalised")
        # Each resample by its own lag 0: numerator and denominator fluctuate together.
        samples = samples / samples[:, :1] * norm
    return _curve(lags, sums, counts, samples, norm=norm, unit="1" if normalised else "px^2/frame^2")


def finite_velocities(tracks: Trajectories) -> Trajectories:
    """Displacements over one frame, px/frame, at the earlier frame; only between consecutive frames."""
    rows = successive_rows(tracks.frames, tracks.offsets)
    keep = np.zeros(tracks.frames.size, dtype=np.bool_)
    keep[rows] = True
    return tracks.select(keep, tracks.values[rows + 1] - tracks.values[rows])


def _lagged(
    tracks: Trajectories, lags: Integers, *, stretch: int, differences: bool
) -> tuple[Floats, Floats]:
    groups, n_groups = row_groups(tracks, stretch)
    return lagged_sums(tracks.values, tracks.frames, tracks.offsets, lags, groups, n_groups, differences)


def _curve(lags: Integers, sums: Floats, counts: Floats, samples: Floats, *, norm: float, unit: str) -> Curve:
    found: NDArray[np.bool_] = counts.sum(axis=0) > 0
    y = sums[:, found].sum(axis=0) / counts[:, found].sum(axis=0)
    low, high = band(y, samples[:, found], np.count_nonzero(counts[:, found], axis=0))
    return Curve(lags[found].astype(np.float64), y / norm, low / norm, high / norm, "frame", unit)


@numba.njit(cache=True, nogil=True)
def lagged_sums(
    values: Floats,
    frames: Integers,
    offsets: Integers,
    lags: Integers,
    groups: Integers,
    n_groups: int,
    differences: bool,
) -> tuple[Floats, Floats]:
    """Per group and lag: sum of |b − a|² (or a·b) over all pairs of rows a lag apart, and their number."""
    sums = np.zeros((n_groups, lags.size))
    counts = np.zeros((n_groups, lags.size))
    n_dim = values.shape[1]
    flat = values.ravel()
    for track in range(offsets.size - 1):
        begin, end = offsets[track], offsets[track + 1]
        if end > begin and frames[end - 1] - frames[begin] == end - 1 - begin:
            # Without gaps the partner is `lag` rows on, and rows of one block are summed in one go.
            first = begin
            while first < end:
                stop = first + 1
                while stop < end and groups[stop] == groups[first]:
                    stop += 1
                for m in range(lags.size):
                    number = min(stop, end - lags[m]) - first
                    if number > 0:
                        span = (first * n_dim, (first + number) * n_dim, lags[m] * n_dim)
                        sums[groups[first], m] += _flat_sum(flat, span, differences)
                        counts[groups[first], m] += number
                first = stop
            continue
        for m in range(lags.size):
            later = begin
            for row in range(begin, end):
                wanted = frames[row] + lags[m]
                while later < end and frames[later] < wanted:
                    later += 1
                if later == end:
                    break
                if frames[later] != wanted:
                    continue
                total = 0.0
                for d in range(n_dim):
                    if differences:
                        total += (values[later, d] - values[row, d]) ** 2
                    else:
                        total += values[later, d] * values[row, d]
                sums[groups[row], m] += total
                counts[groups[row], m] += 1
    return sums, counts


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def _flat_sum(flat: Floats, span: tuple[int, int, int], differences: bool) -> float:
    """Sum of (b − a)² or a·b over elements a from span[0] to span[1] and b that lie span[2] further on.

    The order of the sum is left to the processor's vector units. With lags that are dense at first and then spread
    evenly in their logarithm this takes no longer than an FFT of every track, and loses no digits.
    """
    total = 0.0
    if differences:
        for k in range(span[0], span[1]):
            total += (flat[k + span[2]] - flat[k]) ** 2
    else:
        for k in range(span[0], span[1]):
            total += flat[k + span[2]] * flat[k]
    return total
