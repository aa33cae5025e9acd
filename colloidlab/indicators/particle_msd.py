"""Mean squared displacement of single particles, and since a single moment."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import MAX_GROUPS, band, resample
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.displacement import choose_lags, lagged_sums
from colloidlab.indicators.drift import Drift, remove_drift
from colloidlab.indicators.trajectories import particle_names, trajectories

MSD_COLUMNS = ("particle", "lag_frames", "msd_px2", "n_pairs")


def msd_table(tracks: pd.DataFrame, *, max_lag: int, drift: Drift = "none") -> pd.DataFrame:
    """Mean squared displacement of every particle, over all its origins (trackpy's `imsd`).

    The average over particles with the weights n_pairs is `msd`. The pairs of one particle overlap and are not
    independent: at a lag of a quarter of the track the value of a free particle scatters by its own size.
    To compare particles, their diffusion coefficients have errors (`diffusion_table`).

    Parameters
    ----------
    tracks, max_lag, drift
        As for `msd`.

    Returns
    -------
    DataFrame
        particle, lag_frames, msd_px2, n_pairs; sorted by the first two, without lags that a particle has no pair of.
        `pivot(index="lag_frames", columns="particle", values="msd_px2")` has the form of trackpy's.

    Raises
    ------
    InputError
        `max_lag` is not positive.

    Examples
    --------
    >>> line = pd.DataFrame({"frame": range(4), "particle": 7, "x": [0.0, 2, 4, 6], "y": 0.0})
    >>> msd_table(line, max_lag=2)["msd_px2"].tolist()
    [4.0, 16.0]
    """
    if max_lag < 1:
        raise InputError(f"max_lag is {max_lag}; a displacement takes at least one frame")
    moved, lags = remove_drift(trajectories(tracks), drift), choose_lags(max_lag)
    sums, counts = lagged_sums(
        moved.values, moved.frames, moved.offsets, lags, moved.track, moved.n_tracks, True
    )
    track, lag = np.nonzero(counts)
    number = counts[track, lag]
    values = (particle_names(tracks)[track], lags[lag], sums[track, lag] / number, number.astype(np.int64))
    return pd.DataFrame(dict(zip(MSD_COLUMNS, values)))


def msd_since(
    tracks: pd.DataFrame,
    *,
    origin_frame: int,
    max_lag: int,
    drift: Drift = "none",
    rng: np.random.Generator | None = None,
) -> Curve:
    """Mean squared displacement ⟨|r(t₀ + τ) − r(t₀)|²⟩ since one frame t₀, over the particles seen at both times.

    For samples that change: after a quench, the start of a drive, or its end, when the average over origins of `msd`
    mixes ages.

    Parameters
    ----------
    tracks, max_lag, drift, rng
        As for `msd`.
    origin_frame : int
        t₀.

    Returns
    -------
    Curve
        x in frames, y in px². Band: 95 %, bootstrap over particles, which are taken as independent.

    Raises
    ------
    InputError
        No particle is in the origin and in a frame at most `max_lag` later.
    """
    if max_lag < 1:
        raise InputError(f"max_lag is {max_lag}; a displacement takes at least one frame")
    moved, lags = remove_drift(trajectories(tracks), drift), choose_lags(max_lag)
    start = np.full((moved.n_tracks, moved.values.shape[1]), np.nan)
    at_origin = moved.frames == origin_frame
    start[moved.track[at_origin]] = moved.values[at_origin]
    place = np.minimum(np.searchsorted(lags, moved.frames - origin_frame), lags.size - 1)
    square = ((moved.values - start[moved.track]) ** 2).sum(axis=1)
    used = (lags[place] == moved.frames - origin_frame) & np.isfinite(square)
    if not used.any():
        raise InputError(
            f"no particle is in frame {origin_frame} and in one at most {max_lag} later; choose another origin"
        )
    n_groups = min(moved.n_tracks, MAX_GROUPS)
    group = np.random.default_rng(0).permutation(moved.n_tracks)[moved.track[used]] % n_groups
    sums, counts = np.zeros((n_groups, lags.size)), np.zeros((n_groups, lags.size))
    np.add.at(sums, (group, place[used]), square[used])
    np.add.at(counts, (group, place[used]), 1)
    found = counts.sum(axis=0) > 0
    sums, counts = sums[:, found], counts[:, found]
    y = sums.sum(axis=0) / counts.sum(axis=0)
    samples = resample(sums, counts, rng or np.random.default_rng(0))
    low, high = band(y, samples, np.count_nonzero(counts, axis=0))
    return Curve(lags[found].astype(np.float64), y, low, high, "frame", "px^2")
