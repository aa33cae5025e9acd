"""Static structure factor S(q) from positions, in an open view or a periodic box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np
from scipy import fft

from colloidlab.errors import InputError
from colloidlab.indicators.bootstrap import band, resample
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.trajectories import Floats, Integers
from colloidlab.indicators.window import Corners, Window
from colloidlab.progress import SILENT, Monitor

_MAX_BLOCKS = 20
_WIDTH = 10
"""Grid points per axis over which one particle is spread; the error of a mode is then about 1e-8."""

_SHAPE = 2.3 * _WIDTH
_TAPER_REACH = 1.5
"""Half width of the main lobe of the sine taper's transform, in units of 2π/L."""


def structure_factor(
    frames: Sequence[Floats],
    *,
    q_max: float,
    n_bins: int,
    region: Corners | None = None,
    box: Sequence[float] | None = None,
    rng: np.random.Generator | None = None,
    monitor: Monitor = SILENT,
) -> Curve:
    """Static structure factor S(q) = ⟨|Σ_j exp(−i q·r_j)|²⟩/N, averaged over the directions of q.

    In a periodic box the wave vectors that fit it are used, all of them up to `q_max`, and the sum is as written.

    An open view multiplies the density by the view's own shape, whose diffraction pattern falls off only as
    q⁻² along the axes: it would cover the small S(q) of a dense suspension below the first peak. Therefore each particle
    counts with the taper h = Π_d √2 sin(π x_d/L_d), which goes smoothly to zero at the edge, and the
    transform H(q) of a uniform density under the same taper is subtracted:

        S(q) = ⟨|Σ_j h(r_j) exp(−i q·r_j) − N H(q)/|W||²⟩ / (⟨Σ_j h(r_j)²⟩ (1 − |H(q)|²/|W|²)) .

    The mean of h² is 1, and the last factor makes an ideal gas of N particles exactly 1. The price is resolution:
    peaks are as wide as 3π/L, and below q = 3π/L, with L the shortest side, S(q) is not known: the curve begins
    there. (In a box it begins at 2π/L.) Localisation errors lower S(q) − 1 by the factor exp(−q²σ²).

    Parameters
    ----------
    frames : sequence of float array, shape (n, D), D = 2 or 3
        Positions, one array a frame; rows outside `region` or with NaN are ignored.
    q_max : float
        Largest wave number, 1/px; four peaks of a dense suspension are below 8π/(distance of neighbours).
    n_bins : int
        Equal bins between 0 and `q_max`; those without a wave vector are left out.
    region : (lower corner, upper corner), optional
        Open rectangle in which every particle is found.
    box : (D,) sides, optional
        Periodic box. Exactly one of `region` and `box` is given.
    rng : numpy Generator, optional
        Resampling; by default the same frames always give the same band.
    monitor : Monitor

    Returns
    -------
    Curve
        x in 1/px, the mean wave number of a bin; y without unit. Band: 95 %, bootstrap over at most 20 blocks of
        successive frames; NaN for a single frame.

    Raises
    ------
    InputError
        No frame holds a particle, or no wave vector lies between the lowest and `q_max`.

    References
    ----------
    Hansen & McDonald, Theory of Simple Liquids, 4th ed. (2013), section 4.1. Taper and subtraction: Rajala, Olhede,
    Grainger & Murrell, IEEE Trans. Inf. Theory 69, 6010 (2023); Hawat, Gautier, Bardenet & Lachièze-Rey,
    Stat. Comput. 33, 61 (2023), section 3.
    """
    window = Window.of("S(q)", region, box)
    if not q_max > 0 or n_bins < 1:
        raise InputError(f"S(q) needs a positive q_max and at least one bin, not {q_max} and {n_bins}")
    modes = _modes(window, q_max, n_bins)
    n_blocks = min(len(frames), _MAX_BLOCKS)
    sums, numbers = np.zeros((n_blocks, n_bins)), np.zeros((n_blocks, 1))
    for k, points in enumerate(monitor.track(frames, "S(q)")):
        kept = points[window.inside(points)]
        if kept.shape[0] == 0:
            continue
        block = k * n_blocks // len(frames)
        power, number = modes.power(kept, window)
        sums[block] += power
        numbers[block] += number
    if numbers.sum() == 0:
        raise InputError("no frame holds a particle, so there is no structure factor")
    found = modes.weight > 0
    ideal = numbers * modes.weight[found]
    sums = sums[:, found]
    y = sums.sum(axis=0) / ideal.sum(axis=0)
    samples = resample(sums, ideal, rng or np.random.default_rng(0))
    low, high = band(y, samples, np.full(y.size, np.count_nonzero(numbers)))
    return Curve(modes.q[found], y, low, high, "px^-1", "1")


