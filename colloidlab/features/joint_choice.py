"""Does one template describe all particles of a recording? Then positions come from a joint fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from colloidlab.features.joint import fit_image
from colloidlab.features.joint_errors import quality
from colloidlab.features.joint_features import trusted
from colloidlab.features.joint_kernels import SCALE
from colloidlab.features.parameters import Method
from colloidlab.features.template import Template
from colloidlab.features.template_learning import learn
from colloidlab.progress import SILENT, Monitor

_LEAST_SHARE = 0.7
"""The fit must describe particles with at least this share of the mass."""
_GOOD_MISFIT = 0.03
_GOOD_CHI2 = 2.0
"""...and half of them so well: squared residual beyond the noise over squared light, or chi-square."""
_NEARLY = 4.0
"""Above this chi-square the template's misfit counts more than the noise; where rims touch, they hold most of it."""


@dataclass(frozen=True)
class MethodChoice:
    """The method for a recording, what it learned, and one sentence that says why it was chosen."""

    method: Method
    template: Template | None
    reason: str


def choose_method(
    images: Sequence[np.ndarray],
    tables: Sequence[pd.DataFrame],
    diameter_px: int,
    monitor: Monitor = SILENT,
) -> MethodChoice:
    """Learn a template from a recording and judge on the frame with most particles how well it describes them.

    The judge is the noise of single pixels, found from differences of neighbours before any fit, so that what
    the template does not describe cannot pass for noise.

    Parameters
    ----------
    images : sequence of array, shape (height, width)
        Finite, particles bright.
    tables : sequence of DataFrame
        From `find_centroids`, without features below the least mass.
    diameter_px : int
        Odd.
    monitor : Monitor
        Asked while a template is learned.
    """
    template = learn(images, tables, diameter_px, monitor) if any(len(table) for table in tables) else None
    if template is None:
        return MethodChoice(
            "centroid", None, "centroids, for the particles are too few or too unlike for a template"
        )
    best = int(np.argmax([len(table) for table in tables]))
    table = tables[best]
    fit = fit_image(images[best], template, table[["x", "y"]].to_numpy(float))
    measured = quality(fit, template)
    good = trusted(fit, measured)
    started = good & (fit.origin >= 0)
    mass = table["mass"].to_numpy()
    share = float(mass[fit.origin[started]].sum() / mass.sum())
    if share < _LEAST_SHARE:
        return MethodChoice(
            "centroid",
            None,
            f"centroids, for one template describes only {100 * share:.0f} % of the particles by mass",
        )
    misfit, chi2 = float(np.median(measured.misfit[good])), float(np.median(measured.chi2[good]))
    words = f"chi-square {chi2:.3g}, {100 * misfit:.2g} % of a particle's squared light unexplained"
    if misfit > _GOOD_MISFIT and chi2 > _GOOD_CHI2:
        return MethodChoice("centroid", None, f"centroids, for no template describes the particles: {words}")
    if chi2 > _NEARLY and _touching(fit.particles, template.reach):
        template = replace(template, cores=True)
        words += "; as touching rims leave more than noise, the cores of the particles decide"
    return MethodChoice("joint", template, f"joint fit, for one template describes the particles: {words}")


def _touching(particles: np.ndarray, reach: float) -> bool:
    """Do the images of most particles overlap with another's?"""
    if len(particles) < 2:
        return False
    nearest = cKDTree(particles[:, :2]).query(particles[:, :2], k=2)[0][:, 1]
    return bool(np.median(nearest / particles[:, SCALE]) < 2 * reach)
