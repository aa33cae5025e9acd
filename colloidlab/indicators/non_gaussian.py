"""Non-Gaussian parameter: do all particles move alike?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample, row_groups
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.displacement import choose_lags
from colloidlab.indicators.drift import Drift, remove_drift
from colloidlab.indicators.lagged import lagged_sums, squared_displacement
from colloidlab.indicators.trajectories import Floats, trajectories


def non_gaussian(
    tracks: pd.DataFrame, *, max_lag: int, drift: Drift = "none", rng: np.random.Generator | None = None
) -> Curve:
    """Non-Gaussian parameter α₂(τ) = D⟨|Δr|⁴⟩ / ((D + 2) ⟨|Δr|²⟩²) − 1 of displacements over τ (D dimensions).

    Zero for isotropic Gaussian displacements; positive where a few particles move much farther than
    most (cages, a spread of temperatures or sizes), and also where displacements of all are Gaussian but wider along
    one axis, as in a flow. Over all origins, as `msd`; gaps neither bias nor end a track.

    A Gaussian localisation error adds nothing to the numerator and 2Dσ² to the mean squared displacement, so that what is
    measured is the true α₂ times (MSD / (MSD + 2Dσ²))²: where motion does not exceed the error, α₂ is hidden.

    Parameters
    ----------
    tracks, max_lag, drift, rng
        As for `msd`.

    Returns
    -------
    Curve
        x in frames, y without unit. Band as for `msd`. Lags over which nothing moves are left out.

    Raises
    ------
    InputError
        No particle is in two frames at most `max_lag` apart, or nothing moves.

    References
    ----------
    Rahman, Phys. Rev. 136, A405 (1964), equation 20.
    """
    if max_lag < 1:
        raise InputError(f"max_lag is {max_lag}; a displacement takes at least one frame")
    moved = remove_drift(trajectories(tracks), drift)
    dim, lags = moved.values.shape[1], choose_lags(max_lag)
    sums, counts = lagged_sums(moved, lags, second_and_fourth, *row_groups(moved, 2 * max_lag))
    found = sums[:, 0].sum(axis=0) > 0
    if not found.any():
        raise InputError(f"no particle moves over at most {max_lag} frames; link the features first")
    sums, counts = sums[:, :, found], counts[:, found]
    y = excess(sums.sum(axis=0) / counts.sum(axis=0), dim)
    # Both moments by the same draw of blocks: numerator and denominator fluctuate together.
    samples = resample(sums.reshape(len(sums), -1), np.tile(counts, (1, 2)), rng or np.random.default_rng(0))
    low, high = band(y, excess(samples.reshape(len(samples), 2, -1), dim), np.count_nonzero(counts, axis=0))
    return Curve(lags[found].astype(np.float64), y, low, high, "frame", "1")


def second_and_fourth(earlier: Floats, later: Floats) -> Floats:
    """|Δr|² and |Δr|⁴, shape (n, 2)."""
    squares = squared_displacement(earlier, later)
    return np.hstack([squares, squares**2])


def excess(moments: Floats, dim: int) -> Floats:
    """α₂ from ⟨|Δr|²⟩ and ⟨|Δr|⁴⟩, shape (..., 2, n) -> (..., n); NaN where nothing moves."""
    second, fourth = moments[..., 0, :], moments[..., 1, :]
    ratio = np.divide(dim * fourth, (dim + 2) * second**2, out=np.full_like(second, np.nan), where=second > 0)
    return ratio - 1
