"""Self-intermediate scattering function: how long particles stay within a given distance of where they were."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import j0

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample, row_groups
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.displacement import choose_lags
from colloidlab.indicators.drift import Drift, remove_drift
from colloidlab.indicators.lagged import Measure, lagged_sums, squared_displacement
from colloidlab.indicators.trajectories import Floats, trajectories


def self_scattering(
    tracks: pd.DataFrame,
    *,
    q: float,
    max_lag: int,
    drift: Drift = "none",
    rng: np.random.Generator | None = None,
) -> Curve:
    """Self-intermediate scattering function F_s(q, τ) = ⟨exp(i q·Δr(τ))⟩ over all directions of q.

    The average over directions is exact, J₀(q|Δr|) in the plane and sin(q|Δr|)/(q|Δr|) in space. With
    q = 2π/(distance of the first neighbours) F_s falls when particles leave the places of their neighbours. Over all
    origins, as `msd`. A Gaussian localisation error multiplies the curve with exp(−q²σ²).

    Parameters
    ----------
    q : float
        Wave number, 1/px.
    tracks, max_lag, drift, rng
        As for `msd`.

    Returns
    -------
    Curve
        x in frames, y without unit. Band as for `msd`.

    Raises
    ------
    InputError
        No particle is in two frames at most `max_lag` apart, or q is not positive.

    References
    ----------
    Hansen & McDonald, Theory of Simple Liquids, 4th ed. (2013), section 7.4.
    """
    if max_lag < 1 or not q > 0:
        raise InputError(f"F_s needs a positive wave number and at least one frame, not {q:g} and {max_lag}")
    moved = remove_drift(trajectories(tracks), drift)
    lags = choose_lags(max_lag)
    phase = isotropic_phase(q, moved.values.shape[1])
    sums, counts = lagged_sums(moved, lags, phase, *row_groups(moved, 2 * max_lag))
    found = counts.sum(axis=0) > 0
    if not found.any():
        raise InputError(f"no particle is in two frames at most {max_lag} apart; link the features first")
    sums, counts = sums[:, 0, found], counts[:, found]
    y = sums.sum(axis=0) / counts.sum(axis=0)
    samples = resample(sums, counts, rng or np.random.default_rng(0))
    low, high = band(y, samples, np.count_nonzero(counts, axis=0))
    return Curve(lags[found].astype(np.float64), y, low, high, "frame", "1")


def isotropic_phase(q: float, dim: int) -> Measure:
    """Mean of exp(i q·Δr) over the directions of q, for wave number q in the inverse unit of the positions."""

    def phase(earlier: Floats, later: Floats) -> Floats:
        angle = q * np.sqrt(squared_displacement(earlier, later))
        return np.asarray(j0(angle) if dim == 2 else np.sinc(angle / np.pi))

    return phase
