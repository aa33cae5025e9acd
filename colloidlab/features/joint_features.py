"""From a joint fit to a table of features: fitted where the fit can be trusted, else the centroid."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from colloidlab.features.centroid import CENTROID_COLUMNS, Centroids, characterise
from colloidlab.features.joint import Fit, fit_image
from colloidlab.features.joint_errors import Quality, quality
from colloidlab.features.joint_kernels import AMPLITUDE, SCALE
from colloidlab.features.template import Template

WORST_MISFIT = 0.2
"""A particle that leaves more of its squared light unexplained is not described by the template."""
_UNSETTLED_PX = 0.1
_WIDEST_SIGMA = 0.5
"""A position that is known no better than this fraction of the radius is no position."""
_SAME = 0.7
"""A centroid that lies nearer than this many radii to a fitted particle shows that particle."""
_RADIUS_PER_GYRATION = np.sqrt(2.0)


def trusted(fit: Fit, measured: Quality) -> np.ndarray:
    """True for particles whose fit settled, knows the position, and describes the image."""
    known = measured.sigma.max(axis=1, initial=0.0) < _WIDEST_SIGMA * fit.particles[:, SCALE]
    described = np.nan_to_num(measured.misfit, nan=np.inf) < WORST_MISFIT
    return np.asarray(known & described & (fit.steps < _UNSETTLED_PX))


def joint_features(
    image: np.ndarray,
    found: Centroids,
    centroid_sigma: np.ndarray,
    template: Template,
    diameter_px: int,
    *,
    minmass: float,
    bad: np.ndarray | None,
) -> np.ndarray:
    """Features of one image by a joint fit.

    Parameters
    ----------
    image : array, shape (height, width)
        Finite, bright particles.
    found : Centroids
        Where the fit starts.
    centroid_sigma : float array, shape (n, 2), px
        Errors of the centroids.
    minmass : float
        Particles that only the fit found must have this mass, too.
    bad : bool array, shape (height, width), or None
        Pixels that are not usable.

    Returns
    -------
    float array, shape (m, 12)
        The columns of `locate`: trackpy's, then radius, sigma_x, sigma_y, chi2; by y and x.
    """
    fit = fit_image(image, template, np.column_stack([found["x"], found["y"]]), bad)
    measured = quality(fit, template)
    good = trusted(fit, measured) & ((fit.origin >= 0) | _in_view(fit, image.shape, diameter_px // 2))
    positions = fit.particles[good, :2]
    table = characterise(image, positions, diameter_px)[CENTROID_COLUMNS].to_numpy()
    extra = np.column_stack([fit.particles[good, SCALE], measured.sigma[good], measured.chi2[good]])
    own_mass = table[:, CENTROID_COLUMNS.index("mass")]
    heavy = (fit.origin[good] >= 0) | (_undimmed(fit, good, own_mass, template) > minmass)
    fitted = np.column_stack([table, extra])[heavy]
    rest = _left_to_centroids(fit, good, found)
    radius = _RADIUS_PER_GYRATION * found["size"]
    both = fit.origin[good][fit.origin[good] >= 0]
    ratio = fit.particles[good, SCALE][fit.origin[good] >= 0] / radius[both]
    scaled = radius[rest] * (float(np.median(ratio)) if len(ratio) else 1.0)
    kept = np.column_stack(
        [
            found.values[rest, : len(CENTROID_COLUMNS)],
            scaled,
            centroid_sigma[rest],
            np.full(len(rest), np.nan),
        ]
    )
    together = np.concatenate([fitted, kept])
    return together[np.lexsort((together[:, 0], together[:, 1]))]


def _undimmed(fit: Fit, good: np.ndarray, mass: np.ndarray, template: Template) -> np.ndarray:
    """Mass of each particle in full light without neighbours, which raise the band-pass's idea of the background.

    Amplitude times scale squared, in the unit in which the particles that have a centroid show their mass.
    """
    particles = fit.particles[good]
    flux = particles[:, AMPLITUDE] * particles[:, SCALE] ** 2
    seen = flux * template.light.at(*particles[:, :2].T)
    started = (fit.origin[good] >= 0) & (mass > 0)
    unit = float(np.median(mass[started] / seen[started])) if started.any() else 1.0
    return np.asarray(unit * flux)


def _in_view(fit: Fit, shape: tuple[int, ...], margin: int) -> np.ndarray:
    """As for centroids, the disc of trackpy's measures must lie in the image."""
    x, y = fit.particles[:, 0], fit.particles[:, 1]
    height, width = shape
    inside = (x >= margin - 0.5) & (x < width - margin - 0.5)
    return np.asarray(inside & (y >= margin - 0.5) & (y < height - margin - 0.5))


def _left_to_centroids(fit: Fit, good: np.ndarray, found: Centroids) -> np.ndarray:
    """Centroids whose fit came to an end that is not trusted, away from all fitted particles.

    A centroid whose particle was taken out as faint, insignificant or a twin is gone.
    """
    failed = fit.origin[~good]
    failed = failed[failed >= 0]
    if len(failed) == 0 or not good.any():
        return failed
    places = np.column_stack([found["x"][failed], found["y"][failed]])
    distance, nearest = cKDTree(fit.particles[good, :2]).query(places)
    return np.asarray(failed[distance > _SAME * fit.particles[good, SCALE][nearest]])
