"""Pairs of particles within a distance, in an open view or a periodic box."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from colloidlab.errors import InputError
from colloidlab.indicators.cell_list import cell_pairs
from colloidlab.indicators.trajectories import Floats, Integers


def pairs_within(positions: Floats, cutoff: float, box: Floats | None = None) -> Integers:
    """Each pair i < j with a distance of at most `cutoff`, once.

    Parameters
    ----------
    positions : float array, shape (n, D)
        Rows that are not finite have no neighbours.
    cutoff : float
        In the unit of the positions.
    box : float array, shape (D,), optional
        Sides of a periodic box.

    Returns
    -------
    pairs : int array, shape (n_pairs, 2)

    Raises
    ------
    InputError
        The cutoff is not positive, or exceeds half the box (images would be ambiguous).
    """
    if not cutoff > 0:
        raise InputError(f"the neighbour cutoff is {cutoff}; it must be larger than zero")
    if box is not None and cutoff > 0.5 * np.min(box):
        raise InputError(
            f"the neighbour cutoff {cutoff:g} exceeds half the shortest side of the box ({np.min(box):g})"
        )
    whole = np.flatnonzero(np.isfinite(positions).all(axis=1))
    if whole.size < 2:
        return np.zeros((0, 2), dtype=np.int64)
    inside = positions[whole]
    if box is not None:
        inside = inside % box
        # The remainder of a tiny negative number rounds to the side itself, which the tree refuses.
        inside = np.where(inside >= box, 0.0, inside)
    found = cell_pairs(inside, cutoff, box)
    if found is None:  # a small box, in which the tree is as fast
        found = cKDTree(inside, boxsize=box).query_pairs(cutoff, output_type="ndarray")
    return np.asarray(whole[found], dtype=np.int64).reshape(-1, 2)


def minimum_image(separation: Floats, box: Floats | None) -> Floats:
    """Separations to the nearest periodic image; unchanged without a box."""
    if box is None:
        return separation
    return separation - box * np.round(separation / box)
