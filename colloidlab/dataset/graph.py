"""The graph of one frame: which particles are within the interaction cutoff of each other."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def find_pairs(
    positions: np.ndarray,
    cutoff: float,
    scale: np.ndarray | None = None,
    box: np.ndarray | None = None,
    tilt: float = 0.0,
) -> np.ndarray:
    """All pairs closer than the cutoff, scaled by particle size.

    Parameters
    ----------
    positions : float array, shape (n, D)
        NaN rows belong to absent particles and pair with nobody.
    cutoff : float
        Cutoff for two particles of mean size.
    scale : float array, shape (n,), optional
        Radius over mean radius; a pair's cutoff is multiplied by the mean of its two ends.
    box : float array, shape (D,), optional
        Periodic lengths; zero (or absent) means open in that direction.
    tilt : float
        Displacement along x of an image one length up along y (Lees-Edwards); x and y are periodic then.

    Returns
    -------
    int64 array, shape (2, n_pairs), with i < j
    """
    present = np.flatnonzero(np.isfinite(positions).all(axis=1))
    if present.size < 2:
        return np.empty((2, 0), dtype=np.int64)
    points = positions[present]
    largest = 1.0 if scale is None else float(scale[present].max())
    if tilt and box is not None:
        points, origin = _add_images(points, cutoff * largest, box, tilt)
        size = None if scale is None else scale[present][origin]
        i, j = origin[find_pairs(points, cutoff, size, np.where(np.arange(len(box)) == 1, 0.0, box))]
        # Two images of one border meet as their particles do.
        key = np.unique(np.minimum(i, j) * len(present) + np.maximum(i, j))
        return present[np.stack(np.divmod(key, len(present)))].astype(np.int64, copy=False)
    tree_box = None
    if box is not None and np.any(box > 0):
        # Open directions get a box so long that no image comes near.
        span = np.ptp(points, axis=0) + 4 * cutoff * (1.0 if scale is None else float(scale.max()))
        tree_box = np.where(box > 0, box, 2 * span)
        points = np.where(box > 0, np.mod(points, tree_box), points - points.min(axis=0))
        points = np.minimum(points, np.nextafter(tree_box, 0))
    found = cKDTree(points, boxsize=tree_box).query_pairs(cutoff * largest, output_type="ndarray")
    if scale is not None and len(found):
        offset = points[found[:, 0]] - points[found[:, 1]]
        if tree_box is not None:
            offset -= tree_box * np.round(offset / tree_box)
        reach = cutoff * 0.5 * (scale[present][found[:, 0]] + scale[present][found[:, 1]])
        found = found[np.einsum("kd,kd->k", offset, offset) < reach**2]
    return present[np.sort(found, axis=1)].T.astype(np.int64, copy=False)


def _add_images(
    points: np.ndarray, reach: float, box: np.ndarray, tilt: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points in the box and those images above it that its points may meet; positions and whose they are."""
    up = np.floor(points[:, 1] / box[1])
    inside = points.astype(float)
    inside[:, 1] -= up * box[1]
    inside[:, 0] -= up * tilt
    low = np.flatnonzero(inside[:, 1] <= reach)
    images = inside[low]
    images[:, 1] += box[1]
    images[:, 0] += tilt
    return np.concatenate([inside, images]), np.concatenate([np.arange(len(points)), low])
