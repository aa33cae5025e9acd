"""The statistics of a comparison as sums over blocks of time, one set a member; see `comparison_errors.Blocks`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.indicators import d2min_table, pair_correlation
from colloidlab.indicators.displacement import choose_lags, finite_velocities
from colloidlab.indicators.lagged import lagged_sums
from colloidlab.indicators.non_gaussian import excess, second_and_fourth
from colloidlab.indicators.scattering import isotropic_phase
from colloidlab.indicators.trajectories import Floats, Integers, Trajectories, trajectories
from colloidlab.indicators.van_hove import displacement_density
from colloidlab.rollout.comparison_errors import Blocks, number_of_blocks

BINS_OF_G = 80
_GRID = 2000
"""Points at which the distribution of D2min is known: its distances are right to one in so many."""

Region = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Blocking:
    """The frames compared, cut into blocks of time of equal length."""

    first: int
    n_frames: int

    @property
    def number(self) -> int:
        return number_of_blocks(self.n_frames)

    def of(self, frames: Integers) -> Integers:
        """Block of each frame."""
        return (frames - self.first) * self.number // self.n_frames


def structure(tables: Sequence[pd.DataFrame], region: Region, r_max: float, blocking: Blocking) -> Blocks:
    """g(r): pairs found over pairs of an ideal gas."""
    sums = np.zeros((len(tables), blocking.number, 1, BINS_OF_G))
    counts = np.zeros((len(tables), blocking.number, BINS_OF_G))
    for m, table in enumerate(tables):
        for b, part in table.groupby(blocking.of(table["frame"].to_numpy())):
            frames = [group[["x", "y"]].to_numpy() for _, group in part.groupby("frame")]
            curve = pair_correlation(frames, r_max=r_max, n_bins=BINS_OF_G, region=region)
            assert curve.pairs_per_frame is not None
            counts[m, b] = curve.pairs_per_frame * len(frames)
            sums[m, b, 0] = curve.y * counts[m, b]
    return Blocks(sums, counts, _first)


def motion(tables: Sequence[pd.DataFrame], max_lag: int, q: float, blocking: Blocking) -> dict[str, Blocks]:
    """MSD, α₂, F_s and VACF at the lags of `choose_lags`; a pair of frames belongs to the block of the earlier one."""
    lags = choose_lags(max_lag)
    phase = isotropic_phase(q, 2)

    def displaced(earlier: Floats, later: Floats) -> Floats:
        return np.hstack([second_and_fourth(earlier, later), phase(earlier, later)])

    def product(earlier: Floats, later: Floats) -> Floats:
        return np.sum(earlier * later, axis=1, keepdims=True)

    moved, turned = [], []
    for table in tables:
        path = trajectories(table)
        velocity = finite_velocities(path)
        moved.append(lagged_sums(path, lags, displaced, blocking.of(path.frames), blocking.number))
        groups = blocking.of(velocity.frames)
        turned.append(lagged_sums(velocity, np.append(0, lags), product, groups, blocking.number))
    sums, counts = (np.stack(parts) for parts in zip(*moved, strict=True))
    dots, pairs = (np.stack(parts) for parts in zip(*turned, strict=True))
    return {
        "msd": Blocks(sums[:, :, :1], counts, _first),
        "vacf": Blocks(dots, pairs, _first),
        "alpha2": Blocks(sums[:, :, :2], counts, _excess),
        "f_s": Blocks(sums[:, :, 2:], counts, _first),
    }


def displacements(tables: Sequence[pd.DataFrame], lag: int, edges: Floats, blocking: Blocking) -> Blocks:
    """Van Hove function in given bins."""
    found = []
    for table in tables:
        path: Trajectories = trajectories(table)
        found.append(displacement_density(path, lag, edges, blocking.of(path.frames), blocking.number))
    sums, numbers = (np.stack(parts) for parts in zip(*found, strict=True))
    counts = np.repeat(numbers[..., None], edges.size - 1, axis=2)
    return Blocks(sums[:, :, None], counts, _first)


def rearrangement(table: pd.DataFrame, chosen: np.ndarray, lag: int, cutoff_px: float) -> pd.DataFrame:
    """Frame (the later one) and D2min, px^2, of the chosen particles."""
    rows = d2min_table(table, lag_frames=lag, cutoff_px=cutoff_px)
    rows = rows[rows["particle"].isin(chosen)]
    return rows[["frame", "d2min_px2"]].dropna()


def common_grid(values: Floats) -> Floats:
    """Where the distribution functions are compared."""
    return np.unique(np.quantile(values, np.linspace(0, 1, _GRID + 1)))


def distribution(tables: Sequence[pd.DataFrame], grid: Floats, blocking: Blocking) -> Blocks:
    """Distribution function of D2min at the points of a grid."""
    sums = np.zeros((len(tables), blocking.number, 1, grid.size))
    counts = np.zeros((len(tables), blocking.number, grid.size))
    for m, table in enumerate(tables):
        for b, part in table.groupby(blocking.of(table["frame"].to_numpy())):
            ordered = np.sort(part["d2min_px2"].to_numpy())
            sums[m, b, 0] = np.searchsorted(ordered, grid, side="right")
            counts[m, b] = len(ordered)
    return Blocks(sums, counts, _first)


def _first(averages: Floats) -> Floats:
    return np.asarray(averages[..., 0, :])


def _excess(averages: Floats) -> Floats:
    return excess(averages, 2)
