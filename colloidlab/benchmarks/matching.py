"""Detections against the truth of one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class Matched:
    """Detections and true particles, each used once.

    Attributes
    ----------
    found : DataFrame
        The detections that have a partner, farther than the margin from the edge of the view.
    error : float array, shape (n, 2), px
        Their positions minus the true ones.
    partner : int array, shape (n,)
        Row of the truth that each belongs to.
    n_true, n_found : int
        True particles and detections inside the margin.
    n_false : int
        Detections inside the margin without a partner.
    """

    found: pd.DataFrame
    error: np.ndarray
    partner: np.ndarray
    n_true: int
    n_found: int
    n_false: int

    @property
    def recall(self) -> float:
        """Share of the true particles inside the margin that were found."""
        return len(self.error) / max(self.n_true, 1)

    @property
    def precision(self) -> float:
        """Share of the detections inside the margin that are particles."""
        return 1.0 - self.n_false / max(self.n_found, 1)


def match(
    found: pd.DataFrame, truth: pd.DataFrame, size_px: int, *, margin_px: float, reach_px: float
) -> Matched:
    """Pair every true particle with its nearest detection within `reach_px`, each used once.

    A pair counts by where its true particle is, so that none is lost because its detection crossed the
    margin; a detection is false when it lies inside the margin and is nobody's.
    """
    points, true = found[["x", "y"]].to_numpy(float), truth[["x", "y"]].to_numpy(float)
    inner = _inside(true, size_px, margin_px)
    if len(points) == 0:
        return Matched(found, np.empty((0, 2)), np.empty(0, int), int(inner.sum()), 0, 0)
    distance, nearest = cKDTree(true).query(points, distance_upper_bound=reach_px)
    # Nearest first: the first detection of a true particle keeps it.
    order = np.argsort(distance, kind="stable")
    order = order[np.isfinite(distance[order])]
    _, first = np.unique(nearest[order], return_index=True)
    detection = order[first]
    partner = nearest[detection]
    alone = np.setdiff1d(np.flatnonzero(_inside(points, size_px, margin_px)), detection)
    kept = inner[partner]
    return Matched(
        found.iloc[detection[kept]].reset_index(drop=True),
        points[detection[kept]] - true[partner[kept]],
        partner[kept],
        int(inner.sum()),
        int(_inside(points, size_px, margin_px).sum()),
        len(alone),
    )


def _inside(points: np.ndarray, size_px: int, margin_px: float) -> np.ndarray:
    return np.asarray(((points > margin_px) & (points < size_px - 1 - margin_px)).all(axis=1))
