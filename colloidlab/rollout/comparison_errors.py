"""How far apart two curves are, how sure that is, and how far apart two parts of one experiment are.

A curve is made of sums over blocks of time (and members), so that it can be had of any choice of them: of a bootstrap
sample for an interval, of one half of the experiment against the other for the noise floor.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from colloidlab.indicators.bootstrap import N_RESAMPLES, band
from colloidlab.indicators.trajectories import Floats

BLOCK_FRAMES = 8
"""Length of the blocks of time, the same as for held-out likelihoods; shorter in a rollout of fewer than four of them."""

_LEAST_BLOCKS, _MOST_BLOCKS = 4, 20
_MOST_SPLITS = 200

Distance = Callable[[Floats, Floats], Floats]
"""(experiment, rollout), shape (..., n) each -> (...)."""


@dataclass(frozen=True)
class Blocks:
    """Sums of which a curve is made.

    Attributes
    ----------
    sums : float array, shape (members, n_blocks, m, n)
    counts : float array, shape (members, n_blocks, n)
    finish : callable
        Averages, shape (..., m, n) -> curve, shape (..., n).
    """

    sums: Floats
    counts: Floats
    finish: Callable[[Floats], Floats]

    def curves(self, weights: Floats) -> Floats:
        """Curves in which members and blocks count as often as said.

        Parameters
        ----------
        weights : float array, shape (k, members, n_blocks)

        Returns
        -------
        float array, shape (k, n)
            NaN where nothing counts.
        """
        total = np.einsum("kab,abmn->kmn", weights, self.sums)
        number = np.einsum("kab,abn->kn", weights, self.counts)[:, None]
        return self.finish(np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0))

    @property
    def curve(self) -> Floats:
        """Of everything, shape (n,)."""
        return self.curves(np.ones((1, *self.counts.shape[:2])))[0]

    @property
    def n_blocks(self) -> int:
        return self.counts.shape[1]


@dataclass(frozen=True)
class Error:
    """A distance between experiment and rollout.

    Attributes
    ----------
    value : float
    low, high : float
        95 %: the scatter of the value over blocks of time and members.
    floor : float
        95 % quantile of the same distance between two halves of the experiment.
    """

    value: float
    low: float
    high: float
    floor: float


def number_of_blocks(n_frames: int) -> int:
    """Blocks of time in which a rollout is cut."""
    wanted = min(max(n_frames // BLOCK_FRAMES, _LEAST_BLOCKS), _MOST_BLOCKS)
    return max(1, min(wanted, n_frames // 2))


def relative_rmse(experiment: Floats, rollout: Floats) -> Floats:
    """Root mean square of the difference over the root mean square of the experiment, where both are known."""
    known = np.isfinite(experiment) & np.isfinite(rollout)
    difference = np.where(known, experiment - rollout, 0.0)
    scale = np.sum(np.where(known, experiment, 0.0) ** 2, axis=-1)
    square = np.sum(difference**2, axis=-1)
    return np.sqrt(np.divide(square, scale, out=np.full_like(square, np.nan), where=scale > 0))


def largest_difference(experiment: Floats, rollout: Floats) -> Floats:
    """Largest difference of two distribution functions: the distance of Kolmogorov and Smirnov; NaN where one is unknown."""
    return np.asarray(np.max(np.abs(experiment - rollout), axis=-1))


def measure_error(experiment: Blocks, rollout: Blocks, distance: Distance) -> Error:
    """Distance of the two, its bootstrap interval, and its noise floor.

    Blocks of time are drawn for both alike, because both are driven by the same boundary, and members
    of the rollouts on their own. Resampled curves carry their scatter twice, so distances of them are larger than the
    distance; the interval is their scatter around their median, laid around the value.

    Parameters
    ----------
    experiment : Blocks
        With one member.
    rollout : Blocks
        With the same blocks of time.
    distance : callable
    """
    rng = np.random.default_rng(0)
    value = np.array([distance(experiment.curve, rollout.curve)])
    n, members = experiment.n_blocks, rollout.counts.shape[0]
    times = rng.multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES).astype(np.float64)
    who = rng.multinomial(members, np.full(members, 1 / members), size=N_RESAMPLES).astype(np.float64)
    drawn = distance(experiment.curves(times[:, None]), rollout.curves(who[:, :, None] * times[:, None]))
    drawn = drawn[np.isfinite(drawn)]
    low = high = np.array([np.nan])
    if drawn.size:
        low, high = band(value, (drawn - np.median(drawn) + value)[:, None], np.array([n]))
    return Error(
        float(value[0]), max(float(low[0]), 0.0), float(high[0]), floor_of_halves(experiment, distance)
    )


def floor_of_halves(experiment: Blocks, distance: Distance) -> float:
    """95 % quantile of the distance between two disjoint halves of the experiment's blocks; NaN for fewer than four.

    Each half has half of the frames, so its noise is larger than that of the whole; halves of other blocks overlap, and a
    lag longer than a block ties the halves together. It is a scale, not a test at a stated level.
    """
    n = experiment.n_blocks
    if n < _LEAST_BLOCKS:
        return float("nan")
    rng = np.random.default_rng(0)
    if n <= 10:
        chosen = [np.isin(np.arange(n), c) for c in itertools.combinations(range(n), n // 2)]
        half = np.array(chosen, dtype=np.float64)
    else:
        half = rng.permuted(np.tile(np.arange(n) < n // 2, (_MOST_SPLITS, 1)), axis=1).astype(np.float64)
    return _upper(distance(experiment.curves(half[:, None]), experiment.curves(1 - half[:, None])))


def floor_of_blocks(experiment: Blocks, distance: Distance) -> float:
    """95 % quantile of the distance between two single blocks of the experiment; NaN for fewer than four."""
    n = experiment.n_blocks
    if n < _LEAST_BLOCKS:
        return float("nan")
    single = experiment.curves(np.eye(n)[:, None])
    a, b = np.triu_indices(n, 1)
    return _upper(distance(single[a], single[b]))


def _upper(distances: Floats) -> float:
    known = distances[np.isfinite(distances)]
    return float(np.quantile(known, 0.95)) if known.size else float("nan")
