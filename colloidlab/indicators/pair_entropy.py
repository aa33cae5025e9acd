"""Two-body excess entropy: how much order the pairs of particles show."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.neighbours import minimum_image, pairs_within
from colloidlab.indicators.radial import PairCounts, count_pairs
from colloidlab.indicators.trajectories import Floats, Integers, snapshots
from colloidlab.indicators.window import Corners, Window
from colloidlab.progress import SILENT, Monitor

PAIR_ENTROPY_COLUMNS = ("frame", "particle", "pair_entropy")

REACH_SPACINGS = 2.5
"""Usual upper limit of the integral of one particle, in distances of the first neighbours."""

SMOOTHING_SPACINGS = 0.12
"""Usual width of the smoothing of one particle's g(r), in distances of the first neighbours."""

_TAIL = 6.0
"""A neighbour's Gaussian is followed to this many standard deviations."""

_POINTS_PER_SIGMA = 4


def excess_entropy(
    frames: Sequence[Floats],
    *,
    r_max: float,
    n_bins: int,
    region: Corners | None = None,
    box: Sequence[float] | None = None,
    rng: np.random.Generator | None = None,
    monitor: Monitor = SILENT,
) -> Curve:
    """Two-body excess entropy per particle, s₂/k_B, as a function of where its integral ends.

        s₂/k_B = −(ρ S_D/2) ∫₀ᴿ [g ln g − g + 1] r^(D−1) dr ,    S_2 = 2π, S_3 = 4π

    It is zero for an ideal gas and falls without bound in a crystal as R grows; where the curve has levelled off, its
    value is the entropy. Chance fluctuations of g(r) count as order: N particles in one frame of an ideal gas have
    −1/(2N) for every bin. That is removed to first order, by the scatter between blocks of time (in a single
    frame by counting statistics). Frames that are copies of each other, as in an arrested sample, share their
    chance pairs, and no scatter over time shows it: the curve is then too low by up to that much.

    Parameters
    ----------
    frames, r_max, n_bins, region, box, rng, monitor
        As for `pair_correlation`. Bins of a twentieth of the distance of neighbours resolve a suspension.

    Returns
    -------
    Curve
        x = R in px, the upper edges of the bins; y without unit. Band: 95 %, bootstrap over at most 20 blocks
        of successive frames; NaN for a single frame.

    Raises
    ------
    InputError
        No frame holds two particles, or r_max does not fit the region.

    References
    ----------
    Nettleton & Green, J. Chem. Phys. 29, 1365 (1958); Baranyai & Evans, Phys. Rev. A 40, 3817 (1989).
    """
    window = Window.of("the pair entropy", region, box)
    found = count_pairs(frames, window, r_max=r_max, n_bins=n_bins, monitor=monitor)
    ring = found.density * np.diff(window.sphere_volume(found.edges))

    def integral(g: Floats) -> Floats:
        return np.cumsum(-0.5 * ring * _integrand(g), axis=-1)

    g = found.sums.sum(axis=0) / found.ideal.sum(axis=0)
    samples = integral(resample(found.sums, found.ideal, rng or np.random.default_rng(0)))
    # Chance in g of variance v adds ½ v/g to the integrand, whose second derivative is 1/g.
    relative = np.divide(_variance(found, g), g, out=np.zeros_like(g), where=g > 0)
    chance = np.cumsum(0.25 * ring * relative)
    plain = integral(g)
    # The resamples carry the chance of the data and their own once more.
    low, high = band(plain, samples + chance, np.full(n_bins, found.n_blocks))
    return Curve(found.edges[1:], plain + chance, low + chance, high + chance, "px", "1")


