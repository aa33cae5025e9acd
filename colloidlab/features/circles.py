"""Particles as circles: discs, droplets, bubbles and rings that are many pixels wide, of any mixture of sizes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from colloidlab.features.centroid import CENTROID_COLUMNS, characterise
from colloidlab.features.circle_fit import CircleFit, fit_circles
from colloidlab.features.circle_votes import vote_for_circles
from colloidlab.features.outlines import Outline, outline_image

_REDUCED_RADIUS_PX = 28.0
"""Largest radius that is voted for: the cost grows with its square, and the fit makes up for the precision."""
_EDGE_WIDTH, _LINE_WIDTH = 0.02, 0.045
"""Smoothing for the fit, in radii: edges are sharp; the ring of a disc has a width of its own."""
_LEAST_WIDTH_PX = 1.0
_WINDOW = 0.1
"""Outlines are looked for this far from the first guess, in radii."""
_LEAST_WINDOW_PX = 4.0
_SURE = 0.6
"""A circle with this share of its circumference on an outline stands for itself."""
_LEAST_SUPPORT = 0.38
"""The least share for a circle whose radius is a common one; contacts and glare hide the rest."""
_RADIUS_SCATTER = 0.03
"""By which radii of one kind of particle differ, relative."""
_LEAST_CIRCLES = 8
"""Fewer do not show which radii are common."""
_LEAST_IN_VIEW = 0.5
_FAINT = 0.25
"""Circles fainter than this fraction of the best ones are texture."""
_ROUGH = 2.0
"""Circles around which outlines scatter more than so many times as much as around sure ones pass between things."""
_SMOOTH_PX = 0.3
"""Outlines that scatter less than this are never too rough."""
_OVERLAP = 0.85
"""Centres are at least so far apart, in sums of radii."""


@dataclass(frozen=True)
class CircleSearch:
    """What circles look like in a recording.

    Attributes
    ----------
    radii_px : (float, float)
        Least and largest radius.
    outline : {"edge", "line"}
        Edges of bright discs, or bright rings.
    """

    radii_px: tuple[float, float]
    outline: Outline = "edge"


def find_circles(image: np.ndarray, search: CircleSearch, *, separation_px: float = 0.0) -> CircleFit:
    """Circles of one image, none of which covers another, in falling order of significance.

    Parameters
    ----------
    image : array, shape (height, width)
        Finite grey levels; particles (or their rings) bright.
    search : CircleSearch
    separation_px : float
        Least distance between two centres; never less than 0.85 of the sum of their radii.
    """
    low, high = search.radii_px
    guesses = _guesses(image, search)
    share = _LINE_WIDTH if search.outline == "line" else _EDGE_WIDTH
    width = max(_LEAST_WIDTH_PX, share * 0.5 * (low + high))
    outlines, _ = outline_image(image, width, search.outline)
    fit = fit_circles(outlines, guesses, np.maximum(_LEAST_WINDOW_PX, _WINDOW * guesses[:, 2]))
    radius = fit.circles[:, 2]
    with np.errstate(invalid="ignore"):
        plausible = (radius >= low) & (radius <= high) & (fit.in_view >= _LEAST_IN_VIEW)
        fit = fit[plausible & (fit.support >= _LEAST_SUPPORT)]
    sure = _add_free(fit, fit.support >= _SURE, np.empty(0, dtype=int), separation_px)
    if len(sure) == 0:
        return fit[sure]
    usual = _SURE - (_SURE - _LEAST_SUPPORT) * _commonness(fit.circles[:, 2], fit.circles[sure, 2])
    alike = fit.strength >= _FAINT * np.median(fit.strength[sure])
    alike &= fit.scatter <= max(_ROUGH * np.median(fit.scatter[sure]), _SMOOTH_PX)
    return fit[_add_free(fit, alike & (fit.support >= usual), sure[alike[sure]], separation_px)]


def locate_circles(
    image: np.ndarray, diameter_px: int, search: CircleSearch, *, separation_px: float = 0.0
) -> pd.DataFrame:
    """Positions, radii and errors of circles in one image.

    Parameters
    ----------
    image : array, shape (height, width)
        Finite grey levels; particles (or their rings) bright.
    diameter_px : int
        Odd size of the disc over which trackpy's columns are measured.
    search : CircleSearch
    separation_px : float
        As in `find_circles`.

    Returns
    -------
    DataFrame
        trackpy's columns, of the image as it is (inverted for dark particles), then `radius_px, sigma_x_px,
        sigma_y_px` from the fit, and `chi2` without a value.
    """
    fit = find_circles(image, search, separation_px=separation_px)
    order = np.lexsort((fit.circles[:, 0], fit.circles[:, 1]))
    circles, sigma = fit.circles[order], fit.sigma[order]
    table = characterise(image, circles[:, :2], diameter_px)[CENTROID_COLUMNS]
    return table.assign(radius_px=circles[:, 2], sigma_x_px=sigma[:, 0], sigma_y_px=sigma[:, 1], chi2=np.nan)


def _guesses(image: np.ndarray, search: CircleSearch) -> np.ndarray:
    """x, y and radius of what may be circles, from a reduced image."""
    low, high = search.radii_px
    factor = max(1, int(high / _REDUCED_RADIUS_PX))
    height, width = (n // factor for n in image.shape)
    whole = np.ascontiguousarray(image[: height * factor, : width * factor], dtype=np.float32)
    grey = np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))
    line = search.outline == "line"
    smoothing = max(_LEAST_WIDTH_PX, (_LINE_WIDTH if line else _EDGE_WIDTH) * 0.5 * (low + high) / factor)
    _, points = outline_image(grey, smoothing, search.outline)
    found = vote_for_circles(points, (low / factor, high / factor), grey.shape, both_sides=line)
    # The centre of a reduced pixel lies between those of the pixels that it covers.
    return np.column_stack([(found[:, :2] + 0.5) * factor - 0.5, found[:, 2] * factor])


def _commonness(radii: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Density of the radii of sure circles at other radii, 1 where it is highest."""
    if len(sure) < _LEAST_CIRCLES:
        return np.zeros(len(radii))

    def density(at: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-0.5 * (np.log(at[:, None] / sure) / _RADIUS_SCATTER) ** 2).sum(axis=1))

    return density(radii) / density(sure).max()


def _add_free(fit: CircleFit, allowed: np.ndarray, chosen: np.ndarray, separation_px: float) -> np.ndarray:
    """Add allowed circles to chosen ones, most significant first, each of which leaves those before it free."""
    # The support that chance gives scatters with the root of the number of rays.
    order = np.argsort(-fit.support * np.sqrt(fit.circles[:, 2] * fit.in_view), kind="stable")
    kept = list(chosen)
    for i in order[allowed[order]]:
        others = fit.circles[kept]
        distance = np.hypot(others[:, 0] - fit.circles[i, 0], others[:, 1] - fit.circles[i, 1])
        least = np.maximum(separation_px, _OVERLAP * (others[:, 2] + fit.circles[i, 2]))
        if (distance >= least).all():
            kept.append(int(i))
    return np.array(kept, dtype=int)
