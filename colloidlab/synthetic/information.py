"""The least error of a position that any unbiased locator can reach in a crowded scene (Cramer-Rao).

The unknowns are position, amplitude and radius of a particle and of all neighbours whose images overlap its
own, and the level of the background: what a joint fit has to find. The Fisher information of pixels with
variance V is F = sum_p (d mu_p)(d mu_p)^T / V_p; the bound of x is the square root of its diagonal entry in F^-1.

References
----------
Ober, Ram, Ward, Biophys. J. 86, 1185 (2004), eq. 5, for one particle.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import UsageError
from colloidlab.synthetic.crowded import GAIN_ELECTRONS, REACH, READ_NOISE, Scene, illumination, profile

_STEP_PX = 0.02
"""Of the central differences."""


def joint_bound_px(
    scene: Scene, truth: pd.DataFrame, *, margin_px: float, n_sampled: int, rng: np.random.Generator
) -> float:
    """Root mean square over particles of the least standard deviation of x and y.

    Parameters
    ----------
    truth : DataFrame
        Of one frame, from `crowded.film`.
    margin_px : float
        Particles nearer to the edge of the view are left out.
    n_sampled : int
        So many particles are drawn at random; the bound costs some 20 ms for each.
    """
    inner = truth[["x", "y"]].to_numpy()
    inside = ((inner > margin_px) & (inner < scene.size_px - 1 - margin_px)).all(axis=1)
    if not inside.any():
        raise UsageError(f"no particle is farther than {margin_px} px from the edge of the view")
    chosen = rng.choice(np.flatnonzero(inside), min(n_sampled, int(inside.sum())), replace=False)
    table, light = profile(scene), illumination(scene.size_px)
    variances = [_variances(scene, truth, int(k), table, light) for k in chosen]
    return float(np.sqrt(np.mean(variances)))


def _variances(
    scene: Scene, truth: pd.DataFrame, k: int, table: NDArray[np.float64], light: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bounds of the variances of x and y of particle k."""
    values = truth[["x", "y", "radius_px", "amplitude"]].to_numpy(float)
    apart = np.hypot(*(values[:, :2] - values[k, :2]).T)
    reach = REACH * scene.diameter_px
    half = int(reach) + 2
    column, row = np.round(values[k, :2]).astype(int)
    rows = np.arange(max(0, row - half), min(scene.size_px, row + half + 1))
    columns = np.arange(max(0, column - half), min(scene.size_px, column + half + 1))
    lit = light[np.ix_(rows, columns)]
    mean = np.full(lit.shape, float(scene.background))
    for x, y, radius, amplitude in values[apart < 2 * reach]:
        mean += amplitude * _image(columns - x, rows - y, radius, table)
    neighbours = np.flatnonzero(apart < 0.85 * reach)
    slopes = []
    for j in [k, *neighbours[neighbours != k]]:
        slopes += [lit * slope for slope in _slopes(values[j], columns, rows, table)]
    slopes.append(lit * scene.background)
    jacobian = np.array([slope.ravel() for slope in slopes])
    noise = (mean * lit + READ_NOISE**2 + GAIN_ELECTRONS**2 / 12).ravel()
    return np.diag(np.linalg.pinv((jacobian / noise) @ jacobian.T, rcond=1e-12))[:2]


def _slopes(
    particle: NDArray[np.float64],
    columns: NDArray[np.int64],
    rows: NDArray[np.int64],
    table: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    """Derivatives of one particle's image by x, y, amplitude and radius."""
    x, y, radius, amplitude = particle
    dx, dy, h = columns - x, rows - y, _STEP_PX
    scale = amplitude / (2 * h)
    return [
        scale * (_image(dx - h, dy, radius, table) - _image(dx + h, dy, radius, table)),
        scale * (_image(dx, dy - h, radius, table) - _image(dx, dy + h, radius, table)),
        _image(dx, dy, radius, table),
        scale * (_image(dx, dy, radius + h, table) - _image(dx, dy, radius - h, table)),
    ]


def _image(
    dx: NDArray[np.float64], dy: NDArray[np.float64], radius: float, table: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A particle of unit amplitude, averaged over 3 x 3 points of each pixel as `crowded` draws it."""
    thirds = np.array([-1.0, 0.0, 1.0]) / 3
    x, y = (dx[:, None] + thirds).ravel(), (dy[:, None] + thirds).ravel()
    distance = np.hypot(x[None, :], y[:, None]) / (REACH * radius)
    fine = np.interp(distance, np.linspace(0, 1, len(table)), table, right=0.0)
    return np.asarray(fine.reshape(len(dy), 3, len(dx), 3).mean(axis=(1, 3)))
