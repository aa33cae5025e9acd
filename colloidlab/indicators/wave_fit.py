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
_LEAST_PIVOT = 1e-12
_SHARES = (0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.43, 0.45, 0.465, 0.475, 0.485, 0.49, 0.495, 0.4975, 0.499, 0.4999)
"""Of localisation error in the variance of a step, sigma^2 to 2 D + 2 sigma^2; a half would be all of it."""


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
    relative: Floats | None = None,
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
    relative : float array, shape (c,), optional
        How the variances of the noise of the components should compare. A component whose spectrum
        shows less than the median of all has this median: its own estimate, from a few lines, scatters.
    """
    floor = 1e-24 * max(float((steps**2).mean()), 1e-300)
    multiples = np.array(harmonics, dtype=np.int64)
    error = 0.0
    for _ in range(_ROUNDS if refine else 1):
        fits = [
            _fit_one(start, stop, np.ascontiguousarray(column), frequency, multiples) for column in steps.T
        ]
        waves, covariance, information, pull, drag, noise, colour = map(np.array, zip(*fits, strict=True))
        if relative is not None:
            pooled = np.median(noise * colour / relative)
            noise = np.maximum(noise, pooled * relative / colour)
        noise = np.maximum(noise, floor)
        if refine:
            frequency += float((pull / noise).sum() / (information / noise).sum())
            error = float((information / noise).sum() ** -0.5)
    shared = np.einsum("ca,cb->cab", drag, drag) * error**2
    return WaveFit(frequency, error, waves @ [1, 1j], covariance * noise[:, None, None] + shared)


@numba.njit(cache=True, nogil=True)
def _fit_one(
    start: Integers, stop: Integers, steps: Floats, f: float, harmonics: Integers
) -> tuple[Floats, Floats, float, float, Floats, float, float]:
    """Wave of one component and what its errors are made of.

    Wave (real, imaginary), covariance per noise; information on f and pull on it, times the noise; d wave/d f; noise, as
    the density of whitened steps; and density of the steps themselves per that of whitened ones.
    """
    basis, slope = _increments(start, stop, f, harmonics)
    first = _inverse(basis) @ steps
    share = _likeliest_share(np.asarray(steps - basis @ first), start, stop)
    diagonal, below = _factor(share, start, stop)
    b, d = _over(basis, diagonal, below), _over(slope, diagonal, below)
    y = np.ascontiguousarray(_over(steps.reshape(-1, 1), diagonal, below)[:, 0])
    inverse = _inverse(b)
    found = inverse @ y
    left = y - b @ found
    bent = d @ found[1:]
    drag = -(inverse @ bent)
    across = bent + b @ drag
    covariance = inverse @ inverse.T
    return (
        found[1:3].copy(),
        covariance[1:3, 1:3].copy(),
        float(across @ across),
        float(across @ left),
        drag[1:3].copy(),
        _density(left, start, stop, f, harmonics),
        1 - 2 * share * np.cos(2 * np.pi * f),
    )


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
    """(BᵀB)⁻¹Bᵀ by Gauss-Jordan elimination on columns of one size; a column that the others hold gets zero."""
    n, p = basis.shape
    scale = np.ones(p)
    for a in range(p):
        size = np.sqrt((basis[:, a] ** 2).sum())
        scale[a] = size if size > 0 else 1.0
    normal, out = np.empty((p, p)), np.empty((p, n))
    for a in range(p):
        out[a] = basis[:, a] / scale[a]
        for b in range(p):
            normal[a, b] = (basis[:, a] * basis[:, b]).sum() / (scale[a] * scale[b])
    for a in range(p):
        pivot = normal[a, a]
        if pivot < _LEAST_PIVOT:
            out[a] = 0.0
            normal[a] = 0.0
            continue
        out[a] /= pivot
        normal[a] /= pivot
        for b in range(p):
            if b != a:
                factor = normal[b, a]
                out[b] -= factor * out[a]
                normal[b] -= factor * normal[a]
    for a in range(p):
        out[a] /= scale[a]
    return out


@numba.njit(cache=True, nogil=True)
def _likeliest_share(left: Floats, start: Integers, stop: Integers) -> float:
    """Of localisation error in the variance of the steps, if `left` is their noise."""
    best, chosen = -np.inf, 0.0
    for share in _SHARES:
        diagonal, below = _factor(share, start, stop)
        total, logarithm, white = 0.0, 0.0, 0.0
        for j in range(left.size):
            white = (left[j] - below[j] * white) / diagonal[j]
            total += white**2
            logarithm += np.log(diagonal[j])
        likelihood = -0.5 * left.size * np.log(max(total, 1e-300)) - logarithm
        if likelihood > best:
            best, chosen = likelihood, share
    return chosen


@numba.njit(cache=True, nogil=True)
def _factor(share: float, start: Integers, stop: Integers) -> tuple[Floats, Floats]:
    """Cholesky factor (diagonal, and below it) of the covariance of steps, per variance of a step of one frame."""
    n = start.size
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
def _density(left: Floats, start: Integers, stop: Integers, f: float, harmonics: Integers) -> float:
    """Spectral density per variance of white noise, around f but not at it or at its harmonics."""
    n, when = left.size, 0.5 * (start + stop)
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
    while number < _LINES:
        line = int(np.argmin(distance))
        if distance[line] == np.inf:
            break
        distance[line] = np.inf
        wave = 2 * np.pi * (line + 1) / span * when
        total += (left * np.cos(wave)).sum() ** 2 + (left * np.sin(wave)).sum() ** 2
        number += 1
    if number == 0:
        return float((left**2).sum()) / max(n - 1 - 2 * harmonics.size, 1)
    return total / number / n