def lowest_wave_number(*, region: Corners | None = None, box: Sequence[float] | None = None) -> float:
    """Smallest q at which S(q) is known: 2π/L in a box, 3π/L in an open view, L the longest and shortest side."""
    window = Window.of("S(q)", region, box)
    if window.periodic:
        return float(2 * np.pi / window.sides.max())
    return float(2 * np.pi * _TAPER_REACH / window.sides.min())


@dataclass(frozen=True)
class _Modes:
    """The wave vectors q = 2π n/L of a window, n on one half of the integer grid (the other half is its mirror image).

    Parameters
    ----------
    most : int array, shape (D,)
        Largest |n| of each axis.
    shape : int array, shape (D,)
        Points of the grid on which particles are spread before the Fourier transform.
    bins : int array, shape of the half grid
        Bin of each wave vector; n_bins for those not used.
    share : float array, shape of the half grid
        How often the vector and its mirror image count, over the variance of an ideal gas there.
    shift : float array, shape of the half grid
        Transform of the uniform density per particle, to be subtracted; zero in a box.
    correction : list of float array
        Per axis, what undoes the spreading.
    q, weight : float array, shape (n_bins,)
        Mean wave number and number of wave vectors of each bin.
    """

    most: Integers
    shape: Integers
    bins: Integers
    share: Floats
    shift: Floats
    correction: list[Floats]
    q: Floats
    weight: Floats

    def power(self, points: Floats, window: Window) -> tuple[Floats, float]:
        """Sum over the wave vectors of each bin of |ρ_q|², of one frame, and the number of particles, Σ h²."""
        place = (points - window.lower) / window.sides
        mass = (
            np.ones(place.shape[0])
            if window.periodic
            else np.prod(np.sqrt(2) * np.sin(np.pi * place), axis=1)
        )
        grid = np.zeros(self.shape)
        spread = _spread_2d if self.shape.size == 2 else _spread_3d
        spread((place % 1.0) * self.shape, mass, grid)
        density = fft.rfftn(grid)
        for axis, correction in enumerate(self.correction):
            last = axis == self.shape.size - 1
            n = np.arange(self.most[axis] + 1) if last else _orders(int(self.most[axis]))
            density = np.take(density, n, axis=axis)
            density *= correction.reshape([-1 if a == axis else 1 for a in range(self.shape.size)])
        density -= place.shape[0] * self.shift
        power = (density.real**2 + density.imag**2) * self.share
        n_bins = self.q.size
        sums = np.bincount(self.bins.ravel(), power.ravel(), n_bins + 1)[:n_bins]
        return np.asarray(sums, dtype=np.float64), float(mass @ mass)


