"""Amplitude and phase of a wave in a path that is known by its steps, with honest errors.

A path u(t) = Σ_k Re[U_k exp(2πi k f t)] + drift · t is fitted to its steps u(t_{j+1}) − u(t_j). Their noise is
taken as that of diffusion seen with localisation error: white, plus white noise differenced, so
that neighbouring steps are anticorrelated. Weighting by it is best both where diffusion and where
localisation prevails. The errors do not rely on it: they come from the spectrum of what is left,
around the wave's frequency.

| symbol | name |
|---|---|
| U_1 | `wave` |
| f | `frequency` |

References
----------
Vestergaard, Blainey & Flyvbjerg, Phys. Rev. E 89, 022726 (2014) (covariance of the steps);
Bloomfield, Fourier Analysis of Time Series, 2nd ed. (2000), chapters 2 and 9 (frequency and its error).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from colloidlab.indicators.trajectories import Floats, Integers

_LINES = 8
"""Frequencies beside the wave's, in units of the inverse of the duration, that show the noise."""

_ROUNDS = 8
_LARGEST_SHARE = 0.4999
"""Of localisation error in the variance of a step, -c1/c0; a half would be all of it."""


@dataclass(frozen=True)
class WaveFit:
    """Fundamental wave of c components.

    Parameters
    ----------
    frequency, frequency_error : float, 1/frame
        The error is zero where the frequency was given.
    wave : complex array, shape (c,)
        U: the path holds Re[U exp(2πi f t)], t in frames.
    covariance : float array, shape (c, 2, 2)
        Of the real and imaginary part of U.
    """

    frequency: float
    frequency_error: float
    wave: NDArray[np.complex128]
    covariance: Floats


def fit_wave(
    start: Integers,
    stop: Integers,
    steps: Floats,
    frequency: float,
    *,
    harmonics: tuple[int, ...] = (1,),
    refine: bool = False,
) -> WaveFit:
    """Least-squares wave in a path.

    Parameters
    ----------
    start, stop : int array, shape (n,)
        Frames between which each step leads; ascending.
    steps : float array, shape (n, c)
    frequency : float, 1/frame
    harmonics : tuple of int
        Multiples of the frequency that are fitted too, 1 first.
    refine : bool
        Improve the frequency (Gauss-Newton, components weighted by their noise), and
        count its error in those of the waves.
    """
    floor = 1e-24 * max(float((steps**2).mean()), 1e-300)
    multiples = np.array(harmonics, dtype=np.int64)
    error = 0.0
    for _ in range(_ROUNDS if refine else 1):
        fits = [
            _fit_one(start, stop, np.ascontiguousarray(column), frequency, multiples, floor)
            for column in steps.T
        ]
        if refine:
            information = sum(fit[2] for fit in fits)
            frequency += sum(fit[3] for fit in fits) / information
            error = float(information**-0.5)
    covariance = np.stack([own + np.outer(drag, drag) * error**2 for _, own, _, _, drag in fits])
    return WaveFit(frequency, error, np.array([complex(*fit[0]) for fit in fits]), covariance)


@numba.njit(cache=True, nogil=True)
def _fit_one(
    start: Integers, stop: Integers, steps: Floats, f: float, harmonics: Integers, floor: float
) -> tuple[Floats, Floats, float, float, Floats]:
    """One component: wave and covariance (real, imaginary); information on f, pull on f; d wave/d frequency."""
    basis, slope = _increments(start, stop, f, harmonics)
    left = steps - basis @ _inverse(basis) @ steps
    diagonal, below = _noise_factor(left, start, stop)
    b, d, y = (
        _over(basis, diagonal, below),
        _over(slope, diagonal, below),
        _over(steps.reshape(-1, 1), diagonal, below)[:, 0].copy(),
    )
    inverse = _inverse(b)
    found = inverse @ y
    left = y - b @ found
    noise = max(_density(left, 0.5 * (start + stop), f, harmonics), floor)
    bent = d @ found[1:]
    drag = -(inverse @ bent)
    across = bent + b @ drag
    covariance = noise * (inverse @ inverse.T)
    information, pull = (across @ across) / noise, (across @ left) / noise
    return found[1:3].copy(), covariance[1:3, 1:3].copy(), information, pull, drag[1:3].copy()


