"""Which grey values of an image become black and white."""

from __future__ import annotations

import numpy as np

_DARKEST, _BRIGHTEST = 0.5, 99.8
"""Percentiles."""


def grey_limits(image: np.ndarray) -> tuple[float, float]:
    """Black and white for an image, by percentiles: a few bright pixels must not darken it.

    Parameters
    ----------
    image : array
        Pixels that are not finite do not count.

    >>> grey_limits(np.arange(1001.0))
    (5.0, 998.0)
    >>> grey_limits(np.full((2, 2), np.nan))
    (0.0, 1.0)
    """
    if not np.isfinite(image).any():
        return 0.0, 1.0
    low, high = np.nanpercentile(image, (_DARKEST, _BRIGHTEST))
    return float(low), float(max(high, low + 1e-6))