def particle_entropy(
    positions: Floats,
    *,
    r_max: float,
    smoothing: float,
    region: Corners | None = None,
    box: Sequence[float] | None = None,
    density: float | None = None,
) -> Floats:
    """Two-body excess entropy of each particle, from its own smoothed g(r).

        g_i(r) = Σ_j exp(−(r − r_ij)²/2w²)/√(2πw²) / (ρ S_D r^(D−1)) ,
        s_i/k_B = −(ρ S_D/2) ∫₀^r_max [g_i ln g_i − g_i + 1] r^(D−1) dr

    Very negative in crystal-like surroundings, nearer to zero in disorder. One particle has few neighbours, so that even an
    ideal gas is well below zero: compare values at the same r_max and smoothing, not with the entropy of the whole.

    NaN within r_max of the edge of an open view: a correction for the neighbours that are not seen
    would be right for g but not for its logarithm, and the edge would look more ordered than it is.

    Parameters
    ----------
    positions : float array, shape (n, D), D = 2 or 3
        Rows that are not finite, or outside `region`, have no entropy and are not counted.
    r_max : float
        Upper limit; 2.5 distances of neighbours is usual (`REACH_SPACINGS`).
    smoothing : float
        w; 0.12 distances of neighbours is usual (`SMOOTHING_SPACINGS`).
    region : (lower corner, upper corner), optional
        Open rectangle in which every particle is found.
    box : (D,) sides, optional
        Periodic box. Exactly one of `region` and `box` is given.
    density : float, optional
        ρ [that of the positions].

    Returns
    -------
    entropy : float array, shape (n,)
        In k_B.

    Raises
    ------
    InputError
        A length is not positive, or r_max and 6 w together exceed half the periodic box.

    References
    ----------
    Piaggi & Parrinello, J. Chem. Phys. 147, 114112 (2017), equations 2 and 4.
    """
    window = Window.of("the pair entropy", region, box)
    if not r_max > 0 or not smoothing > 0:
        raise InputError(
            f"the pair entropy needs positive lengths, not r_max {r_max} and smoothing {smoothing}"
        )
    positions = np.asarray(positions, dtype=np.float64)
    known = np.flatnonzero(window.inside(positions))
    points = positions[known]
    rho = known.size / window.volume if density is None else density
    out = np.full(positions.shape[0], np.nan)
    if known.size == 0:
        return out
    room = np.minimum(points - window.lower, window.lower + window.sides - points)
    whole = (room >= r_max).all(axis=1) | window.periodic
    pairs = pairs_within(points, r_max + _TAIL * smoothing, window.box)
    apart = minimum_image(points[pairs[:, 0]] - points[pairs[:, 1]], window.box)
    distance = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    n_points = int(np.ceil(_POINTS_PER_SIGMA * r_max / smoothing))
    r = (np.arange(n_points) + 0.5) * r_max / n_points
    shells = rho * (2 * np.pi * r if window.sides.size == 2 else 4 * np.pi * r**2)
    number = np.zeros((known.size, n_points))
    _smooth(pairs, distance, smoothing, r_max / n_points, number)
    entropy = -0.5 * r_max / n_points * (_integrand(number / shells) @ shells)
    out[known[whole]] = entropy[whole]
    return out


def pair_entropy_table(
    tracks: pd.DataFrame,
    *,
    r_max_px: float,
    smoothing_px: float,
    region: Corners | None = None,
    box: Sequence[float] | None = None,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """Two-body excess entropy of every particle in every frame, with the mean density of all frames.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px; the region or box has as many axes.
    r_max_px, smoothing_px, region, box
        As for `particle_entropy`, px.
    monitor : Monitor

    Returns
    -------
    DataFrame
        frame, particle, pair_entropy, sorted by frame and particle.
    """
    shots = snapshots(tracks)
    window = Window.of("the pair entropy", region, box)
    number = sum(int(window.inside(points).sum()) for points in shots.positions)
    density = number / max(len(shots.positions), 1) / window.volume
    values = [
        particle_entropy(
            points, r_max=r_max_px, smoothing=smoothing_px, region=region, box=box, density=density
        )
        for points in monitor.track(shots.positions, "pair entropy")
    ]
    return shots.table({"pair_entropy": values})


def _variance(found: PairCounts, g: Floats) -> Floats:
    """Variance of g(r) in each bin, from blocks of time; of one frame alone, that of independent pairs."""
    n_blocks = found.sums.shape[0]
    if n_blocks == 1:
        return np.asarray(g / np.maximum(found.pairs_per_frame, 1e-300))
    off = found.sums - g * found.ideal
    return np.asarray(n_blocks / (n_blocks - 1) * np.sum(off**2, axis=0) / found.ideal.sum(axis=0) ** 2)


def _integrand(g: Floats) -> Floats:
    """g ln g − g + 1, which is 1 where g is 0."""
    log = np.log(g, out=np.zeros_like(g), where=g > 0)
    return np.asarray(g * log - g + 1)


@numba.njit(cache=True, nogil=True)
def _smooth(pairs: Integers, distance: Floats, width: float, step: float, number: Floats) -> None:
    """Add to both particles of each pair its normalised Gaussian at the points (k + ½) step, cut at 6 widths."""
    n_points = number.shape[1]
    norm, narrow = 1.0 / np.sqrt(2 * np.pi) / width, step / width
    bend = np.exp(-narrow * narrow)
    for p in range(pairs.shape[0]):
        i, j, r = pairs[p, 0], pairs[p, 1], distance[p]
        first = max(int(np.ceil((r - _TAIL * width) / step - 0.5)), 0)
        last = min(int(np.floor((r + _TAIL * width) / step - 0.5)), n_points - 1)
        z = ((first + 0.5) * step - r) / width
        # From point to point a Gaussian grows by a factor that itself changes by a constant factor.
        value, growth = norm * np.exp(-0.5 * z * z), np.exp(-narrow * (z + 0.5 * narrow))
        for k in range(first, last + 1):
            number[i, k] += value
            number[j, k] += value
            value *= growth
            growth *= bend
