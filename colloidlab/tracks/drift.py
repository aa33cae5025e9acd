"""Motion that tracked particles share, with its errors, and tracks without it.

From one frame to the next, the particles that are in both give an affine map

    x  ->  x + u + G (x - c) ,

a translation u of the centre c and a gradient G that holds shear, rotation and expansion. No translation is
assumed to be uniform, and particles that enter or leave do not count as motion, because only those seen in both
frames are compared.

| symbol | name |
|---|---|
| u | `translation_px` |
| G_ab = d u_a / d x_b | `gradient` |
| c | `centre` |

References
----------
Errors: Huber and Ronchetti, Robust Statistics, 2nd ed. (2009), section 7.6 (sandwich estimate).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.tracks.assignment import Floats, Integers
from colloidlab.tracks.fields import LEAST_MATCHES, biweight, robust_fit


@dataclass(frozen=True)
class AffineMotion:
    """Shared motion of n steps between successive frames that hold particles, in d dimensions.

    Parameters
    ----------
    axes : tuple of str
        Position columns, the order of the d components.
    frames : int64 array, shape (n + 1,)
        Step k leads from frames[k] to frames[k + 1], over a gap in one go.
    centre : float array, shape (d,), px
        Mean position of all particles.
    translation_px, sigma_translation_px : float array, shape (n, d)
        Displacement of the centre and its standard error; zero and NaN where too few particles are shared.
    gradient, sigma_gradient : float array, shape (n, d, d)
        Zero and NaN where too few particles are shared, zero and zero where only a drift was asked for.
    n_particles : int64 array, shape (n,)
        Shared by both frames.
    """

    axes: tuple[str, ...]
    frames: Integers
    centre: Floats
    translation_px: Floats
    sigma_translation_px: Floats
    gradient: Floats
    sigma_gradient: Floats
    n_particles: Integers

    def carried(self, positions: Floats, step: Integers) -> Floats:
        """Where positions, shape (m, d), are after one step each, shape (m,), of the motion alone."""
        beside = np.einsum("mab,mb->ma", self.gradient[step], positions - self.centre)
        return np.asarray(positions + self.translation_px[step] + beside)


def estimate_motion(tracks: pd.DataFrame, *, kind: Literal["drift", "affine"] = "affine") -> AffineMotion:
    """Estimate the shared motion of every step from linked particles.

    The fit gives little weight to particles that move unlike the others (Tukey's biweight), be they wrongly
    linked, stuck or driven. Errors come from the scatter of the particles about the fit, as independent.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y (z where there is one).
    kind : {"drift", "affine"}

    Raises
    ------
    InputError
        A column is missing, or no particle is seen in two frames.
    """
    rows = _sorted(tracks)
    axes = tuple(a for a in ("x", "y", "z") if a in rows)
    positions = rows[list(axes)].to_numpy(float)
    frames, step = np.unique(rows["frame"].to_numpy(np.int64), return_inverse=True)
    particle = rows["particle"].to_numpy()
    first = np.flatnonzero((particle[1:] == particle[:-1]) & (step[1:] == step[:-1] + 1))
    if len(first) == 0:
        raise InputError(
            "no particle is in two successive frames, so no motion can be seen; link the features first"
        )
    n, d = len(frames) - 1, len(axes)
    centre = positions.mean(axis=0)
    translation, gradient = np.zeros((n, d)), np.zeros((n, d, d))
    sigma_t, sigma_g = np.full((n, d), np.nan), np.full((n, d, d), np.nan)
    order = first[np.argsort(step[first], kind="stable")]
    bounds = np.searchsorted(step[order], np.arange(n + 1))
    for k in range(n):
        shared = order[bounds[k] : bounds[k + 1]]
        if len(shared) < LEAST_MATCHES["drift"]:
            continue
        linear = kind == "affine" and len(shared) >= LEAST_MATCHES["affine"]
        start, moved = positions[shared], positions[shared + 1] - positions[shared]
        basis = np.column_stack([np.ones(len(start)), start - centre]) if linear else np.ones((len(start), 1))
        coefficients, sigma = _with_errors(basis, moved)
        translation[k], sigma_t[k] = coefficients[0], sigma[0]
        if linear:
            gradient[k], sigma_g[k] = coefficients[1:].T, sigma[1:].T
        elif kind == "drift":
            sigma_g[k] = 0.0
    return AffineMotion(axes, frames, centre, translation, sigma_t, gradient, sigma_g, np.diff(bounds))


def subtract_motion(tracks: pd.DataFrame, motion: AffineMotion) -> pd.DataFrame:
    """Tracks as seen by observers who move with the shared motion.

    A track begins where the motion would have had its particle in the first frame, and goes on with what is left of
    each displacement after the motion at the particle's place is taken off. Brownian steps keep their size and
    direction, however far the sample is sheared. For a uniform translation this is the subtraction of the
    accumulated drift.

    Parameters
    ----------
    tracks : DataFrame
        Those from which `motion` was estimated, or others of the same recording.
    motion : AffineMotion

    Returns
    -------
    DataFrame
        A copy with other positions; rows, order and index as given.

    Raises
    ------
    InputError
        A column is missing, or a frame is none of the motion's.
    """
    rows = _sorted(tracks)
    axes = list(motion.axes)
    frame = rows["frame"].to_numpy(np.int64)
    step = np.searchsorted(motion.frames, frame)
    known = motion.frames[np.minimum(step, len(motion.frames) - 1)] == frame
    if not known.all():
        raise InputError(
            f"the motion knows nothing of frame {frame[~known][0]}; estimate it from these tracks"
        )
    positions = rows[axes].to_numpy(float)
    particle = rows["particle"].to_numpy()
    goes_on = np.flatnonzero(particle[1:] == particle[:-1])
    expected = positions[goes_on].copy()
    at = step[goes_on].copy()
    while (behind := at < step[goes_on + 1]).any():
        expected[behind] = motion.carried(expected[behind], at[behind])
        at[behind] += 1
    left = np.zeros_like(positions)
    left[goes_on + 1] = positions[goes_on + 1] - expected
    begins = np.setdiff1d(np.arange(len(rows)), goes_on + 1)
    left[begins] = _in_first_frame(positions[begins], step[begins], motion)
    total = np.cumsum(left, axis=0)
    # One running sum for all tracks: what the tracks before have added up to is taken off.
    length = np.diff(np.append(begins, len(rows)))
    total -= np.repeat(np.vstack([np.zeros(len(axes)), total])[begins], length, axis=0)
    result = tracks.copy()
    placed = np.empty_like(total)
    placed[rows["row"].to_numpy()] = total
    for a, name in enumerate(axes):
        result[name] = placed[:, a]
    return result


def _sorted(tracks: pd.DataFrame) -> pd.DataFrame:
    """Rows by particle and frame, with their place in the given table as `row`."""
    missing = [c for c in ("frame", "particle", "x", "y") if c not in tracks]
    if missing:
        raise InputError(f"the tracks have no column {', '.join(missing)}; link the features first")
    columns = ["frame", "particle", *(a for a in ("x", "y", "z") if a in tracks)]
    plain = tracks[columns].reset_index(drop=True).assign(row=np.arange(len(tracks)))
    return plain.sort_values(["particle", "frame"], kind="stable", ignore_index=True)


def _with_errors(basis: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Coefficients of a robust fit and their standard errors, shape (p, d) each."""
    coefficients = robust_fit(basis, values)
    residual = values - basis @ coefficients
    weight, slope = biweight(residual)
    n, p = basis.shape
    sigma = np.empty_like(coefficients)
    for a in range(values.shape[1]):
        inverse = np.linalg.pinv((basis * slope[:, a : a + 1]).T @ basis)
        scores = basis * (weight * residual[:, a])[:, None]
        covariance = inverse @ (scores.T @ scores) @ inverse.T * n / (n - p)
        sigma[:, a] = np.sqrt(np.diag(covariance))
    return coefficients, sigma


def _in_first_frame(positions: Floats, step: Integers, motion: AffineMotion) -> Floats:
    """Where the motion would have had positions, shape (m, d), of frame `step` in the first frame."""
    n, d = motion.translation_px.shape
    maps, shifts = np.empty((n + 1, d, d)), np.zeros((n + 1, d))
    maps[0] = np.eye(d)
    for k in range(n):
        one = np.eye(d) + motion.gradient[k]
        maps[k + 1] = one @ maps[k]
        shifts[k + 1] = one @ shifts[k] + motion.translation_px[k]
    beside = (positions - motion.centre - shifts[step])[..., None]
    return np.asarray(motion.centre + np.linalg.solve(maps[step], beside)[..., 0])
