"""Do particles that rearrange have another entropy? Rank correlation with an interval that knows of memory in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample
from colloidlab.indicators.trajectories import Floats, Integers

BLOCK_FRAMES = 8
"""Length of the blocks of time, the same as for held-out likelihoods."""

_LEAST = 50

HIDDEN = {"entropy": "entropy", "temperature": "temperature_px2"}
"""What is compared with D²min, and its column in `state.parquet`."""


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's coefficient with its 95 % interval.

    Parameters
    ----------
    value, low, high : float
        Between -1 and 1.
    n : int
        Number of particles and frames.
    """

    value: float
    low: float
    high: float
    n: int


def rank_correlation(x: Floats, y: Floats, frame: Integers) -> RankCorrelation:
    """Spearman's rank correlation; blocks of consecutive frames are resampled, never single values.

    Parameters
    ----------
    x, y : float arrays, shape (n,)
        Finite.
    frame : int array, shape (n,)

    Raises
    ------
    InputError
        When there are fewer than 50 values, fewer than two blocks of 8 frames, or one of both is constant.

    Examples
    --------
    >>> t = np.arange(160)
    >>> rank_correlation(t * 1.0, t**3 * 1.0, t).value
    1.0
    """
    if len(x) < _LEAST:
        raise InputError(f"Fewer than {_LEAST} particles and frames have both quantities.")
    ranks = np.column_stack([rankdata(x), rankdata(y)])
    spread = ranks.std(axis=0)
    if not (spread > 0).all():
        raise InputError("A quantity that is the same everywhere has no rank correlation.")
    a, b = ((ranks - ranks.mean(axis=0)) / spread).T
    _, block = np.unique((frame - frame.min()) // BLOCK_FRAMES, return_inverse=True)
    n_blocks = int(block.max()) + 1
    if n_blocks < 2:
        raise InputError(f"Fewer than two blocks of {BLOCK_FRAMES} frames have both quantities.")
    moments = np.column_stack([a, b, a * a, b * b, a * b])
    sums = np.stack([np.bincount(block, m, n_blocks).astype(np.float64) for m in moments.T], axis=1)
    counts = np.repeat(np.bincount(block, minlength=n_blocks)[:, None], moments.shape[1], axis=1)
    samples = _pearson(resample(sums, counts.astype(np.float64), np.random.default_rng(0)))
    value = np.array([np.mean(a * b)])
    low, high = band(value, samples[:, None], np.array([n_blocks]))
    return RankCorrelation(
        float(np.clip(value[0], -1, 1)), float(max(low[0], -1.0)), float(min(high[0], 1.0)), len(x)
    )


def _pearson(moments: Floats) -> Floats:
    """Correlation from means of a, b, a², b², ab along the last axis."""
    a, b, aa, bb, ab = moments.T
    return (ab - a * b) / np.sqrt(np.maximum((aa - a**2) * (bb - b**2), 1e-300))


def held_out_pairs(state: pd.DataFrame, indicators: pd.DataFrame, block: tuple[int, int]) -> pd.DataFrame:
    """Filtered state and D²min of the same particle and frame: interior particles of a block of frames.

    Parameters
    ----------
    state, indicators : DataFrame
        As `state.parquet` and `indicators.parquet`.
    block : (first, stop)

    Returns
    -------
    DataFrame
        Rows where D²min is positive and both hidden quantities are finite.
    """
    inside = state["frame"].between(block[0], block[1] - 1) & ~state["boundary"].astype(bool)
    both = state[inside].merge(indicators[["frame", "particle", "d2min_px2"]], on=["frame", "particle"])
    finite = np.isfinite(both[[c for c in HIDDEN.values() if c in both]]).all(axis=1)
    return both[(both["d2min_px2"] > 0) & finite]


def summarise_association(pairs: pd.DataFrame) -> dict[str, float]:
    """Entries of `summary.json`: correlations of D²min with entropy and temperature; empty where there are none."""
    found: dict[str, float] = {}
    for name, column in HIDDEN.items():
        try:
            result = rank_correlation(
                pairs[column].to_numpy(), pairs["d2min_px2"].to_numpy(), pairs["frame"].to_numpy()
            )
        except InputError:
            continue
        key = f"d2min_{name}_correlation"
        found |= {key: result.value, f"{key}_low": result.low, f"{key}_high": result.high}
    return found
