"""The modified Lindemann parameter: how far neighbours move against each other."""

from __future__ import annotations

import numpy as np

CRITICAL_LINDEMANN = 0.033
"""At which crystals in the plane melt (Zahn, Lenke & Maret, PRL 82, 2721 (1999)); a solid has less."""


def lindemann_parameter(spread: np.ndarray, distance: np.ndarray) -> float:
    """⟨|δ(r_i − r_j)|²⟩ / 2⟨|R_ij|²⟩ over pairs of neighbours; NaN without a pair.

    Gaussian localisation errors σ along each of D axes add D σ² over the mean square of the distance.

    Parameters
    ----------
    spread : float array, shape (n_pairs,)
        Mean square of what the offset of a pair differs from its mean.
    distance : float array, shape (n_pairs,)
        Length of the mean offset.

    References
    ----------
    Bedanov, Gadiyak & Lozovik, Phys. Lett. A 109, 289 (1985).

    >>> lindemann_parameter(np.array([0.02, 0.04]), np.array([1.0, 1.0]))
    0.015
    """
    return float(spread.mean() / (2 * (distance**2).mean())) if len(distance) else float("nan")
