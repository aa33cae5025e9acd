"""Locating particles: from one image to a table of positions, sizes and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

from colloidlab.errors import UsageError
from colloidlab.features.centroid import CENTROID_COLUMNS, PERCENTILE, Centroids, empty, measure_centroids
from colloidlab.features.gaussian import WIDTH, SpotFit, X, Y, fit_spots, uncertainty
from colloidlab.features.images import check_diameter, is_stack, touches, usable
from colloidlab.features.localisation_error import calibrate_sigma
from colloidlab.features.noise import noise_model
from colloidlab.features.parameters import Method, default_separation
from colloidlab.features.pixel_noise import sample_noise
from colloidlab.features.template import Template
from colloidlab.features.volume import Sizes, locate_volume

FEATURE_COLUMNS = [*CENTROID_COLUMNS, "radius_px", "sigma_x_px", "sigma_y_px", "chi2"]

_COLUMNS = pd.Index(FEATURE_COLUMNS)

_WORST_MISFIT = 0.25
"""A spot that leaves more of its variance unexplained is no Gaussian."""
_LEAST_SHARE = 0.6
"""A fit is used in a frame when it describes particles with at least this share of the mass."""
_RADIUS_PER_WIDTH = 2.0
_RADIUS_PER_GYRATION = np.sqrt(2.0)


def locate(
    image: np.ndarray,
    diameter_px: int | Sizes,
    *,
    method: Method = "auto",
    minmass: float | None = None,
    separation_px: float | None = None,
    invert: bool = False,
    threshold: float | None = None,
    percentile: float = PERCENTILE,
    template: Template | None = None,
) -> pd.DataFrame:
    """Positions, apparent radii and localisation errors of the particles in one image.

    Particles are found as trackpy finds them. Their positions are then those of a joint fit of Gaussian
    spots (`fit_spots`), which touching neighbours do not displace, wherever that fit converged and describes
    the image; elsewhere the centroid stays. All other columns of trackpy keep trackpy's values.

    Parameters
    ----------
    image : array, shape (height, width), or (depth, height, width)
        Grey levels; 8 or 16 bit, float or any other number. Particles that touch a pixel which is not
        finite are left out.
    diameter_px : int, or (z, y, x) for a stack
        Odd size of a particle's image, px.
    method : {"auto", "joint", "centroid"}
        See `Method`.
    minmass : float, optional
        Least integrated brightness after the band-pass [0].
    separation_px : float, optional
        Least distance between two centres, px [diameter + 1 for "centroid", as trackpy has it; else two
        thirds of the diameter, so that touching particles are kept apart].
    invert : bool
        The particles are darker than the background.
    threshold : float, optional
        The band-passed image is zero below it [1 for integers, range / 255 for floats].
    percentile : float
        Particles are brighter than this percentile of the band-passed pixels.
    template : Template, optional
        From `choose_method`; learned from the image where there is none.

    Returns
    -------
    DataFrame
        `FEATURE_COLUMNS`, float64, one row a particle; without rows where nothing was found.
        `radius_px` is two standard deviations of the fitted spot: the radius at which the brightness is
        exp(-2) of the peak. Where the fit failed it is sqrt(2) times the radius of gyration, scaled so that
        both agree over the frame. For a Gaussian and for a disc of even brightness the two are equal.
        `sigma_x_px`, `sigma_y_px` come from the fit's covariance, or from `calibrate_sigma` for centroids.
        Stacks are located by centroids, with the columns of `locate_volume`.

    Raises
    ------
    InputError, UsageError
        The image is no grey image or has no finite pixel; the options are impossible.
    """
    if method not in ("auto", "joint", "centroid"):
        raise UsageError(f"method = {method!r} is unknown; choose auto, joint or centroid")
    _check_options(minmass, separation_px)
    if method in ("auto", "centroid") and is_stack(image):
        return locate_volume(
            image,
            diameter_px,
            minmass=minmass or 0.0,
            separation_px=separation_px,
            invert=invert,
            threshold=threshold,
            percentile=percentile,
        )
    diameter = check_diameter(diameter_px)
    ready = usable(image, invert=invert)
    if separation_px is None:
        separation_px = diameter + 1 if method == "centroid" else default_separation(diameter)
    found = measure_centroids(
        ready.image,
        diameter,
        minmass=0.0 if minmass is None else float(minmass),
        separation_px=float(separation_px),
        threshold=threshold,
        percentile=percentile,
    )
    if ready.bad is not None and len(found):
        places = np.column_stack([found["y"], found["x"]])
        found = found.select(~touches(ready.bad, places, (diameter // 2,) * 2))
    if len(found) == 0:
        return empty(FEATURE_COLUMNS)
    sigma = calibrate_sigma(found, diameter, sample_noise(ready.image))
    if method == "centroid":
        return _centroid_features(found, sigma)
    return _refine(ready.image, found.table(), sigma, diameter)


@dataclass(frozen=True)
class MethodChoice:
    """The method for a recording, what it learned, and one sentence that says why it was chosen."""

    method: Method
    template: Template | None
    reason: str


def choose_method(
    images: Sequence[np.ndarray], tables: Sequence[pd.DataFrame], diameter_px: int
) -> MethodChoice:
    """The method that describes the frame with most particles.

    Parameters
    ----------
    images : sequence of array, shape (height, width)
        Finite, particles bright.
    tables : sequence of DataFrame
        From `find_centroids`, without features below the least mass.
    diameter_px : int
        Odd.
    """
    best = int(np.argmax([len(table) for table in tables]))
    if len(tables[best]) and _choose(images[best], tables[best], diameter_px) is not None:
        return MethodChoice("joint", None, "a joint fit describes the images")
    return MethodChoice("centroid", None, "a joint fit does not describe the images")


def _check_options(minmass: float | None, separation_px: float | None) -> None:
    if minmass is not None and not (np.isfinite(minmass) and minmass >= 0):
        raise UsageError(f"minmass = {minmass} is not a brightness; give zero or more")
    if separation_px is not None and not (np.isfinite(separation_px) and separation_px > 0):
        raise UsageError(f"separation_px = {separation_px} is not a distance; give more than zero")


def _refine(
    image: np.ndarray, table: pd.DataFrame, centroid_sigma: np.ndarray, diameter_px: int
) -> pd.DataFrame:
    """Positions, radii and errors by the chosen refinement; the centroid's for particles that it fails on."""
    fit = _choose(image, table, diameter_px)
    radius = _RADIUS_PER_GYRATION * table["size"].to_numpy()
    if fit is None:
        return _completed(table, radius, centroid_sigma)
    good = _trusted(fit)
    sigma = np.sqrt(fit.covariance)
    if not good.all():
        sigma = np.where(good[:, None], sigma, centroid_sigma)
    fitted = _RADIUS_PER_WIDTH * fit.spots[:, WIDTH]
    scale = float(np.median(fitted[good] / radius[good])) if good.any() else 1.0
    table = table.copy()
    table["x"] = np.where(good, fit.spots[:, X], table["x"])
    table["y"] = np.where(good, fit.spots[:, Y], table["y"])
    return _completed(table, np.where(good, fitted, scale * radius), sigma)


