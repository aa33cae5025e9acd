"""The Lindemann parameter of neighbours: how far they move against each other."""

from __future__ import annotations

import numpy as np

CRITICAL_LINDEMANN = 0.033
"""At which crystals in the plane melt; a solid has less."""
_NEAREST = 1.4
"""Times the median of the shortest distances: up to which neighbours are of the first shell."""


def lindemann_parameter(spread: np.ndarray, distance: np.ndarray) -> float:
    """⟨|δ_ij|²⟩/⟨R_ij²⟩ of nearest neighbours, with δ_ij what the offset of a pair differs from its mean R_ij.

    It is the limit of the dynamic ⟨|Δu_i(t) − Δu_j(t)|²⟩/2a² for long times t, after which u(t) and u(0) have nothing in
    common. Gaussian localisation errors σ along each of D axes add 2 D σ² over the mean square of the distance. NaN without
    a pair.

    Parameters
    ----------
    spread : float array, shape (n_pairs,)
        ⟨|δ_ij|²⟩, px².
    distance : float array, shape (n_pairs,)
        R_ij, px; of pairs beyond the first shell too, which are left aside.

    References
    ----------
    Zahn, Lenke & Maret, PRL 82, 2721 (1999), for the dynamic parameter, and its value where crystals in the plane melt;
    Bedanov, Gadiyak & Lozovik, Phys. Lett. A 109, 289 (1985).

    >>> lindemann_parameter(np.array([0.02, 0.04, 0.5]), np.array([1.0, 1.0, 1.7]))
    0.03
    """
    if not len(distance):
        return float("nan")
    nearest = distance < _NEAREST * np.median(np.sort(distance)[: max(len(distance) // 3, 1)])
    return float(spread[nearest].mean() / (distance[nearest] ** 2).mean())
