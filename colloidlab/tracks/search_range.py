"""How far particles move between two frames, as the positions themselves show it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from colloidlab.errors import InputError

_PAIRS_OF_FRAMES = 30
_MARGIN = 1.3
"""Above the farthest typical move, for moves are not bounded."""
_FARTHEST = 3.5
"""In units of the Rayleigh scale: a Brownian particle exceeds it in 0.2 % of the steps."""
_SPACING_FRACTION = 0.5
"""Beyond half of the spacing a neighbour is as likely as the particle itself."""
_LEAST_PX = 1.0
_MEDIAN_PER_SCALE = float(np.sqrt(2.0 * np.log(2.0)))
"""Median of a Rayleigh distribution in units of its scale."""


@dataclass(frozen=True)
class SearchRange:
    """Farthest move that `link` should allow, px, and the sentence that says how it was found."""

    search_range_px: float
    reason: str


def estimate_search_range(features: pd.DataFrame, *, memory: int = 0) -> SearchRange:
    """Estimate the farthest move between two frames from the features.

    Features of successive frames that are each other's nearest are taken for the same particle, and the
    common drift is removed. Moves below a cut have the scale of Brownian (Rayleigh) steps; the cut is set to
    3.5 scales until it rests, which leaves wrong pairs out. The range holds these moves, the drift and a
    margin, grows with the square root of the memory, and ends at half of the spacing of the particles.

    Parameters
    ----------
    features : DataFrame
        Columns frame, x, y.
    memory : int
        As `link` will have it.

    Raises
    ------
    InputError
        No two successive frames hold a particle.
    """
    missing = [c for c in ("frame", "x", "y") if c not in features]
    if missing:
        raise InputError(f"the features have no column {', '.join(missing)}; linking needs frame, x and y")
    pairs = _successive(features)
    if not pairs:
        raise InputError(
            "no two successive frames hold a particle, so no move can be seen; give --search-range-px"
        )
    spacing = _spacing([points for pair in pairs for points in pair])
    moves = [_mutual(before, after) for before, after in pairs]
    drift = float(np.median([np.hypot(*np.median(m, axis=0)) for m in moves]))
    steps = np.concatenate([np.hypot(*(m - np.median(m, axis=0)).T) for m in moves])
    farthest = _farthest(steps) if len(steps) else 0.0
    wanted = _MARGIN * (drift + farthest) * np.sqrt(1.0 + memory)
    most = _SPACING_FRACTION * spacing
    found = max(min(wanted, most), min(_LEAST_PX, most))
    words = f"moves reach {drift + farthest:.2g} px a frame"
    if wanted > most:
        reason = f"{words}; held at half of the spacing of the particles, {spacing:.2g} px"
    else:
        reason = f"{words}, with a margin of 30 %" + (f" and a memory of {memory} frames" if memory else "")
    return SearchRange(float(found), reason)


def _successive(features: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions in up to 30 pairs of successive frames, evenly over the recording."""
    finite = features[np.isfinite(features[["x", "y"]].to_numpy(float)).all(axis=1)]
    frames = np.unique(finite["frame"].to_numpy())
    starts = frames[:-1][np.diff(frames) == 1]
    if len(starts) > _PAIRS_OF_FRAMES:
        starts = starts[np.linspace(0, len(starts) - 1, _PAIRS_OF_FRAMES).astype(int)]
    groups = {f: g[["x", "y"]].to_numpy(float) for f, g in finite.groupby("frame")}
    return [(groups[f], groups[f + 1]) for f in starts]


def _spacing(frames: list[np.ndarray]) -> float:
    """Tenth percentile of the distance to the nearest neighbour in the same frame, px."""
    nearest = [cKDTree(points).query(points, k=2)[0][:, 1] for points in frames if len(points) > 1]
    if not nearest:
        return float("inf")
    together = np.concatenate(nearest)
    return float(np.percentile(together[together > 0], 10)) if (together > 0).any() else float("inf")


def _mutual(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Displacements of features that are each other's nearest, shape (n, 2)."""
    forward = cKDTree(after).query(before)[1]
    backward = cKDTree(before).query(after)[1]
    same = backward[forward] == np.arange(len(before))
    return np.asarray(after[forward[same]] - before[same])


def _farthest(steps: np.ndarray) -> float:
    """3.5 Rayleigh scales of the moves, the scale found from the moves inside that cut alone."""
    cut = np.inf
    for _ in range(50):
        inside = steps[steps <= cut]
        scale = float(np.median(inside)) / _MEDIAN_PER_SCALE if len(inside) else 0.0
        new = _FARTHEST * scale
        if new == 0.0 or abs(new - cut) < 1e-3 * new:
            return new
        cut = new
    return float(cut)
