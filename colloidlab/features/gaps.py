"""Bright gaps between particles, which look like particles to a band-pass, told apart by brightness and width.

In a dense layer seen in bright field every core has a dark ring, and what lies between the rings is as bright
as the cores: its mass after the band-pass is the same, but it is fainter at its peak and wider.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from colloidlab.features.masses import split

_LEAST_FEATURES = 40
_LEAST_SHARE = 0.1
"""Of the features, in either population."""
_VALLEY = (0.35, 0.65)
"""Middle of the way between the two typical brightnesses, on a logarithmic scale."""
_EMPTY = 0.25
"""Features in the valley, relative to what an even spread between the two would put there."""
_WIDER = 1.15
"""Gaps are wider than particles by at least this factor; small particles are fainter, too, but not wider."""


@dataclass(frozen=True)
class LeastSignal:
    """Threshold in grey levels of the band-passed image, and the sentence that says how it was found."""

    minsignal: float
    reason: str


def least_signal(signals: np.ndarray, sizes: np.ndarray) -> LeastSignal:
    """Threshold between bright gaps and particles; zero where there is no second population of wide, faint ones.

    Parameters
    ----------
    signals, sizes : float array, shape (n,)
        `signal` (grey levels) and `size` (px) of trackpy, of the features above the least mass.
    """
    none = LeastSignal(0.0, "no limit, for no second population of faint, wide features was found")
    if len(signals) < _LEAST_FEATURES or signals.min() <= 0:
        return none
    logs = np.log(signals)
    faint = logs < split(logs)
    if not _LEAST_SHARE <= faint.mean() <= 1 - _LEAST_SHARE:
        return none
    low, high = float(np.median(logs[faint])), float(np.median(logs[~faint]))
    a, b = (low + (high - low) * way for way in _VALLEY)
    between = ((logs > low) & (logs < high)).mean()
    in_valley = ((logs > a) & (logs < b)).mean()
    if in_valley > _EMPTY * (_VALLEY[1] - _VALLEY[0]) * between:
        return none
    if np.median(sizes[faint]) < _WIDER * np.median(sizes[~faint]):
        return none
    bound = _emptiest(logs[(logs > a) & (logs < b)], a, b)
    return LeastSignal(
        float(np.exp(bound)),
        f"between particles and the fainter, wider gaps between them, {100 * faint.mean():.0f} % of the features",
    )


def _emptiest(inside: np.ndarray, a: float, b: float) -> float:
    """Middle of the widest gap between values inside (a, b)."""
    bounded = np.r_[a, np.sort(inside), b]
    k = int(np.argmax(np.diff(bounded)))
    return float(0.5 * (bounded[k] + bounded[k + 1]))
