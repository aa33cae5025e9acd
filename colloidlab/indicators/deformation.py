"""How the whole view is moved and deformed, frame by frame: the drive as the particles show it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.drift import CommonMotion, common_motion
from colloidlab.indicators.trajectories import Floats, Integers, trajectories

AXES = "xyz"


@dataclass(frozen=True)
class DeformationSteps:
    """Common motion between successive frames that hold particles, as components of a physicist's words.

    Parameters
    ----------
    start, stop : int array, shape (n,)
        Frames between which each step leads.
    components : tuple of str
        `dx_px`, `dy_px`: translation of the centre; `strain_xx`, `strain_yy`: ∂u_x/∂x, ∂u_y/∂y;
        `shear_xy`: ∂u_x/∂y + ∂u_y/∂x; `rotation_xy`: ½(∂u_y/∂x − ∂u_x/∂y), from x towards y. Accordingly in 3D.
    values : float array, shape (n, n_components)
        px, or 1 for what is no translation. A step with too few particles is left out.
    lengths : float array, shape (n_components,), px
        Rms displacement of a particle per unit of each component.
    sampling : float array, shape (n_components,)
        Variance of each component in a step per variance of one particle's displacement along an axis, where particles
        move independently.
    """

    start: Integers
    stop: Integers
    components: tuple[str, ...]
    values: Floats
    lengths: Floats
    sampling: Floats

    @property
    def axes(self) -> str:
        return "".join(c[1] for c in self.components if c.startswith("d"))


def deformation_steps(tracks: pd.DataFrame) -> DeformationSteps:
    """Translation, strain and rotation of every step, by least squares over all particles in both of its frames."""
    rows = trajectories(tracks)
    motion = common_motion(rows)
    n_dim = rows.values.shape[1]
    axes = AXES[:n_dim]
    spread = rows.values.std(axis=0) if rows.frames.size else np.ones(n_dim)
    _require_motion(motion)
    if not (spread > 0).all():
        raise InputError("all particles lie on one line or point, so that they show no deformation")
    g = motion.gradient
    # Name, values, and the length and the inverse square lever of each component.
    found = [(f"d{a}_px", motion.translation[:, i], 1.0, 1.0) for i, a in enumerate(axes)]
    found += [(f"strain_{a}{a}", g[:, i, i], spread[i], spread[i] ** -2) for i, a in enumerate(axes)]
    for i, a in enumerate(axes):
        for j, b in enumerate(axes[i + 1 :], i + 1):
            across, lever = np.hypot(spread[i], spread[j]), spread[i] ** -2 + spread[j] ** -2
            found.append((f"shear_{a}{b}", g[:, i, j] + g[:, j, i], 0.5 * across, lever))
            found.append((f"rotation_{a}{b}", 0.5 * (g[:, j, i] - g[:, i, j]), across, 0.25 * lever))
    names, values, lengths, levers = zip(*found, strict=True)
    table = np.column_stack(values)
    known = np.isfinite(table).all(axis=1)
    number = float(motion.n_particles[known].mean()) if known.any() else 1.0
    return DeformationSteps(
        motion.frames[:-1][known],
        motion.frames[1:][known],
        names,
        table[known],
        np.array(lengths),
        np.array(levers) / number,
    )


def strain_series(tracks: pd.DataFrame) -> pd.DataFrame:
    """Motion that all particles share, added up since the first frame.

    Steps are added, not composed: gradient is the time integral of the velocity gradient at
    a fixed place, which for simple shear is the shear strain of any size. In a step with too
    few particles the motion is taken to go on as in the steps around it. Every step adds its
    own error, so the sum wanders by about the root of the number of steps times `*_error`.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px; gaps and particles that come and go are fine.

    Returns
    -------
    DataFrame
        One row for every frame that holds particles: frame; dx_px, dy_px[, dz_px]; gradient_xx,
        gradient_xy (∂u_x/∂y), gradient_yx, gradient_yy[, ...]; shear_strain (gradient_xy + gradient_yx);
        rotation_rad (from x towards y); dx_error_px, ..., gradient_xx_error, ...: standard error of the
        last step; n_particles: that are in this frame and the one before. Without the columns after
        gradient_yy it is a drive signal for rollouts.

    Raises
    ------
    InputError
        A column is missing, or there are never enough particles in two successive frames.
    """
    motion = common_motion(trajectories(tracks))
    n_dim = motion.centre.size
    _require_motion(motion)
    axes = AXES[:n_dim]
    names = [f"d{a}_px" for a in axes] + [f"gradient_{a}{b}" for a in axes for b in axes]
    errors = [f"d{a}_error_px" for a in axes] + [f"gradient_{a}{b}_error" for a in axes for b in axes]
    spans = np.diff(motion.frames)
    table = pd.DataFrame({"frame": motion.frames})
    for name, rate in zip(names, _columns(motion.translation, motion.gradient), strict=True):
        table[name] = np.append(0.0, np.cumsum(_bridged(rate / spans) * spans))
    table["shear_strain"] = table["gradient_xy"] + table["gradient_yx"]
    table["rotation_rad"] = 0.5 * (table["gradient_yx"] - table["gradient_xy"])
    for name, error in zip(errors, _columns(motion.translation_error, motion.gradient_error), strict=True):
        table[name] = np.append(np.nan, error)
    table["n_particles"] = np.append(0, motion.n_particles)
    return table


def _require_motion(motion: CommonMotion) -> None:
    if not np.isfinite(motion.translation).any():
        raise InputError(
            f"no two successive frames share more than {motion.centre.size + 1} particles, so no common deformation "
            "can be seen; link the features first"
        )


def _columns(translation: Floats, gradient: Floats) -> list[Floats]:
    return [*translation.T, *gradient.reshape(gradient.shape[0], -1).T]


def _bridged(rate: Floats) -> Floats:
    known = np.isfinite(rate)
    steps = np.arange(rate.size)
    return np.interp(steps, steps[known], rate[known])
