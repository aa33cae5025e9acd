"""Uncertainty from blocks: bootstrap bands of averages, standard errors from scatter.

Neighbouring frames and the frames of one track are correlated, so single values
are never resampled: whole blocks are, and a block is taken long enough to be
nearly independent of the next. Correlation *between* particles (a shared flow,
hydrodynamic coupling) is not in blocks made of particles; `standard_error`
therefore also looks at blocks of time and keeps the larger answer.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from colloidlab.indicators.trajectories import Floats, Integers, Trajectories

LEVEL = 0.95
"""Confidence level of every band."""

N_RESAMPLES = 400
MAX_GROUPS = 500
"""Blocks beyond this number are pooled at random into groups: memory does not grow with the tracks."""

_MIN_PARTICLE_BLOCKS = 10
_MIN_TIME_BLOCKS = 5


def row_groups(tracks: Trajectories, stretch_frames: int) -> tuple[Integers, int]:
    """Block of each row: one particle during one stretch of time, pooled into at most `MAX_GROUPS` groups.

    Returns
    -------
    groups : int array, shape (n_rows,)
    n_groups : int
    """
    if tracks.frames.size == 0:
        return np.zeros(0, dtype=np.int64), 0
    stretch = (tracks.frames - tracks.frames.min()) // stretch_frames
    # Rows are sorted by track and frame: a block ends where either changes.
    begins = np.diff(stretch, prepend=stretch[:1]) != 0
    starts = tracks.offsets[1:-1]
    begins[starts[starts < begins.size]] = True
    block = np.cumsum(begins)
    block -= block[0]
    n_blocks = int(block[-1]) + 1
    shuffled = np.random.default_rng(0).permutation(n_blocks)[block]
    return (shuffled % MAX_GROUPS).astype(np.int64), min(n_blocks, MAX_GROUPS)


def resample(sums: Floats, counts: Floats, rng: np.random.Generator) -> Floats:
    """Averages of bootstrap samples of the blocks.

    Parameters
    ----------
    sums, counts : float array, shape (n_blocks, n)
        Per block, sum of the quantity and its number (or weight).

    Returns
    -------
    averages : float array, shape (N_RESAMPLES, n)
        NaN where a sample has no data.
    """
    n_blocks = sums.shape[0]
    weights = rng.multinomial(n_blocks, np.full(n_blocks, 1.0 / n_blocks), size=N_RESAMPLES).astype(
        np.float64
    )
    total, number = weights @ sums, weights @ counts
    return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)


def band(estimate: Floats, samples: Floats, n_blocks: Integers) -> tuple[Floats, Floats]:
    """Percentile band, widened for few blocks.

    The percentile interval is too narrow by √((B−1)/B) and by the ratio of Student's
    to the normal quantile when there are only B blocks; both are put back.

    Parameters
    ----------
    estimate : float array, shape (n,)
    samples : float array, shape (n_resamples, n)
    n_blocks : int array, shape (n,)
        Blocks that contribute to each value; fewer than two give NaN.

    Returns
    -------
    low, high : float arrays, shape (n,)
    """
    tail = (1 - LEVEL) / 2
    low, high = np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    usable = (n_blocks >= 2) & np.isfinite(estimate)
    if not usable.any():
        return low, high
    b = n_blocks[usable].astype(np.float64)
    widen = np.sqrt(b / (b - 1)) * stats.t.ppf(1 - tail, b - 1) / stats.norm.ppf(1 - tail)
    quantiles = np.nanquantile(samples[:, usable], [tail, 1 - tail], axis=0)
    low[usable] = estimate[usable] - widen * np.maximum(estimate[usable] - quantiles[0], 0)
    high[usable] = estimate[usable] + widen * np.maximum(quantiles[1] - estimate[usable], 0)
    return low, high


def standard_error(influence: Floats, track: Integers, frame: Integers) -> float:
    """Standard error of an estimate that is a sum of small contributions.

    Summed per particle they show how particles differ, summed per stretch of time
    how the whole ensemble fluctuates (shared flow, coupling between particles, or
    what removing a drift did to few particles). The larger of the two is given;
    NaN where there are too few of both.

    Parameters
    ----------
    influence : float array, shape (n,)
        Linearised contribution of each row to the estimate, of zero sum.
    track, frame : int arrays, shape (n,)
        Particle and time of each row.
    """
    if influence.size == 0:
        return float("nan")
    time = frame - frame.min()
    length = max(5, -(-int(time.max() + 1) // 40))
    errors = []
    for label, least in ((track, _MIN_PARTICLE_BLOCKS), (time // length, _MIN_TIME_BLOCKS)):
        _, block = np.unique(label, return_inverse=True)
        sums = np.bincount(block, weights=influence)
        if sums.size >= least:
            errors.append(float(np.sqrt(sums.size / (sums.size - 1) * np.sum(sums**2))))
    return max(errors, default=float("nan"))
