"""Particles as local maxima of the band-passed image, refined by their centroid (trackpy).

References
----------
Crocker and Grier, J. Colloid Interface Sci. 179, 298 (1996). Allan et al., trackpy, doi:10.5281/zenodo.4682814.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import trackpy.feature

from colloidlab.features.quiet import quiet_trackpy

CENTROID_COLUMNS = ["x", "y", "mass", "size", "ecc", "signal", "raw_mass", "ep"]

_LEVELS = 255.0
"""A float image is cut below 1/255 of its range, as trackpy does for images between 0 and 1."""


def find_centroids(
    image: np.ndarray,
    diameter_px: int,
    *,
    minmass: float,
    separation_px: float,
    threshold: float | None = None,
) -> pd.DataFrame:
    """Bright particles of one image, as trackpy finds them.

    Parameters
    ----------
    image : array, shape (height, width), uint8, uint16 or float64
        Finite grey levels.
    diameter_px : int
        Odd.
    minmass : float
        Least integrated brightness after the band-pass.
    separation_px : float
        Least distance between two centres.
    threshold : float, optional
        The band-passed image is zero below it [1 for integers, range / 255 for floats].

    Returns
    -------
    DataFrame
        `CENTROID_COLUMNS`, float64, one row a particle; empty where there is none.
    """
    spread = float(np.ptp(image))
    if spread == 0 or min(image.shape) <= diameter_px:
        return empty(CENTROID_COLUMNS)
    if threshold is None:
        threshold = 1.0 if image.dtype.kind == "u" else spread / _LEVELS
    with quiet_trackpy():
        found = trackpy.feature.locate(
            image,
            diameter_px,
            minmass=minmass,
            separation=separation_px,
            threshold=threshold,
            characterize=True,
            engine="numba",
        )
    if len(found) == 0:
        return empty(CENTROID_COLUMNS)
    found = found.reset_index(drop=True)
    return found.reindex(columns=CENTROID_COLUMNS).astype("float64")


def empty(columns: list[str]) -> pd.DataFrame:
    """A table without rows whose columns are float64."""
    return pd.DataFrame({c: np.empty(0, dtype="float64") for c in columns})
