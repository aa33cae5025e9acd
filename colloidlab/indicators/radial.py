"""Pair correlation function g(r) with the exact correction for the edge of the view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.trajectories import Floats
from colloidlab.indicators.window import Corners, Window
from colloidlab.progress import SILENT, Monitor

_MAX_BLOCKS = 20


def pair_correlation(
    frames: Sequence[Floats],
    *,
    r_max: float,
    n_bins: int,
    region: Corners | None = None,
    box: Sequence[float] | None = None,
    radii: Sequence[Floats] | None = None,
    rng: np.random.Generator | None = None,
    monitor: Monitor = SILENT,
) -> Curve:
    """Pair correlation g(r): how much likelier a pair at distance r is than in an ideal gas.

    In an open rectangle W each pair is weighted with 1/|W ∩ (W + r_ij)| =
    1/Π_d (L_d − |r_ij,d|), the inverse of the area in which such a pair could have been
    seen. That is exact, so an ideal gas gives 1 in every bin, with nothing discarded
    at the edge. The sum is divided by ⟨N(N − 1)⟩/|W|² and by the area of the ring.

    Parameters
    ----------
    frames : sequence of float array, shape (n, D), D = 2 or 3
        Positions, one array a frame; rows outside `region` or with NaN are ignored.
    r_max : float
        Largest distance; less than the shortest side of the region, at most half of the box.
    n_bins : int
    region : (lower corner, upper corner), optional
        Open rectangle in which every particle is found.
    box : (D,) sides, optional
        Periodic box. Exactly one of `region` and `box` is given.
    radii : sequence of float array, shape (n,), optional
        Particle radii; distances are then r_ij · 2R̄/(R_i + R_j), which brings the contacts
        of particles of every size to the same place. The ideal gas still gives 1.
    rng : numpy Generator, optional
        Resampling; by default the same frames always give the same band.
    monitor : Monitor

    Returns
    -------
    Curve
        x at the bins' centres, in px. Band: 95 %, bootstrap over at most 20 blocks of
        successive frames; NaN for a single frame.

    Raises
    ------
    InputError
        No frame holds two particles, or r_max does not fit the region.

    References
    ----------
    Ohser & Stoyan, Biom. J. 23, 523 (1981): translation correction by the set covariance.
    """
    window = Window.of("g(r)", region, box)
    found = count_pairs(frames, window, r_max=r_max, n_bins=n_bins, radii=radii, monitor=monitor)
    y = found.sums.sum(axis=0) / found.ideal.sum(axis=0)
    samples = resample(found.sums, found.ideal, rng or np.random.default_rng(0))
    low, high = band(y, samples, np.full(n_bins, found.n_blocks))
    return Curve(found.centres, y, low, high, "px", "1", found.pairs_per_frame)


@dataclass(frozen=True)
class PairCounts:
    """Pairs by distance, per block of successive frames.

    Parameters
    ----------
    edges : float array, shape (n_bins + 1,)
    sums, ideal : float array, shape (n_blocks, n_bins)
        Weighted pairs found, and those of an ideal gas: g(r) is their ratio.
    pairs_per_frame : float array, shape (n_bins,)
        Pairs that one frame of an ideal gas would have in each bin.
    density : float
        Mean number per area or volume.
    n_blocks : int
        Blocks with at least one pair of particles.
    """

    edges: Floats
    sums: Floats
    ideal: Floats
    pairs_per_frame: Floats
    density: float
    n_blocks: int

    @property
    def centres(self) -> Floats:
        return np.asarray(0.5 * (self.edges[1:] + self.edges[:-1]))


def count_pairs(
    frames: Sequence[Floats],
    window: Window,
    *,
    r_max: float,
    n_bins: int,
    radii: Sequence[Floats] | None = None,
    monitor: Monitor = SILENT,
) -> PairCounts:
    """What `pair_correlation` divides, for quantities that are made from g(r); parameters as there."""
    mean_radius = 1.0 if radii is None else _mean_radius(radii)
    stretch = 1.0 if radii is None else _largest(radii) / mean_radius
    check_reach("g(r)", r_max, n_bins, window, stretch=stretch)
    n_blocks = min(len(frames), _MAX_BLOCKS)
    sums, pairs = np.zeros((n_blocks, n_bins)), np.zeros((n_blocks, 1))
    number = 0
    for k, points in enumerate(monitor.track(frames, "g(r)")):
        inside = window.inside(points)
        kept = window.wrapped(points[inside])
        half = np.full(kept.shape[0], 0.5) if radii is None else radii[k][inside] / (2 * mean_radius)
        order = np.argsort(kept[:, 0], kind="stable")
        block = k * n_blocks // len(frames)
        _accumulate(kept[order], half[order], window.sides, window.periodic, r_max, sums[block])
        pairs[block] += kept.shape[0] * (kept.shape[0] - 1)
        number += kept.shape[0]
    if pairs.sum() == 0:
        raise InputError("no frame holds two particles, so there is no pair correlation")
    edges = np.linspace(0.0, r_max, n_bins + 1)
    ring = np.diff(window.sphere_volume(edges))
    return PairCounts(
        edges,
        sums,
        ideal=pairs * ring / window.volume**2,
        pairs_per_frame=pairs.sum() * ring / window.volume / 2 / len(frames),
        density=number / len(frames) / window.volume,
        n_blocks=int(np.count_nonzero(pairs)),
    )


def check_reach(quantity: str, r_max: float, n_bins: int, window: Window, *, stretch: float = 1.0) -> None:
    """Refuse a largest distance that the window cannot show in every direction.

    `stretch`: how much longer than r_max the longest distance that counts is.
    """
    if not r_max > 0 or n_bins < 1:
        raise InputError(f"{quantity} needs a positive r_max and at least one bin, not {r_max} and {n_bins}")
    limit = float(window.sides.min()) * (0.5 if window.periodic else 1.0)
    if r_max * stretch > limit or (not window.periodic and r_max * stretch == limit):
        raise InputError(
            f"r_max of {quantity} is {r_max:g}, beyond the {limit / stretch:g} that the region allows"
        )


def _mean_radius(radii: Sequence[Floats]) -> float:
    values = np.concatenate([np.asarray(r, dtype=np.float64) for r in radii]) if len(radii) else np.zeros(0)
    if values.size and not ((values > 0) & np.isfinite(values)).all():
        raise InputError("g(r) scaled by size needs a positive radius for every particle")
    return float(values.mean()) if values.size else 1.0


def _largest(radii: Sequence[Floats]) -> float:
    return max((float(r.max()) for r in radii if r.size), default=1.0)


@numba.njit(cache=True, nogil=True)
def _accumulate(
    points: Floats, half: Floats, sides: Floats, periodic: bool, r_max: float, sums: Floats
) -> None:
    """Add both orders of every pair closer than r_max; `points` are sorted along the first axis."""
    n, n_dim = points.shape
    if n < 2:
        return
    n_bins = sums.size
    reach = r_max * 2 * half.max()
    volume = np.prod(sides)
    for i in range(n):
        for ahead in range(1, n):
            j = i + ahead
            wrap = 0.0
            if j >= n:
                if not periodic:
                    break
                j -= n
                wrap = sides[0]
            along = points[j, 0] - points[i, 0] + wrap
            if along > reach:
                break
            squared = along * along
            weight = 1.0 / volume if periodic else 1.0 / (sides[0] - along)
            for d in range(1, n_dim):
                across = abs(points[j, d] - points[i, d])
                if periodic:
                    across = min(across, sides[d] - across)
                squared += across * across
                # Before the weight, which is infinite for two particles on opposite edges.
                if across > reach:
                    squared = np.inf
                    break
                if not periodic:
                    weight /= sides[d] - across
            scale = half[i] + half[j]
            k = int(min(np.sqrt(squared) / scale / r_max * n_bins, n_bins))
            if k < n_bins:
                sums[k] += 2.0 * weight / scale**n_dim
