"""Self part of the van Hove function: the distribution of displacements."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import norm

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample, row_groups
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.drift import Drift, remove_drift
from colloidlab.indicators.lagged import rows_apart
from colloidlab.indicators.trajectories import Floats, Integers, Trajectories, trajectories

_BINS = 61
_REACH = 5.0
"""Displacements are counted out to this many standard deviations."""


@dataclass(frozen=True)
class VanHove:
    """Distribution of displacements and the Gaussian beside it.

    Parameters
    ----------
    curve : Curve
        Probability density of Δx, all axes together, at the centres of the bins.
    gaussian : Curve
        Gaussian of the same mean and variance, averaged over the same bins; its band is empty.
    """

    curve: Curve
    gaussian: Curve


def van_hove(
    tracks: pd.DataFrame,
    *,
    lag: int,
    edges: Floats | None = None,
    drift: Drift = "none",
    rng: np.random.Generator | None = None,
) -> VanHove:
    """Self van Hove function G_s(x, τ): probability density of a displacement along an axis over τ.

    Displacements along all axes and from all origins count. Gaussian for free diffusion; wings above the
    Gaussian of the same variance are particles that move farther than most. A localisation error convolves the
    curve with a Gaussian of variance 2σ².

    Parameters
    ----------
    lag : int
        τ, frames.
    edges : float array, shape (n + 1,), optional
        Edges of equal bins, px [61 bins out to five standard deviations].
    tracks, drift, rng
        As for `msd`.

    Returns
    -------
    VanHove
        x in px, y in 1/px. Band: 95 %, bootstrap over blocks of one particle during 2 lags.

    Raises
    ------
    InputError
        No particle is in two frames `lag` apart, or nothing moves.

    References
    ----------
    van Hove, Phys. Rev. 95, 249 (1954).
    """
    if lag < 1:
        raise InputError(f"the lag is {lag}; a displacement takes at least one frame")
    moved = remove_drift(trajectories(tracks), drift)
    earlier, later = rows_apart(moved, lag)
    steps = (moved.values[later] - moved.values[earlier]).ravel()
    spread = float(steps.std()) if steps.size else 0.0
    if not spread > 0:
        raise InputError(f"no particle is seen to move over {lag} frames; link the features first")
    edges = displacement_bins(spread) if edges is None else edges
    sums, counts = displacement_density(moved, lag, edges, *row_groups(moved, 2 * lag))
    y = sums.sum(axis=0) / counts.sum()
    weight = np.repeat(counts[:, None], y.size, axis=1)
    samples = resample(sums, weight, rng or np.random.default_rng(0))
    low, high = band(y, samples, np.full(y.size, np.count_nonzero(counts)))
    curve = Curve(0.5 * (edges[1:] + edges[:-1]), y, low, high, "px", "px^-1")
    nothing = np.full_like(y, np.nan)
    smooth = np.diff(norm.cdf(edges, steps.mean(), spread)) / np.diff(edges)
    return VanHove(curve, replace(curve, y=smooth, y_low=nothing, y_high=nothing))


def displacement_bins(spread: float) -> Floats:
    """Edges of 61 bins, the middle one around zero, out to five standard deviations."""
    return np.linspace(-_REACH * spread, _REACH * spread, _BINS + 1)


def displacement_density(
    tracks: Trajectories, lag: int, edges: Floats, groups: Integers, n_groups: int
) -> tuple[Floats, Floats]:
    """Displacements per bin over its width, shape (n_groups, n_bins), and their number in all, shape (n_groups,).

    Displacements beyond the bins count in the number.
    """
    earlier, later = rows_apart(tracks, lag)
    steps = tracks.values[later] - tracks.values[earlier]
    owner = np.repeat(groups[earlier], steps.shape[1])
    n_bins = edges.size - 1
    place = np.searchsorted(edges, steps.ravel(), side="right") - 1
    inside = (place >= 0) & (place < n_bins)
    flat = np.bincount(owner[inside] * n_bins + place[inside], minlength=n_groups * n_bins)
    numbers = np.bincount(owner, minlength=n_groups).astype(np.float64)
    return flat.reshape(n_groups, n_bins) / np.diff(edges), numbers
