"""The affine map that fits the motion of each particle's neighbours best, and what it leaves over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from colloidlab.errors import InputError
from colloidlab.indicators.adjacency import Adjacency
from colloidlab.indicators.nonaffine_kernels import fit_rows, open_or_periodic
from colloidlab.indicators.trajectories import Floats, Integers


@dataclass(frozen=True)
class NonAffine:
    """Rearrangement of each particle's neighbourhood between two configurations.

    Parameters
    ----------
    d2min : float array, shape (n,)
        Squared non-affine displacement summed over the neighbours (or averaged, see `mean`), in the
        square of the positions' unit.
    strain : float array, shape (n, D, D)
        Green-Lagrange strain ½(FᵀF − 1) of the best affine map F; blind to rotation.
    n_neighbours : int array, shape (n,)
    gradient : float array, shape (n, D, D)
        The best affine map F itself (deformation gradient).
    mean : bool
        Whether d2min is the mean over the neighbours rather than the sum.
    """

    d2min: Floats
    strain: Floats
    n_neighbours: Integers
    gradient: Floats
    mean: bool = False


def fit_affine(
    reference: Floats,
    current: Floats,
    adjacency: Adjacency,
    *,
    box: Floats | None = None,
    mean: bool = False,
) -> NonAffine:
    """D²min and local strain as `d2min`, of neighbours that are known already.

    Parameters
    ----------
    reference, current, box, mean
        As for `d2min`. Neighbours that are absent from either do not count.
    adjacency : Adjacency
        Of the reference, from `find_neighbours` or `adjacency_of`.

    Raises
    ------
    InputError
        The shapes differ or are not (n, 2) or (n, 3), or the adjacency is of another number of particles.
    """
    reference, current = same_particles(reference, current)
    n, n_dim = reference.shape
    if adjacency.start.size != n + 1:
        raise InputError(f"the neighbours of {adjacency.start.size - 1} particles do not fit {n} positions")
    residual, strain, gradient, number = fit_rows(
        reference, current, *adjacency, *open_or_periodic(box, n_dim)
    )
    if mean:
        residual = residual / np.maximum(number, 1)
    return NonAffine(residual, strain, number, gradient, mean)


def same_particles(reference: Floats, current: Floats) -> tuple[Floats, Floats]:
    """Both as float64 arrays of one shape, (n, 2) or (n, 3)."""
    reference = np.ascontiguousarray(reference, dtype=np.float64)
    current = np.ascontiguousarray(current, dtype=np.float64)
    if reference.shape != current.shape or reference.ndim != 2 or reference.shape[1] not in (2, 3):
        raise InputError(
            f"D2min needs arrays of one shape, (n, 2) or (n, 3), not {reference.shape} and {current.shape}"
        )
    return reference, current
