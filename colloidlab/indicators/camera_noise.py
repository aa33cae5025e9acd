"""What a camera would add to simulated positions, so that they can be measured beside those of an experiment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def localisation_noise(
    shape: tuple[int, ...], sigma_px: float | NDArray[np.float64], *, seed: int, member: int
) -> NDArray[np.float64]:
    """Localisation errors of one member of an ensemble, independent in every frame and along every axis.

    Parameters
    ----------
    shape : (n_frames, n_particles, D)
        More frames continue the numbers of fewer.
    sigma_px : float, or array of shape (n_particles, D)
        Standard deviations, px.
    seed, member : int
        Those of the simulation: the same errors wherever its rollouts are measured.

    Returns
    -------
    float array of that shape, px
    """
    rng = np.random.default_rng([seed, member])
    return sigma_px * rng.normal(size=shape)
