"""Locating particles: from one image to a table of positions, sizes and errors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import UsageError
from colloidlab.features.centroid import CENTROID_COLUMNS, PERCENTILE, Centroids, empty, measure_centroids
from colloidlab.features.circles import CircleSearch, locate_circles
from colloidlab.features.images import check_diameter, is_stack, touches, usable
from colloidlab.features.joint_choice import choose_method
from colloidlab.features.joint_features import joint_features
from colloidlab.features.localisation_error import calibrate_sigma
from colloidlab.features.parameters import Method, default_separation
from colloidlab.features.pixel_noise import sample_noise
from colloidlab.features.template import Template
from colloidlab.features.template_learning import learn
from colloidlab.features.volume import Sizes, locate_volume

FEATURE_COLUMNS = [*CENTROID_COLUMNS, "radius_px", "sigma_x_px", "sigma_y_px", "chi2"]

_COLUMNS = pd.Index(FEATURE_COLUMNS)

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
    circles: CircleSearch | None = None,
    minsignal: float = 0.0,
) -> pd.DataFrame:
    """Positions, apparent radii and localisation errors of the particles in one image.

    Particles are found as trackpy finds them. By the joint method their positions are then those of a fit of
    one template to all of them, which touching neighbours do not displace; it finds particles that were missed
    and takes spurious ones out. Where the template does not describe the image, or a particle, the centroid
    stays. All columns of trackpy keep trackpy's meaning, at the final position.

    Parameters
    ----------
    image : array, shape (height, width), or (depth, height, width)
        Grey levels; 8 or 16 bit, float or any other number. Particles that touch a pixel which is not
        finite are left out.
    diameter_px : int, or (z, y, x) for a stack
        Odd size of a particle's image, px.
    method : {"auto", "joint", "centroid", "circles"}
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
    circles : CircleSearch, optional
        Radii and kind of outline; "circles" needs it.
    minsignal : float
        Features whose brightest pixel after the band-pass (column `signal`) is fainter are left out: bright gaps
        between particles have the mass of particles, but are fainter.

    Returns
    -------
    DataFrame
        `FEATURE_COLUMNS`, float64, one row a particle; without rows where nothing was found.
        `radius_px` is the scale of the template (see `Template`), for a disc or a sphere its edge. For centroids
        it is sqrt(2) times the radius of gyration, scaled so that both agree over the frame.
        `sigma_x_px`, `sigma_y_px` come from the fit's covariance, or from `calibrate_sigma` for centroids.
        `chi2` is NaN for centroids.
        Stacks are located by centroids, with the columns of `locate_volume`.

    Raises
    ------
    InputError, UsageError
        The image is no grey image or has no finite pixel; the options are impossible.
    """
    if method not in ("auto", "joint", "centroid", "circles"):
        raise UsageError(f"method = {method!r} is unknown; choose auto, joint, centroid or circles")
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
    if method == "circles":
        if circles is None:
            raise UsageError(
                "method = 'circles' needs the radii: give circles=CircleSearch((least, largest))"
            )
        return locate_circles(ready.image, diameter, circles, separation_px=separation_px or 0.0)
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
    if minsignal > 0:
        found = found.select(found["signal"] >= minsignal)
    if len(found) == 0:
        return empty(FEATURE_COLUMNS)
    sigma = calibrate_sigma(found, diameter, sample_noise(ready.image))
    if method == "centroid":
        return _centroid_features(found, sigma)
    if template is None:
        template = _learned(ready.image, found, diameter, method)
    if template is None:
        return _centroid_features(found, sigma)
    values = joint_features(
        ready.image, found, sigma, template, diameter, minmass=minmass or 0.0, bad=ready.bad
    )
    table = pd.DataFrame(values, columns=_COLUMNS)
    # What the fit finds anew has to be as bright.
    return table[table["signal"] >= minsignal].reset_index(drop=True) if minsignal > 0 else table


def _learned(image: np.ndarray, found: Centroids, diameter_px: int, method: Method) -> Template | None:
    """The template of this image alone; who asks for the joint fit gets it also where it describes little."""
    if method == "joint":
        return learn([image], [found.table()], diameter_px)
    return choose_method([image], [found.table()], diameter_px).template


def _check_options(minmass: float | None, separation_px: float | None) -> None:
    if minmass is not None and not (np.isfinite(minmass) and minmass >= 0):
        raise UsageError(f"minmass = {minmass} is not a brightness; give zero or more")
    if separation_px is not None and not (np.isfinite(separation_px) and separation_px > 0):
        raise UsageError(f"separation_px = {separation_px} is not a distance; give more than zero")


def _centroid_features(found: Centroids, sigma: np.ndarray) -> pd.DataFrame:
    # One array, one table: every operation on a table costs more than a thousand particles.
    values = np.full((len(found), len(FEATURE_COLUMNS)), np.nan, order="F")
    values[:, : len(CENTROID_COLUMNS)] = found.values[:, : len(CENTROID_COLUMNS)]
    values[:, len(CENTROID_COLUMNS)] = _RADIUS_PER_GYRATION * found["size"]
    values[:, len(CENTROID_COLUMNS) + 1 : -1] = sigma
    return pd.DataFrame(values, columns=_COLUMNS)
