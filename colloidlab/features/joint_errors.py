"""How well a joint fit knows its positions, and how well it describes each particle.

With the Jacobian J of all particles, weights w and H = J^T w J, noise of covariance V gives the estimate the
covariance H^-1 J^T w V w J H^-1 (the sandwich). It is taken in two factors:

neighbours
    H^-1 for one particle with its neighbours free: (H_kk - sum_j H_kj H_jj^-1 H_jk)^-1, as each neighbour that
    shares pixels may move as well.
correlated noise and misfit
    For white noise of the expected size the rest of the sandwich is one. Compression, smoothing and a template
    that does not fit leave more. A displacement is fitted to the residual along t'(r) cos(phi); what is left
    along t'(r) cos(m phi) with m = 2 and 3, which no parameter takes up, tells how much noise there is at that
    coarseness. Its power, in units of white noise, is the growth of the variance.

References
----------
White, Econometrica 48, 817 (1980), for the sandwich.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from colloidlab.features.joint import Fit, overlaps
from colloidlab.features.joint_kernels import AMPLITUDE, SCALE, add_prior, fill_normal, solve
from colloidlab.features.joint_population import BACKGROUND
from colloidlab.features.template import Template

_JUDGED = 1.2
"""Residuals are judged inside so many scales."""
_SAMPLED = 1000
_LEAST_FOR_GROWTH = 10
_CLIP = 4.0
_LEAST_GROWTH = 0.25
_CORRELATED = 2.0
_MOST_STEEP = 1.5
"""Where the modes hold more than twice the power of white noise, the noise is coarse, and a displacement (m = 1)
sees more of it than they do: by the ratio of m = 2 to m = 3, at most 1.5."""
_UNLIKE = 5.0
_MORE_LIGHT = 0.25
_USUAL, _LOPSIDED = 2.0, 0.3
"""What a particle leaves unexplained beyond twice the usual chi-square is light that the model lacks, such as a
neighbour out of view. All on one side, a share m of the squared light moves the centre by some 0.3 radii sqrt(m)."""
_UNRESOLVED = 0.3
"""Particles that are so many deviations from the population, with so much more light (in its logarithm), are
several in one place; each of them is known to this fraction of the radius."""


@dataclass(frozen=True)
class Quality:
    """Of every particle of a fit.

    Attributes
    ----------
    sigma : float array, shape (n, 2), px
        Standard deviations of x and y; NaN where the particle is not determined.
    chi2 : float array, shape (n,)
        Squared residual per pixel and noise variance inside the particle, per degree of freedom.
    misfit : float array, shape (n,)
        Squared residual beyond the noise over the squared light of the particle: 0 is perfect.
    """

    sigma: np.ndarray
    chi2: np.ndarray
    misfit: np.ndarray


def quality(fit: Fit, template: Template) -> Quality:
    """Errors and goodness of fit of all particles."""
    if len(fit.particles) == 0:
        return Quality(np.empty((0, 2)), np.empty(0), np.empty(0))
    start, index = overlaps(fit.particles, template.reach)
    variance = _marginal_variances(
        fit.residual,
        fit.weight,
        fit.particles,
        (start, index),
        (template.table, template.reach),
        (template.population, BACKGROUND),
    )
    chi2, misfit = _goodness(
        fit.residual, fit.noise_weight, fit.particles, template.table, template.reach, _JUDGED
    )
    usual = float(np.nanmedian(chi2)) if np.isfinite(chi2).any() else 1.0
    # Compression is coarser here and finer there; a neighbour that the template does not fit shows, too.
    own = chi2 / max(usual, 1e-12)
    scale = fit.particles[:, SCALE]
    unresolved = np.where(_several(fit, template), _UNRESOLVED * scale, 0.0)
    strange = _LOPSIDED * scale * np.sqrt(misfit * np.clip((chi2 - _USUAL * usual) / (chi2 - 1.0), 0.0, 1.0))
    systematic = (unresolved**2 + np.where(chi2 > _USUAL * max(usual, 1.0), strange, 0.0) ** 2)[:, None]
    sigma = np.sqrt(variance * (own * _growth(fit, template))[:, None] + systematic)
    return Quality(sigma, chi2, misfit)


def _several(fit: Fit, template: Template) -> np.ndarray:
    """True for particles with too much light for one of the population: two or more on top of each other."""
    values = np.log(fit.particles[:, [AMPLITUDE, SCALE]])
    mean, deviation = template.population[:, 1:3], template.population[:, 3:5]
    unlike = (((values[:, None] - mean) / deviation) ** 2).sum(axis=2).min(axis=1)
    flux, heaviest = values @ [1.0, 2.0], (mean @ [1.0, 2.0]).max()
    return np.asarray((unlike > _UNLIKE**2) & (flux > heaviest + _MORE_LIGHT))


def _growth(fit: Fit, template: Template) -> float:
    """Power of the residual in the modes next to that of a displacement, in units of white noise."""
    sample = fit.particles[:: max(1, len(fit.particles) // _SAMPLED)]
    modes = _modes(fit.residual, fit.weight, sample, template.table, template.reach)
    modes = modes[np.isfinite(modes).all(axis=1)]
    if len(modes) < _LEAST_FOR_GROWTH:
        return 1.0
    spread = 1.4826 * np.median(np.abs(modes), axis=0)
    power = (np.clip(modes / spread, -_CLIP, _CLIP) ** 2).mean(axis=0) * spread**2
    two, three = float(power[:2].mean()), float(power[2:].mean())
    mean = max(0.5 * (two + three), _LEAST_GROWTH)
    # Within the scatter of so many modes the noise is what it should be.
    if abs(mean - 1) < 2 * np.sqrt(2 / modes.size):
        return 1.0
    return mean * min(max(two / three, 1.0), _MOST_STEEP) if mean > _CORRELATED else mean


@njit(cache=True, nogil=True, error_model="numpy")
def _modes(
    residual: np.ndarray, weight: np.ndarray, particles: np.ndarray, table: np.ndarray, reach: float
) -> np.ndarray:
    """Residual along t'(r) cos(m phi), sin(m phi), m = 2 and 3, each of unit variance for white noise.

    NaN for particles that are not wholly in view.
    """
    height, width = residual.shape
    n = len(particles)
    result = np.full((n, 4), np.nan)
    mode, total, norm = np.empty(4), np.empty(4), np.empty(4)
    for k in range(n):
        x, y, _, scale = particles[k]
        extent = reach * scale
        if x < extent or y < extent or x > width - 1 - extent or y > height - 1 - extent:
            continue
        factor = (len(table) - 2) / (extent * extent)
        total[:] = 0.0
        norm[:] = 0.0
        for row in range(math.ceil(y - extent), math.floor(y + extent) + 1):
            for column in range(math.ceil(x - extent), math.floor(x + extent) + 1):
                dx, dy = column - x, row - y
                square = dx * dx + dy * dy
                i = int(square * factor)
                if i >= len(table) - 2 or square < 1e-6:
                    continue
                root = math.sqrt(weight[row, column])
                z = residual[row, column] * root
                steep = table[i, 1] * root
                r = math.sqrt(square)
                mode[0], mode[1] = steep * (dx * dx - dy * dy) / r, steep * 2 * dx * dy / r
                mode[2] = steep * dx * (dx * dx - 3 * dy * dy) / square
                mode[3] = steep * dy * (3 * dx * dx - dy * dy) / square
                for m in range(4):
                    total[m] += mode[m] * z
                    norm[m] += mode[m] * mode[m]
        for m in range(4):
            result[k, m] = total[m] / math.sqrt(norm[m]) if norm[m] > 0 else np.nan
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def _goodness(
    residual: np.ndarray,
    weight: np.ndarray,
    particles: np.ndarray,
    table: np.ndarray,
    reach: float,
    judged: float,
) -> tuple[np.ndarray, np.ndarray]:
    """chi-square per degree of freedom, and misfit, of every particle."""
    height, width = residual.shape
    n = len(particles)
    chi2, misfit = np.full(n, np.nan), np.full(n, np.nan)
    for k in range(n):
        x, y, amplitude, scale = particles[k]
        radius = judged * scale
        factor = (len(table) - 2) / (reach * scale) ** 2
        squares = light = count = 0.0
        for row in range(max(0, math.ceil(y - radius)), min(height - 1, math.floor(y + radius)) + 1):
            for column in range(max(0, math.ceil(x - radius)), min(width - 1, math.floor(x + radius)) + 1):
                square = (column - x) ** 2 + (row - y) ** 2
                w = weight[row, column]
                if square >= radius * radius or w <= 0:
                    continue
                i = min(int(square * factor), len(table) - 1)
                value = amplitude * table[i, 0]
                squares += w * residual[row, column] ** 2
                light += w * value * value
                count += 1.0
        if count > 4.0 and light > 0:
            chi2[k] = squares / (count - 4.0)
            misfit[k] = max(squares - count, 0.0) / light
    return chi2, misfit


@njit(cache=True, nogil=True, inline="always")
def _stride(particle: np.ndarray) -> int:
    """Every second row of large particles will do: the information is smooth."""
    return 2 if particle[SCALE] > 4.0 else 1


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _fill_cross(
    weight: np.ndarray, one: np.ndarray, other: np.ndarray, table: np.ndarray, reach: float, cross: np.ndarray
) -> None:
    """J_one^T w J_other of two particles over the pixels that they share."""
    height, width = weight.shape
    cross[:] = 0.0
    reach_one, reach_other = reach * one[SCALE], reach * other[SCALE]
    factor_one = np.float32((len(table) - 2) / (reach_one * reach_one))
    factor_other = np.float32((len(table) - 2) / (reach_other * reach_other))
    limit = len(table) - 2
    stride = min(_stride(one), _stride(other))
    top = max(0, math.ceil(max(one[1] - reach_one, other[1] - reach_other)))
    bottom = min(height - 1, math.floor(min(one[1] + reach_one, other[1] + reach_other)))
    left = max(0, math.ceil(max(one[0] - reach_one, other[0] - reach_other)))
    right = min(width - 1, math.floor(min(one[0] + reach_one, other[0] + reach_other)))
    a, b = np.zeros(4, np.float32), np.zeros(4, np.float32)
    for row in range(top, bottom + 1, stride):
        for column in range(left, right + 1):
            w = weight[row, column]
            ax, ay = np.float32(column - one[0]), np.float32(row - one[1])
            bx, by = np.float32(column - other[0]), np.float32(row - other[1])
            qa, qb = (ax * ax + ay * ay) * factor_one, (bx * bx + by * by) * factor_other
            if w <= 0 or qa >= limit or qb >= limit:
                continue
            i, j = int(qa), int(qb)
            a[0], a[1], a[2], a[3] = table[i, 1] * ax, table[i, 1] * ay, table[i, 0], table[i, 1] * qa
            b[0], b[1], b[2], b[3] = table[j, 1] * bx, table[j, 1] * by, table[j, 0], table[j, 1] * qb
            for m in range(4):
                for n in range(4):
                    cross[m, n] += w * a[m] * b[n]
    strength = stride * one[AMPLITUDE] * other[AMPLITUDE]
    for m in range(4):
        left_factor = -2.0 * factor_one if m < 2 else (1.0 if m == 2 else -2.0)
        for n in range(4):
            right_factor = -2.0 * factor_other if n < 2 else (1.0 if n == 2 else -2.0)
            cross[m, n] *= strength * left_factor * right_factor


@njit(cache=True, nogil=True, error_model="numpy")
def _marginal_variances(
    residual: np.ndarray,
    weight: np.ndarray,
    particles: np.ndarray,
    neighbours: tuple[np.ndarray, np.ndarray],
    template: tuple[np.ndarray, float],
    prior: tuple[np.ndarray, float],
) -> np.ndarray:
    """Variances of x and y with the neighbours free, shape (n, 2)."""
    table, reach = template
    start, index = neighbours
    n = len(particles)
    information = np.empty((n, 4, 4))
    gradient = np.empty(4)
    for k in range(n):
        fill_normal(
            residual, weight, particles[k], table, reach, _stride(particles[k]), information[k], gradient
        )
        add_prior(particles[k], prior[0], prior[1], information[k], gradient)
    left = information.copy()
    cross, factor, column = np.empty((4, 4)), np.empty((4, 4)), np.empty(4)
    for k in range(n):
        for j in index[start[k] : start[k + 1]]:
            if j < k:
                continue
            _fill_cross(weight, particles[k], particles[j], table, reach, cross)
            _take_off(left[k], information[j], cross, factor, column)
            _turn(cross)
            _take_off(left[j], information[k], cross, factor, column)
    variance = np.full((n, 2), np.nan)
    for k in range(n):
        for axis in range(2):
            column[:] = 0.0
            column[axis] = 1.0
            _copy(left[k], factor)
            if solve(factor, column) and column[axis] > 0:
                variance[k, axis] = column[axis]
    return variance


@njit(cache=True, nogil=True)
def _turn(matrix: np.ndarray) -> None:
    """Transpose in place; a transposed view would have what takes it compiled twice."""
    for i in range(matrix.shape[0]):
        for j in range(i):
            matrix[i, j], matrix[j, i] = matrix[j, i], matrix[i, j]


@njit(cache=True, nogil=True)
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    """Copy a matrix; an assignment of a slice would compile the words of its error, for seconds."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _take_off(
    left: np.ndarray, other: np.ndarray, cross: np.ndarray, factor: np.ndarray, column: np.ndarray
) -> None:
    """left -= cross other^-1 cross^T."""
    for i in range(4):
        for m in range(4):
            column[m] = cross[i, m]
        _copy(other, factor)
        if not solve(factor, column):
            return
        for j in range(4):
            total = 0.0
            for m in range(4):
                total += cross[j, m] * column[m]
            left[i, j] -= total
