"""What a link is worth: the squared displacement (Crocker and Grier), or its likelihood."""

from __future__ import annotations

import numpy as np

from colloidlab.tracks.candidates import Costs

_TIE = 1e-12
"""Relative; a link as long as the range is still a link, as trackpy has it."""
_TOLERANCE = 1e-7
"""By which trackpy lets a link exceed the range."""


def squared(search_range: float) -> Costs:
    """The sum of squared displacements, and R^2 for a particle without a link.

    References
    ----------
    Crocker and Grier, J. Colloid Interface Sci. 179, 298 (1996).
    """
    square = search_range**2
    return Costs(
        reach=np.array([search_range + _TOLERANCE]),
        null=np.array([square * (1.0 + _TIE)]),
        table=np.array([[0.0, square]]),
    )
