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
from colloidlab.features.maxima import heights, local_maxima, too_close
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

_MEASURED = pd.Index(MEASURED_COLUMNS)

PERCENTILE = 64.0
"""Maxima are brighter than this percentile of the pixels that the band-pass leaves (trackpy)."""
NOISE_PX = 1.0
"""Width of the Gaussian of the band-pass (trackpy)."""
MAX_MOVES = 10
_FLOAT_THRESHOLD = 1.0 / 255.0
"""trackpy's threshold for floats, which it takes to lie between 0 and 1; here relative to the image's range."""


@dataclass(frozen=True)
class Centroids:
    """Particles of one image, and everything bright beside them.

    Attributes
    ----------
    values : float array, shape (n, len(MEASURED_COLUMNS))
        One row a particle; `found["mass"]` is a column of it.
    seen : float array, shape (m, 3)
        x, y (px) and height of all peaks of the band-passed image, those too close or too faint to be particles
        included: their light displaces the particles all the same.
    """

    values: np.ndarray
    seen: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, column: str) -> np.ndarray:
        return np.asarray(self.values[:, MEASURED_COLUMNS.index(column)])

    def select(self, keep: np.ndarray) -> Centroids:
        """Only the particles of a mask; all that is seen stays."""
        return Centroids(self.values[keep], self.seen)

    def table(self) -> pd.DataFrame:
        """`MEASURED_COLUMNS`, float64."""
        return pd.DataFrame(self.values, columns=_MEASURED)


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
        Without rows where there is no particle.
    """
    image = np.ascontiguousarray(image)
    radius = diameter_px // 2
    if min(image.shape) <= diameter_px or image.min() == image.max():
        return _NONE
    levels = band_pass(image, diameter_px, NOISE_PX, grey_threshold(image, threshold))
    least = levels.percentile(percentile)
    if np.isnan(least):
        return _NONE
    margin = max(radius, int(separation_px // 2 - 1))
    bright = local_maxima(levels.image, separation_px, least, margin=margin, peak_px=(radius + 1) // 2)
    found, centres = centre(levels.image, bright.maxima, radius, MAX_MOVES)
    keep = ~too_close(found[:, :2], found[:, 2], separation_px) & (found[:, 2] / levels.factor > minmass)
    seen = heights(levels.image, bright.peaks, levels.factor)
    if not keep.any():
        return Centroids(_NONE.values, seen)
    return Centroids(_measures(image, levels, found[keep], centres[keep], radius), seen)


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
    ).table()


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
    levels = band_pass(image, diameter_px, NOISE_PX, grey_threshold(image, threshold))
    limits = np.array(image.shape) - 1 - radius
    centres = np.clip(np.round(positions[:, ::-1]).astype(np.int32), radius, limits).astype(np.int32)
    values = _measures(image, levels, positions[:, ::-1], centres, radius)
    return pd.DataFrame(values, columns=_MEASURED)


def empty(columns: list[str]) -> pd.DataFrame:
    """A table without rows whose columns are float64."""
    return pd.DataFrame({c: np.empty(0, dtype="float64") for c in columns})


_NONE = Centroids(np.empty((0, len(MEASURED_COLUMNS))), np.empty((0, 3)))


def grey_threshold(image: np.ndarray, threshold: float | None) -> float:
    """Grey level below which the band-passed image is set to zero: the given one, or trackpy's."""
    if threshold is not None:
        return float(threshold)
    return 1.0 if image.dtype.kind == "u" else float(np.ptp(image)) * _FLOAT_THRESHOLD


def _measures(
    image: np.ndarray, levels: Levels, found: np.ndarray, centres: np.ndarray, radius: int
) -> np.ndarray:
    """Values of `MEASURED_COLUMNS`, shape (n, len(MEASURED_COLUMNS))."""
    moments = characterise_discs(image, levels.image, centres, radius)
    reach = disc(radius)
    black, noise = measure_dark(image, levels.image, reach)
    rows = np.arange(-radius, radius + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Savin and Doyle (2005), as trackpy has it: noise over signal times the root of sum y^2 in the disc.
        signal = moments[:, RAW_MASS] - (2 * reach + 1).sum() * black
        ep = noise / signal * NOISE_PX * np.sqrt(((2 * reach + 1) * rows**2).sum())
    values = np.empty((len(found), len(MEASURED_COLUMNS)), order="F")
    values[:, 0], values[:, 1] = found[:, 1], found[:, 0]
    values[:, 2:7] = moments[:, [MASS, SIZE, ECC, SIGNAL, RAW_MASS]]
    values[:, 7] = ep
    values[:, 8:] = moments[:, [RIM, LIT]]
    values[:, [2, 5, 8]] /= levels.factor
    return values
