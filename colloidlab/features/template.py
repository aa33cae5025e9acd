"""The radial image that all particles of a recording share, up to size and brightness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Template:
    """A radial profile t(u) at distance u = r / s from the centre of a particle of scale s; t(0) = 1.

    Attributes
    ----------
    profile : float array, shape (n,)
        t at n evenly spaced values of u from 0 to `reach`; beyond it t is zero. Negative in a dark ring.
    reach : float
        Largest u.
    """

    profile: np.ndarray
    reach: float