def _modes(window: Window, q_max: float, n_bins: int) -> _Modes:
    step = 2 * np.pi / window.sides
    most = np.floor(q_max / step).astype(np.int64)
    axes = [_orders(int(m)) for m in most[:-1]] + [np.arange(most[-1] + 1)]
    n = np.meshgrid(*axes, indexing="ij")
    length = np.sqrt(sum((k * s) ** 2 for k, s in zip(n, step)))
    lowest = 0.0 if window.periodic else float(_TAPER_REACH * step.max())
    used = (length > 0) & (length >= lowest * (1 - 1e-12)) & (length < q_max)
    if not used.any():
        raise InputError(
            f"q_max of S(q) is {q_max:g}, below the smallest wave number that the region allows; "
            f"it is {max(lowest, float(step.min())):g}"
        )
    shift = np.zeros(length.shape)
    if not window.periodic:
        # ∫ √2 sin(πu) exp(−2πi n u) du = 2√2/(π(1 − 4n²)) for whole n.
        shift = np.prod([2 * np.sqrt(2) / (np.pi * (1 - 4.0 * k**2)) for k in n], axis=0)
    count = np.where(n[-1] == 0, 1.0, 2.0)
    bins = np.where(used, np.minimum((length / q_max * n_bins).astype(np.int64), n_bins - 1), n_bins)
    weight = np.asarray(np.bincount(bins.ravel(), count.ravel(), n_bins + 1)[:n_bins], dtype=np.float64)
    total = np.bincount(bins.ravel(), (count * length).ravel(), n_bins + 1)[:n_bins]
    shape = np.array([fft.next_fast_len(int(max(2 * (2 * m + 1), 2 * _WIDTH)), real=True) for m in most])
    correction = [1 / _spread_transform(axis / size) for axis, size in zip(axes, shape)]
    share = count / np.where(used, 1 - shift**2, 1.0)
    return _Modes(most, shape, bins, share, shift, correction, total / np.maximum(weight, 1), weight)


def _orders(most: int) -> Integers:
    """0, 1, …, most, −most, …, −1: the order of a Fourier transform."""
    return np.concatenate([np.arange(most + 1), np.arange(-most, 0)])


def _spread_transform(frequency: Floats) -> Floats:
    """Fourier transform of the spreading function, frequency in cycles per grid point."""
    nodes, weights = _quadrature()
    profile = np.exp(_SHAPE * (np.sqrt(1 - nodes**2) - 1)) * weights * _WIDTH / 2
    return np.asarray(np.cos(np.pi * _WIDTH * np.abs(frequency)[:, None] * nodes) @ profile)


@lru_cache(maxsize=1)
def _quadrature() -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(100)
    return nodes, weights


@numba.njit(cache=True, nogil=True)
def _weights(place: float, out: Floats) -> int:
    """Weights of the grid points around `place` (exponential of a semicircle), and the first of these points.

    Barnett, Magland & af Klinteberg, SIAM J. Sci. Comput. 41, C479 (2019): sums over particles at any place
    become a fast Fourier transform.
    """
    first = int(np.ceil(place - _WIDTH / 2))
    for k in range(_WIDTH):
        z = (first + k - place) / (_WIDTH / 2)
        out[k] = np.exp(_SHAPE * (np.sqrt(max(1 - z * z, 0.0)) - 1))
    return first


@numba.njit(cache=True, nogil=True)
def _spread_2d(places: Floats, mass: Floats, grid: Floats) -> None:
    a, b = np.empty(_WIDTH), np.empty(_WIDTH)
    n_a, n_b = grid.shape
    for i in range(places.shape[0]):
        first_a, first_b = _weights(places[i, 0], a), _weights(places[i, 1], b)
        for k in range(_WIDTH):
            row, w = (first_a + k) % n_a, mass[i] * a[k]
            for m in range(_WIDTH):
                grid[row, (first_b + m) % n_b] += w * b[m]


@numba.njit(cache=True, nogil=True)
def _spread_3d(places: Floats, mass: Floats, grid: Floats) -> None:
    a, b, c = np.empty(_WIDTH), np.empty(_WIDTH), np.empty(_WIDTH)
    n_a, n_b, n_c = grid.shape
    for i in range(places.shape[0]):
        first_a, first_b = _weights(places[i, 0], a), _weights(places[i, 1], b)
        first_c = _weights(places[i, 2], c)
        for k in range(_WIDTH):
            for m in range(_WIDTH):
                w = mass[i] * a[k] * b[m]
                for l in range(_WIDTH):
                    grid[(first_a + k) % n_a, (first_b + m) % n_b, (first_c + l) % n_c] += w * c[l]
