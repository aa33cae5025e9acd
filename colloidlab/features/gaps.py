"""Bright gaps between particles, which look like particles to a band-pass, told apart by brightness and width.

In a dense layer seen in bright field every core has a dark ring, and what lies between the rings is as bright
as the cores: its mass after the band-pass is no larger, but it is fainter at its peak and wider, and it lies
amid particles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

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
_HEAVIER = 1.2
"""Gaps are heavier than particles by at most this factor; large particles are wider and fainter, but heavier."""
_NEIGHBOURS = 3
_NEAR = 1.5
"""A gap has so many particles so near, in diameters; a particle out of focus need not."""


@dataclass(frozen=True)
class LeastSignal:
    """Threshold in grey levels of the band-passed image, and the sentence that says how it was found."""

    minsignal: float
    reason: str


def least_signal(tables: Sequence[pd.DataFrame], diameter_px: int) -> LeastSignal:
    """Threshold between bright gaps and particles; zero where no second population is one of gaps.

    Parameters
    ----------
    tables : sequence of DataFrame
        `x`, `y`, `mass`, `size` and `signal` of trackpy for the features above the least mass, a table a frame.
    diameter_px : int
    """
    together = pd.concat(tables, ignore_index=True)
    signal, size, mass = (together[name].to_numpy() for name in ("signal", "size", "mass"))
    bound = _valley(signal) if len(signal) >= _LEAST_FEATURES and signal.min() > 0 else 0.0
    faint = signal < bound
    if (
        not faint.any()
        or np.median(size[faint]) < _WIDER * np.median(size[~faint])
        or np.median(mass[faint]) > _HEAVIER * np.median(mass[~faint])
        or np.median(_near(tables, bound, _NEAR * diameter_px)) < _NEIGHBOURS
    ):
        return LeastSignal(0.0, "no limit, for no second population looks like gaps between particles")
    share = 100 * faint.mean()
    return LeastSignal(
        bound, f"between particles and the fainter, wider gaps between them, {share:.0f} % of the features"
    )


def _valley(signals: np.ndarray) -> float:
    """Middle of an all but empty valley between two populations; zero where there is none."""
    logs = np.log(signals)
    faint = logs < split(logs)
    if not _LEAST_SHARE <= faint.mean() <= 1 - _LEAST_SHARE:
        return 0.0
    low, high = float(np.median(logs[faint])), float(np.median(logs[~faint]))
    a, b = (low + (high - low) * way for way in _VALLEY)
    between = ((logs > low) & (logs < high)).sum()
    inside = logs[(logs > a) & (logs < b)]
    if len(inside) > _EMPTY * (_VALLEY[1] - _VALLEY[0]) * between:
        return 0.0
    return float(np.exp(_emptiest(inside, a, b)))


def _near(tables: Sequence[pd.DataFrame], bound: float, reach_px: float) -> np.ndarray:
    """Number of bright features near every faint one."""
    counts = [np.empty(0)]
    for table in tables:
        faint = table["signal"].to_numpy() < bound
        places = table[["x", "y"]].to_numpy()
        if faint.any() and not faint.all():
            near = cKDTree(places[~faint]).query_ball_point(places[faint], reach_px, return_length=True)
            counts.append(np.asarray(near, dtype=float))
    together = np.concatenate(counts)
    return together if len(together) else np.zeros(1)


def _emptiest(inside: np.ndarray, a: float, b: float) -> float:
    """Middle of the widest gap between values inside (a, b)."""
    bounded = np.r_[a, np.sort(inside), b]
    k = int(np.argmax(np.diff(bounded)))
    return float(0.5 * (bounded[k] + bounded[k + 1]))
