"""Positions in the form that PyMatterSim reads, for comparisons with it."""

from __future__ import annotations

import numpy as np
from PyMatterSim.reader.reader_utils import SingleSnapshot, Snapshots


def snapshots(positions: np.ndarray, sides: np.ndarray) -> Snapshots:
    """Positions (n_frames, n_particles, D) in a box from 0 to `sides`, all of one type."""
    n_frames, n_particles, _ = positions.shape
    bounds = np.column_stack([np.zeros_like(sides), sides])
    kind = np.ones(n_particles, dtype=int)
    return Snapshots(
        n_frames,
        [
            SingleSnapshot(k, n_particles, kind, points, sides, bounds, bounds, np.diag(sides))
            for k, points in enumerate(positions)
        ],
    )
