"""What localisation errors do to D²min and the local strain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from colloidlab.indicators.adjacency import Adjacency
from colloidlab.indicators.affine_fit import NonAffine
from colloidlab.indicators.noise_tail import tail_probability
from colloidlab.indicators.nonaffine_kernels import open_or_periodic
from colloidlab.indicators.nonaffine_noise_kernels import noise_rows
from colloidlab.indicators.trajectories import Floats


@dataclass(frozen=True)
class NonAffineNoise:
    """Errors of D²min and strain; NaN where a localisation error of the neighbourhood is not known.

    Parameters
    ----------
    d2min_noise : float array, shape (n,)
        Mean of the D²min that localisation errors alone make.
    d2min_error : float array, shape (n,)
        Standard deviation of D²min.
    strain_error : float array, shape (n, D, D)
        Standard deviation of the components of the strain.
    chance : float array, shape (n,)
        Probability that localisation errors alone make D²min as large as it is.
    """

    d2min_noise: Floats
    d2min_error: Floats
    strain_error: Floats
    chance: Floats


def nonaffine_noise(
    reference: Floats,
    current: Floats,
    found: NonAffine,
    adjacency: Adjacency,
    *,
    sigma_reference: Floats,
    sigma_current: Floats,
    box: Floats | None = None,
) -> NonAffineNoise:
    """Errors of D²min and strain from independent Gaussian localisation errors.

    | symbol | name | meaning |
    |---|---|---|
    | F, Y | gradient, shape | map and shape of the neighbourhood, see `d2min` |
    | w_j = (η_j − F ε_j) − (η_i − F ε_i) | | error of bond j: η now, ε in the reference |
    | W | | covariance of w; the particle's own error is in all its bonds |
    | P = 1 − R Y⁻¹ Rᵀ | | what the fit leaves of a change of the bonds |
    | m | left | residual of the bonds without noise |

    To first order in the errors the residual is m + P w, so D²min = |m|² + 2 m·w + wᵀPw with mean
    |m|² + tr PW and variance 4 mᵀWm + 2 tr(PW)². The m of the second is found from the residual
    that is seen, whose own noise is taken off again. Strain follows from the derivatives of
    F = X Y⁻¹ with respect to every coordinate. The components of w are taken as uncorrelated: exact
    where the errors are the same along every axis and the strain is small, and where nothing turns.

    D²min is not corrected for d2min_noise; `chance` is for the sum over the neighbours,
    whether or not `found` holds the mean.

    Parameters
    ----------
    reference, current, found, adjacency, box
        As given to and returned by `fit_affine`.
    sigma_reference, sigma_current : float array, shape (n, D)
        Standard deviations of the localisation errors; NaN where not known.
    """
    n_dim = reference.shape[1]
    traces, seen, variance = noise_rows(
        reference,
        current,
        found.gradient,
        *adjacency,
        *open_or_periodic(box, n_dim),
        np.square(sigma_reference),
        np.square(sigma_current),
    )
    mean, squared, cubed = traces.T
    total = found.d2min * (found.n_neighbours if found.mean else 1)
    error = np.sqrt(2 * squared + 4 * np.maximum(seen - squared, 0))
    scale = 1 / np.maximum(found.n_neighbours, 1) if found.mean else np.ones_like(total)
    return NonAffineNoise(
        mean * scale, error * scale, np.sqrt(variance), tail_probability(total, mean, 2 * squared, 8 * cubed)
    )
