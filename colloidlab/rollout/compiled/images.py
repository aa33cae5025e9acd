"""Work of the images that a shear box moves, in the compiled step; see `integrators.dissipation.work_of_images`."""

from __future__ import annotations

import numpy as np

from colloidlab.rollout.compiled.adjacency import Adjacency
from colloidlab.rollout.compiled.mechanics import Geometry, add_up

Array = np.ndarray


def work_of_images(ends: Adjacency, pairs: Geometry, impulse: Array, wind: float) -> Array:
    """Energy, shape (n,), that impulses along x on i, from j, shape (n_pairs,), bring; half to either end."""
    total = np.zeros(len(ends.first) - 1)
    if wind:
        work = np.where(pairs.x < 1, 0.5 * wind * pairs.image * impulse, 0.0)
        add_up(0, len(total), ends, work, total)
    return total


def work_of_forces(ends: Adjacency, pairs: Geometry, push: Array, time: float, wind: float) -> Array:
    """Energy, shape (n,), that the forces of `mechanics.find_forces` bring in a time."""
    if not wind:
        return np.zeros(len(ends.first) - 1)
    force = -((push[ends.i] + push[ends.j]) * pairs.dw + pairs.du) * pairs.e[:, 0]
    return work_of_images(ends, pairs, time * force, wind)
