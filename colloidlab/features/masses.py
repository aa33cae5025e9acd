"""The least mass of a particle, from masses and peak brightnesses of everything that was found.

Clutter (noise, ghosts of compression, rings around particles) is told from particles by its peak
brightness: particles of two sizes differ in mass, but little in brightness, while clutter is faint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FAINT = 0.3
"""Clutter is fainter than this fraction of the particles' brightness."""
_CLUTTER_COST = 3.0
"""Clutter taken for a particle costs as much as so many particles lost: ghosts make false links."""
_BELOW_PARTICLES = 3.0
"""Threshold below the particles' median ln(mass) where there is no clutter, in their standard deviations."""
_GAP = 1.0
"""A gap in ln(mass) this wide separates rings from particles: a factor of e."""
_LEAST_FEATURES = 4
_LEAST_SPREAD = 0.05
_SIGMAS = 1.2816
"""The 90th percentile of a normal distribution lies so many standard deviations above its median."""


@dataclass(frozen=True)
class LeastMass:
    """Threshold in grey levels, and the sentence that says how it was found."""

    minmass: float
    reason: str


def least_mass(masses: np.ndarray, signals: np.ndarray) -> LeastMass:
    """Threshold between clutter and particles.

    Parameters
    ----------
    masses, signals : float array, shape (n,), grey levels
        `mass` and `signal` of trackpy, for features found with minmass 0.
    """
    positive = (masses > 0) & (signals > 0)
    logs, brightness = np.log(masses[positive]), np.log(signals[positive])
    if len(logs) < _LEAST_FEATURES:
        least = 0.5 * float(np.exp(logs.min())) if len(logs) else 0.0
        return LeastMass(least, "half of the least mass, for too few features to tell particles from clutter")
    faint = brightness < split(brightness)
    if faint.any() and not faint.all() and _much_fainter(brightness[faint], brightness[~faint]):
        bound = _fewest_errors(logs, faint)
        bound = _past_rings(logs, brightness, bound)
        share = 100 * float((logs < bound).mean())
        return LeastMass(
            float(np.exp(bound)), f"above the masses of faint clutter, {share:.0f} % of the features"
        )
    bound = float(np.median(logs)) - _BELOW_PARTICLES * _spread_above(logs)
    return LeastMass(
        float(np.exp(bound)), "below the masses of the particles, for no faint clutter was found"
    )


def _much_fainter(faint: np.ndarray, bright: np.ndarray) -> bool:
    return bool(np.median(faint) < np.median(bright) + np.log(_FAINT))


def split(values: np.ndarray) -> float:
    """The value that separates two classes with the largest variance between them (Otsu 1979)."""
    ordered = np.sort(values)
    n = len(ordered)
    share = np.arange(1, n) / n
    below = np.cumsum(ordered)[:-1] / np.arange(1, n)
    above = (ordered.sum() - np.cumsum(ordered)[:-1]) / np.arange(n - 1, 0, -1)
    k = int(np.argmax(share * (1 - share) * (above - below) ** 2))
    return float(0.5 * (ordered[k] + ordered[k + 1]))


def _fewest_errors(logs: np.ndarray, faint: np.ndarray) -> float:
    """The ln(mass) that keeps most bright and fewest faint features."""
    order = np.argsort(logs)
    is_faint = faint[order]
    lost = np.r_[0, np.cumsum(~is_faint)]
    kept = is_faint.sum() - np.r_[0, np.cumsum(is_faint)]
    k = int(np.argmin(lost + _CLUTTER_COST * kept))
    ordered = logs[order]
    return float(0.5 * (ordered[max(k - 1, 0)] + ordered[min(k, len(ordered) - 1)]))


def _spread_above(logs: np.ndarray) -> float:
    """Standard deviation as the upper half shows it, which faint clutter does not reach."""
    middle, high = np.percentile(logs, [50.0, 90.0])
    return float(max((high - middle) / _SIGMAS, _LEAST_SPREAD))


def _past_rings(logs: np.ndarray, brightness: np.ndarray, bound: float) -> float:
    """Raise the bound to the middle of a wide gap, if what lies between is as faint as clutter."""
    kept = logs >= bound
    ordered = np.sort(logs[kept])
    if len(ordered) < 2:
        return bound
    k = int(np.argmax(np.diff(ordered)))
    middle = 0.5 * (ordered[k] + ordered[k + 1])
    between = kept & (logs < middle)
    if ordered[k + 1] - ordered[k] > _GAP and _much_fainter(brightness[between], brightness[logs >= middle]):
        return float(middle)
    return bound