@numba.njit(cache=True, nogil=True)
def _increments(start: Integers, stop: Integers, f: float, harmonics: Integers) -> tuple[Floats, Floats]:
    """Steps of t and of the real and imaginary part of every wave, and the derivative of the latter by f."""
    columns = np.empty((start.size, 1 + 2 * harmonics.size))
    slopes = np.empty((start.size, 2 * harmonics.size))
    for j in range(start.size):
        columns[j, 0] = stop[j] - start[j]
        for m in range(harmonics.size):
            late_rate, early_rate = 2 * np.pi * harmonics[m] * stop[j], 2 * np.pi * harmonics[m] * start[j]
            late, early = f * late_rate, f * early_rate
            columns[j, 1 + 2 * m] = np.cos(late) - np.cos(early)
            columns[j, 2 + 2 * m] = np.sin(early) - np.sin(late)
            slopes[j, 2 * m] = early_rate * np.sin(early) - late_rate * np.sin(late)
            slopes[j, 2 * m + 1] = early_rate * np.cos(early) - late_rate * np.cos(late)
    return columns, slopes


@numba.njit(cache=True, nogil=True)
def _inverse(basis: Floats) -> Floats:
    """Pseudo-inverse; with columns of one size, or it would drop the small ones."""
    scale = np.sqrt((basis**2).sum(axis=0))
    scale[scale == 0] = 1.0
    return np.ascontiguousarray((np.linalg.pinv(basis / scale).T / scale).T)


@numba.njit(cache=True, nogil=True)
def _noise_factor(left: Floats, start: Integers, stop: Integers) -> tuple[Floats, Floats]:
    """Cholesky factor (diagonal, and below it) of the covariance of steps whose remainder is `left`, per variance."""
    n = left.size
    total, products, joints = 0.0, 0.0, 0
    for j in range(n):
        total += left[j] ** 2
        if j > 0 and stop[j - 1] == start[j]:
            products += left[j] * left[j - 1]
            joints += 1
    share = 0.0
    if n > 2 and joints > 0 and total > 0:
        share = min(max(-(products / joints) / (total / n), 0.0), _LARGEST_SHARE)
    diagonal, below = np.empty(n), np.zeros(n)
    for j in range(n):
        # Diffusion goes with the time that a step takes; localisation error enters at both of its ends.
        variance = 2 * share + (1 - 2 * share) * (stop[j] - start[j])
        if j > 0 and stop[j - 1] == start[j]:
            below[j] = -share / diagonal[j - 1]
        diagonal[j] = np.sqrt(variance - below[j] ** 2)
    return diagonal, below


@numba.njit(cache=True, nogil=True)
def _over(columns: Floats, diagonal: Floats, below: Floats) -> Floats:
    """Columns over the factor, by forward substitution."""
    white = np.empty_like(columns)
    white[0] = columns[0] / diagonal[0]
    for j in range(1, columns.shape[0]):
        white[j] = (columns[j] - below[j] * white[j - 1]) / diagonal[j]
    return white


@numba.njit(cache=True, nogil=True)
def _density(left: Floats, when: Floats, f: float, harmonics: Integers) -> float:
    """Spectral density per variance of white noise, around f but not at it or at its harmonics."""
    n = left.size
    span = when[-1] - when[0] + 1
    n_lines = max(int(0.5 * span) - 1, 1)
    distance = np.empty(n_lines)
    for line in range(n_lines):
        here = (line + 1) / span
        distance[line] = abs(here - f)
        for k in harmonics:
            if abs(here - k * f) < 1 / span:
                distance[line] = np.inf
    total, number = 0.0, 0
    for line in np.argsort(distance)[:_LINES]:
        if distance[line] == np.inf:
            break
        wave = 2 * np.pi * (line + 1) / span * when
        total += (left @ np.cos(wave)) ** 2 + (left @ np.sin(wave)) ** 2
        number += 1
    if number == 0:
        return float(left @ left) / max(n - 1 - 2 * harmonics.size, 1)
    return total / number / n
