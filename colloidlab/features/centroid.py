"""Particles as local maxima of the band-passed image, refined by their centroid: the algorithm of trackpy.

The features are those of trackpy 0.7, pixel for pixel: the band-pass, the maxima, the moves of the disc and
the choice between features that are too close follow its definitions. Tests compare the two.

References
----------
Crocker and Grier, J. Colloid Interface Sci. 179, 298 (1996). Allan et al., trackpy, doi:10.5281/zenodo.4682814.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.features.bandpass import Levels, band_pass
from colloidlab.features.dark import measure_dark
from colloidlab.features.maxima import local_maxima, too_close
from colloidlab.features.moments import (
    ECC,
    LIT,
    MASS,
    RAW_MASS,
    RIM,
    SIGNAL,
    SIZE,
    centre,
    characterise_discs,
    disc,
)

CENTROID_COLUMNS = ["x", "y", "mass", "size", "ecc", "signal", "raw_mass", "ep"]

MEASURED_COLUMNS = [*CENTROID_COLUMNS, "rim", "lit"]
"""With what `calibrate_sigma` needs: brightness at the rim of the disc, and share of the disc that is not dark."""

PERCENTILE = 64.0
"""Maxima are brighter than this percentile of the pixels that the band-pass leaves (trackpy)."""
NOISE_PX = 1.0
"""Width of the Gaussian of the band-pass (trackpy)."""
_MAX_MOVES = 10
_FLOAT_THRESHOLD = 1.0 / 255.0
"""trackpy's threshold for floats, which it takes to lie between 0 and 1; here relative to the image's range."""


@dataclass(frozen=True)
class Centroids:
    """Particles of one image, and everything bright beside them.

    Attributes
    ----------
    table : DataFrame
        `MEASURED_COLUMNS`, float64, one row a particle.
    seen : float array, shape (m, 3)
        x, y (px) and mass of all maxima, those too close or too faint for the table included: their light
        displaces the particles all the same.
    """

    table: pd.DataFrame
    seen: np.ndarray


def measure_centroids(
    image: np.ndarray,
    diameter_px: int,
    *,
    minmass: float,
    separation_px: float,
    threshold: float | None = None,
    percentile: float = PERCENTILE,
) -> Centroids:
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
    percentile : float
        See `PERCENTILE`.

    Returns
    -------
    Centroids
        Its table is without rows where there is no particle.
    """
    image = np.ascontiguousarray(image)
    radius = diameter_px // 2
    if min(image.shape) <= diameter_px or image.min() == image.max():
        return _NONE
    levels = band_pass(image, diameter_px, NOISE_PX, _threshold(image, threshold))
    least = levels.percentile(percentile)
    if np.isnan(least):
        return _NONE
    margin = max(radius, int(separation_px // 2 - 1))
    maxima = local_maxima(levels.image, separation_px, least, margin)
    found, centres = centre(levels.image, maxima, radius, _MAX_MOVES)
    keep = ~too_close(found[:, :2], found[:, 2], separation_px) & (found[:, 2] / levels.factor > minmass)
    seen = np.column_stack([found[:, 1], found[:, 0], found[:, 2] / levels.factor])
    if not keep.any():
        return Centroids(empty(MEASURED_COLUMNS), seen)
    return Centroids(_table(image, levels, found[keep], centres[keep], radius), seen)


def find_centroids(
    image: np.ndarray,
    diameter_px: int,
    *,
    minmass: float,
    separation_px: float,
    threshold: float | None = None,
    percentile: float = PERCENTILE,
) -> pd.DataFrame:
    """The table of `measure_centroids` alone: `MEASURED_COLUMNS`, float64, one row a particle."""
    return measure_centroids(
        image,
        diameter_px,
        minmass=minmass,
        separation_px=separation_px,
        threshold=threshold,
        percentile=percentile,
    ).table


def characterise(
    image: np.ndarray, positions: np.ndarray, diameter_px: int, *, threshold: float | None = None
) -> pd.DataFrame:
    """trackpy's measures of features whose positions are known from elsewhere.

    Parameters
    ----------
    image : array, shape (height, width), uint8, uint16 or float64
    positions : float array, shape (n, 2), px
        (x, y); kept as they are. The disc is that around the nearest pixel, moved inwards at the edges.
    diameter_px : int
        Odd.

    Returns
    -------
    DataFrame
        `MEASURED_COLUMNS`, in the order of `positions`; NaN where the image is smaller than the disc.
    """
    image = np.ascontiguousarray(image)
    radius = diameter_px // 2
    if len(positions) == 0:
        return empty(MEASURED_COLUMNS)
    if min(image.shape) <= diameter_px:
        table = pd.DataFrame(np.nan, index=range(len(positions)), columns=MEASURED_COLUMNS)
        return table.assign(x=positions[:, 0], y=positions[:, 1])
    levels = band_pass(image, diameter_px, NOISE_PX, _threshold(image, threshold))
    limits = np.array(image.shape) - 1 - radius
    centres = np.clip(np.round(positions[:, ::-1]).astype(np.int32), radius, limits).astype(np.int32)
    return _table(image, levels, positions[:, ::-1], centres, radius)


def empty(columns: list[str]) -> pd.DataFrame:
    """A table without rows whose columns are float64."""
    return pd.DataFrame({c: np.empty(0, dtype="float64") for c in columns})


_NONE = Centroids(empty(MEASURED_COLUMNS), np.empty((0, 3)))


def _threshold(image: np.ndarray, threshold: float | None) -> float:
    if threshold is not None:
        return float(threshold)
    return 1.0 if image.dtype.kind == "u" else float(np.ptp(image)) * _FLOAT_THRESHOLD


def _table(
    image: np.ndarray, levels: Levels, found: np.ndarray, centres: np.ndarray, radius: int
) -> pd.DataFrame:
    moments = characterise_discs(image, levels.image, centres, radius)
    reach = disc(radius)
    black, noise = measure_dark(image, levels.image, reach)
    rows = np.arange(-radius, radius + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Savin and Doyle (2005), as trackpy has it: noise over signal times the root of sum y^2 in the disc.
        signal = moments[:, RAW_MASS] - (2 * reach + 1).sum() * black
        ep = noise / signal * NOISE_PX * np.sqrt(((2 * reach + 1) * rows**2).sum())
    columns = np.empty((len(found), len(MEASURED_COLUMNS)), order="F")
    columns[:, 0], columns[:, 1] = found[:, 1], found[:, 0]
    columns[:, 2:7] = moments[:, [MASS, SIZE, ECC, SIGNAL, RAW_MASS]]
    columns[:, 7] = ep
    columns[:, 8:] = moments[:, [RIM, LIT]]
    columns[:, [2, 5, 8]] /= levels.factor
    return pd.DataFrame(columns, columns=MEASURED_COLUMNS)