def _centroid_features(found: Centroids, sigma: np.ndarray) -> pd.DataFrame:
    # One array, one table: every operation on a table costs more than a thousand particles.
    values = np.full((len(found), len(FEATURE_COLUMNS)), np.nan, order="F")
    values[:, : len(CENTROID_COLUMNS)] = found.values[:, : len(CENTROID_COLUMNS)]
    values[:, len(CENTROID_COLUMNS)] = _RADIUS_PER_GYRATION * found["size"]
    values[:, len(CENTROID_COLUMNS) + 1 : -1] = sigma
    return pd.DataFrame(values, columns=_COLUMNS)


def _completed(table: pd.DataFrame, radius: np.ndarray, sigma: np.ndarray) -> pd.DataFrame:
    errors = {"sigma_x_px": sigma[:, 0], "sigma_y_px": sigma[:, 1]}
    return table.assign(radius_px=radius, **errors, chi2=np.nan)[FEATURE_COLUMNS]


def _choose(image: np.ndarray, table: pd.DataFrame, diameter_px: int) -> SpotFit | None:
    # By mass, so that spurious faint features have no say.
    mass = table["mass"].to_numpy()
    for free in (True, False):
        fit = _fitted(image, table, diameter_px, free_background=free)
        if mass[_trusted(fit)].sum() >= _LEAST_SHARE * mass.sum() > 0:
            return fit
    return None


def _trusted(fit: SpotFit) -> np.ndarray:
    finite = np.isfinite(fit.covariance).all(axis=1)
    return np.asarray(fit.converged & finite & (np.nan_to_num(fit.misfit, nan=np.inf) < _WORST_MISFIT))


def _mask_radius(diameter_px: int) -> float:
    # A pixel beyond the disc of trackpy: the fit needs to see the background.
    return 0.5 * diameter_px + 1.0


def _fitted(image: np.ndarray, table: pd.DataFrame, diameter_px: int, *, free_background: bool) -> SpotFit:
    grey = image.astype(float)
    positions = table[["x", "y"]].to_numpy()
    widths = table["size"].to_numpy() / _RADIUS_PER_GYRATION
    fit = fit_spots(grey, positions, widths, _mask_radius(diameter_px), free_background=free_background)
    return uncertainty(fit, _noise(image, fit.residual, table, diameter_px), _mask_radius(diameter_px))


def _noise(image: np.ndarray, residual: np.ndarray, table: pd.DataFrame, diameter_px: int) -> np.ndarray:
    """Variance of every pixel's noise."""
    grey = image.astype(float)
    taken = np.zeros(image.shape, dtype=bool)
    height, width = image.shape
    row = np.clip(np.round(table["y"].to_numpy()).astype(int), 0, height - 1)
    column = np.clip(np.round(table["x"].to_numpy()).astype(int), 0, width - 1)
    taken[row, column] = True
    background = ~ndimage.maximum_filter(taken, diameter_px)
    return noise_model(grey, residual, background, whole_levels=image.dtype.kind == "u").variance(grey)
