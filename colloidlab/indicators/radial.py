"""Pair correlation function g(r) with the exact correction for the edge of the view."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.trajectories import Floats
from colloidlab.progress import SILENT, Monitor

_MAX_BLOCKS = 20


def pair_correlation(
    frames: Sequence[Floats],
    *,
    r_max: float,
    n_bins: int,
    region: tuple[Sequence[float], Sequence[float]] | None = None,
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
    lower, sides = _window(region, box)
    mean_radius = 1.0 if radii is None else _mean_radius(radii)
    _check_reach(
        r_max, n_bins, sides, box is not None, 1.0 if radii is None else _largest(radii) / mean_radius
    )
    n_blocks = min(len(frames), _MAX_BLOCKS)
    sums, pairs = np.zeros((n_blocks, n_bins)), np.zeros((n_blocks, 1))
    for k, points in enumerate(monitor.track(frames, "g(r)")):
        inside = np.isfinite(points).all(axis=1)
        if box is None:
            inside &= ((points >= lower) & (points <= lower + sides)).all(axis=1)
            kept = points[inside]
        else:
            kept = points[inside] % sides
        half = np.full(kept.shape[0], 0.5) if radii is None else radii[k][inside] / (2 * mean_radius)
        order = np.argsort(kept[:, 0], kind="stable")
        block = k * n_blocks // len(frames)
        _accumulate(kept[order], half[order], sides, box is not None, r_max, sums[block])
        pairs[block] += kept.shape[0] * (kept.shape[0] - 1)
    if pairs.sum() == 0:
        raise InputError("no frame holds two particles, so there is no pair correlation")
    edges = np.linspace(0.0, r_max, n_bins + 1)
    ring = np.pi * np.diff(edges**2) if sides.size == 2 else 4 / 3 * np.pi * np.diff(edges**3)
    ideal = pairs * ring / np.prod(sides) ** 2
    y = sums.sum(axis=0) / ideal.sum(axis=0)
    per_frame = pairs.sum() * ring / np.prod(sides) / 2 / len(frames)
    samples = resample(sums, ideal, rng or np.random.default_rng(0))
    low, high = band(y, samples, np.full(n_bins, np.count_nonzero(pairs)))
    return Curve(0.5 * (edges[1:] + edges[:-1]), y, low, high, "px", "1", per_frame)


def _window(
    region: tuple[Sequence[float], Sequence[float]] | None, box: Sequence[float] | None
) -> tuple[Floats, Floats]:
    if (region is None) == (box is None):
        raise InputError("g(r) needs either the rectangle in which particles are seen or a periodic box")
    if box is not None:
        sides = np.asarray(box, dtype=np.float64)
        lower = np.zeros_like(sides)
    else:
        assert region is not None
        lower = np.asarray(region[0], dtype=np.float64)
        sides = np.asarray(region[1], dtype=np.float64) - lower
    if sides.size not in (2, 3) or not (sides > 0).all():
        raise InputError(
            f"the region of g(r) has sides {sides.tolist()}; it needs two or three positive ones"
        )
    return lower, sides


def _check_reach(r_max: float, n_bins: int, sides: Floats, periodic: bool, stretch: float) -> None:
    if not r_max > 0 or n_bins < 1:
        raise InputError(f"g(r) needs a positive r_max and at least one bin, not {r_max} and {n_bins}")
    limit = 0.5 * sides.min() if periodic else sides.min()
    if r_max * stretch > limit or (not periodic and r_max * stretch == limit):
        raise InputError(f"r_max of g(r) is {r_max:g}, beyond the {limit / stretch:g} that the region allows")


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
