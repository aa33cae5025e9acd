"""Distinct part of the van Hove function: where the other particles are, some time after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numba
import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.radial import check_reach
from colloidlab.indicators.trajectories import Floats, Integers, snapshots
from colloidlab.indicators.window import Corners, Window
from colloidlab.progress import SILENT, Monitor

_MAX_BLOCKS = 20


def van_hove_distinct(
    tracks: pd.DataFrame,
    *,
    lag: int,
    r_max: float,
    n_bins: int,
    region: Corners | None = None,
    box: Sequence[float] | None = None,
    drift: Literal["none", "mean"] = "none",
    rng: np.random.Generator | None = None,
    monitor: Monitor = SILENT,
) -> Curve:
    """Distinct van Hove function over the density, G_d(r, τ)/ρ: other particles at distance r, τ later.

    How much likelier than in an ideal gas *another* particle is, at t + τ, at distance r from where a
    particle was at t. It is g(r) for τ = 0 and 1 far away; while particles rattle in cages its shells
    blur, and it fills at r = 0 when particles take the places of others.

    Edges are corrected exactly, as in `pair_correlation`: each pair with the separation d counts 1/|W ∩ (W + d)|.
    Particles that come and go count in the frames in which they are seen: the sum is divided by N(t) N(t + τ)
    less the particles in both. The localisation errors of both places blur the curve.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px; the region or box has as many axes.
    lag : int
        τ, frames.
    r_max : float
        Largest distance, px; less than the shortest side of the region, at most half of the box.
    n_bins : int
    region : (lower corner, upper corner), optional
        Open rectangle in which every particle is found.
    box : (D,) sides, optional
        Periodic box. Exactly one of `region` and `box` is given.
    drift : {"none", "mean"}
        "mean" measures r from where the mean displacement between the two frames would have carried the particle.
    rng : numpy Generator, optional
        Resampling; by default the same table always gives the same band.
    monitor : Monitor

    Returns
    -------
    Curve
        x at the bins' centres, px; y without unit. Band: 95 %, bootstrap over at most 20 blocks of successive
        origins; NaN for a single origin.

    Raises
    ------
    InputError
        No two frames `lag` apart hold two different particles, or r_max does not fit the region.

    References
    ----------
    van Hove, Phys. Rev. 95, 249 (1954); Hansen & McDonald, Theory of Simple Liquids, 4th ed. (2013), section 7.4.
    """
    if lag < 0:
        raise InputError(f"the lag is {lag}; it is zero or more frames")
    window = Window.of("the van Hove function", region, box)
    check_reach("the van Hove function", r_max, n_bins, window)
    shots = snapshots(tracks)
    later = np.searchsorted(shots.frames, shots.frames + lag)
    origins = np.flatnonzero(shots.frames[np.minimum(later, shots.frames.size - 1)] == shots.frames + lag)
    n_blocks = min(origins.size, _MAX_BLOCKS)
    sums, pairs = np.zeros((n_blocks, n_bins)), np.zeros((n_blocks, 1))
    for k, origin in enumerate(monitor.track(origins, "van Hove function")):
        then = int(later[origin])
        here, first = _seen(shots.particles[origin], shots.positions[origin], window)
        there, second = _seen(shots.particles[then], shots.positions[then], window)
        _, in_first, in_second = np.intersect1d(here, there, assume_unique=True, return_indices=True)
        shift = np.zeros(window.sides.size)
        if drift == "mean" and in_first.size:
            shift = _mean_displacement(first[in_first], second[in_second], window)
            _check_shift(shift, r_max, window)
        block = k * n_blocks // origins.size
        _accumulate(first, second, here, there, shift, window.sides, window.periodic, r_max, sums[block])
        pairs[block] += here.size * there.size - in_first.size
    if pairs.sum() == 0:
        raise InputError(f"no two frames {lag} apart hold two different particles")
    edges = np.linspace(0.0, r_max, n_bins + 1)
    ideal = pairs * np.diff(window.sphere_volume(edges)) / window.volume**2
    y = sums.sum(axis=0) / ideal.sum(axis=0)
    samples = resample(sums, ideal, rng or np.random.default_rng(0))
    low, high = band(y, samples, np.full(n_bins, np.count_nonzero(pairs)))
    return Curve(0.5 * (edges[1:] + edges[:-1]), y, low, high, "px", "1")


def _seen(particles: Integers, positions: Floats, window: Window) -> tuple[Integers, Floats]:
    """Particles within the window, sorted along the first axis."""
    inside = window.inside(positions)
    points = window.wrapped(positions[inside])
    order = np.argsort(points[:, 0], kind="stable")
    return particles[inside][order], points[order]


def _mean_displacement(before: Floats, after: Floats, window: Window) -> Floats:
    moved = after - before
    if window.periodic:
        moved -= window.sides * np.round(moved / window.sides)
    return np.asarray(moved.mean(axis=0))


def _check_shift(shift: Floats, r_max: float, window: Window) -> None:
    if not window.periodic and (np.abs(shift) + r_max >= window.sides).any():
        raise InputError(
            f"the drift over the lag, {np.abs(shift).max():.3g} px, and r_max {r_max:g} reach beyond the view; "
            "choose a shorter lag or r_max"
        )


@numba.njit(cache=True, nogil=True)
def _accumulate(
    first: Floats,
    second: Floats,
    first_ids: Integers,
    second_ids: Integers,
    shift: Floats,
    sides: Floats,
    periodic: bool,
    r_max: float,
    sums: Floats,
) -> None:
    """Add every pair of different particles whose separation less `shift` is below r_max; `second` sorted by x."""
    n_bins, n = sums.size, second.shape[0]
    volume = np.prod(sides)
    for i in range(first.shape[0]):
        low = first[i, 0] + shift[0] - r_max
        # In a box the search may begin one side to the left or right of the particles as they are stored.
        turn = np.floor(low / sides[0]) * sides[0] if periodic else 0.0
        begin = np.searchsorted(second[:, 0], low - turn)
        for step in range(n):
            j = begin + step
            wrap = turn
            if j >= n:
                if not periodic:
                    break
                j -= n
                wrap += sides[0]
            along = second[j, 0] + wrap - first[i, 0]
            off = along - shift[0]
            if off > r_max:
                break
            if first_ids[i] == second_ids[j]:
                continue
            squared = off * off
            weight = 1.0 / volume if periodic else 1.0 / (sides[0] - abs(along))
            for d in range(1, sides.size):
                across = second[j, d] - first[i, d]
                off = across - shift[d]
                if periodic:
                    off -= sides[d] * np.round(off / sides[d])
                squared += off * off
                if abs(off) > r_max:
                    break
                if not periodic:
                    weight /= sides[d] - abs(across)
            k = int(min(np.sqrt(squared) / r_max * n_bins, n_bins))
            if k < n_bins:
                sums[k] += weight
