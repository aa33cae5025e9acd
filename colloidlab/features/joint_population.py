"""Sizes and brightnesses of the particles of a recording, as a mixture of one or two species."""

from __future__ import annotations

import numpy as np

from colloidlab.features.joint_kernels import AMPLITUDE, SCALE

OUTSIDERS = 0.02
"""Share of particles that belong to no species, and their spread in ln amplitude and ln scale."""
_OUTSIDE_AREA = 3.0 * 2.0
BACKGROUND = OUTSIDERS / _OUTSIDE_AREA
"""Density of outsiders per unit of ln amplitude and ln scale."""
_LEAST_DEVIATION = 0.015
_LEAST_PARTICLES = 20
_ROUNDS = 60
_CLEARLY_TWO = 2.0
"""Two species are told apart when their means differ by this many times the sum of their deviations."""
_FEWEST_SHARE = 0.05


def species(particles: np.ndarray) -> np.ndarray:
    """Mixture of normal distributions of ln A and ln s, by expectation maximisation.

    Parameters
    ----------
    particles : float array, shape (n, 4)
        x, y, amplitude, scale.

    Returns
    -------
    float array, shape (m, 5)
        Share, mean ln A, mean ln s, deviation of ln A, of ln s; m is 2 only where two species are clearly
        apart in size or brightness.
    """
    values = np.log(particles[:, [AMPLITUDE, SCALE]])
    centre = np.median(values, axis=0)
    spread = 1.4826 * np.median(np.abs(values - centre), axis=0)
    one = np.array([[1.0, *centre, *np.maximum(spread, 2 * _LEAST_DEVIATION)]])
    if len(values) < _LEAST_PARTICLES:
        return one
    low, high = np.percentile(values, [20, 80], axis=0)
    best, best_score = _expectation(values, one)
    best_score -= 2.5 * np.log(len(values))
    for axis in (1, 2):
        two = np.repeat(one, 2, axis=0)
        two[:, 0] = 0.5
        two[:, axis] = low[axis - 1], high[axis - 1]
        two[:, axis + 2] *= 0.5
        fitted, score = _expectation(
            values, np.maximum(two, [0, -np.inf, -np.inf, _LEAST_DEVIATION, _LEAST_DEVIATION])
        )
        score -= 5.0 * np.log(len(values))
        if score > best_score and _apart(fitted):
            best, best_score = fitted, score
    return best


def _apart(two: np.ndarray) -> bool:
    means, deviations = two[:, 1:3], two[:, 3:5]
    gap = np.abs(means[0] - means[1]) / deviations.sum(axis=0)
    return bool(gap.max() > _CLEARLY_TWO / 2 and two[:, 0].min() > _FEWEST_SHARE)


def _expectation(values: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
    """Mixture that the data make of `start`, and its log-likelihood."""
    current = start.copy()
    loglik = -np.inf
    for _ in range(_ROUNDS):
        z = (values[:, None, :] - current[None, :, 1:3]) / current[None, :, 3:5]
        density = (
            current[:, 0] * np.exp(-0.5 * (z**2).sum(axis=2)) / (2 * np.pi * current[:, 3] * current[:, 4])
        )
        total = density.sum(axis=1) + BACKGROUND
        previous, loglik = loglik, float(np.log(total).sum())
        duty = density / total[:, None]
        weight = np.maximum(duty.sum(axis=0), 1e-9)
        current[:, 0] = weight / weight.sum()
        current[:, 1:3] = (duty[:, :, None] * values[:, None, :]).sum(axis=0) / weight[:, None]
        away = values[:, None, :] - current[None, :, 1:3]
        variance = (duty[:, :, None] * away**2).sum(axis=0) / weight[:, None]
        current[:, 3:5] = np.sqrt(np.maximum(variance, _LEAST_DEVIATION**2))
        if loglik - previous < 1e-6 * abs(loglik):
            break
    return current[np.argsort(current[:, 2])], loglik
