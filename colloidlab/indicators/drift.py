"""Motion that all particles share: found from frame to frame and taken out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np

from colloidlab.indicators.trajectories import Floats, Integers, Trajectories, successive_rows

Drift = Literal["none", "mean", "affine"]


def remove_drift(tracks: Trajectories, drift: Drift) -> Trajectories:
    """Positions as seen by an observer who moves with the ensemble.

    For every two successive frames the particles in both give the common motion: its
    mean ("mean"), or translation, rotation and uniform strain ("affine"). What is left
    of each particle's displacement is added up along its track. Over a gap the particle
    is taken to have moved uniformly.

    Fitting p parameters to N particles takes the fraction p/N of *independent* motion
    away; the remainder is scaled by √(N/(N−p)), so that the mean square of independent
    displacements stays unbiased down to few particles. Steps with N ≤ p are left alone.
    """
    if drift == "none" or tracks.frames.size == 0:
        return tracks
    present, step = np.unique(tracks.frames, return_inverse=True)
    steps = _fit_steps(
        tracks, step.astype(np.int64), n_steps=max(present.size - 1, 1), affine=drift == "affine"
    )
    return tracks.with_values(
        _follow(tracks.values, step.astype(np.int64), present.astype(np.float64), tracks.offsets, *steps)
    )


@dataclass(frozen=True)
class CommonMotion:
    """Translation and displacement gradient that all particles share, step by step.

    Step k leads from frames[k] to frames[k + 1], over frames without particles in one go:
    u(x) = translation + gradient (x − centre).

    Parameters
    ----------
    frames : int array, shape (n + 1,)
        That hold particles.
    centre : float array, shape (D,), px
        Mean position of all rows.
    translation, translation_error : float array, shape (n, D), px
        Displacement of the centre and its standard error.
    gradient, gradient_error : float array, shape (n, D, D)
        [i, j] = ∂u_i/∂x_j.
    n_particles : int array, shape (n,)
        In both frames. With D + 1 or fewer of them the motion is NaN.
    """

    frames: Integers
    centre: Floats
    translation: Floats
    translation_error: Floats
    gradient: Floats
    gradient_error: Floats
    n_particles: Integers


def common_motion(tracks: Trajectories) -> CommonMotion:
    """Affine motion of every step, by least squares over the particles that are in both frames.

    Nobody is left out as an outlier, because where a drive is felt only beside a wall its
    particles are the signal; `colloidlab.tracks.estimate_motion` is the robust fit. The errors
    take the particles' scatter about the fit as independent.
    """
    n_dim = tracks.values.shape[1]
    frames, step = np.unique(tracks.frames, return_inverse=True)
    step = step.astype(np.int64)
    n_steps = max(frames.size - 1, 0)
    if n_steps == 0:
        empty, square = np.zeros((0, n_dim)), np.zeros((0, n_dim, n_dim))
        centre = tracks.values.mean(axis=0) if frames.size else np.full(n_dim, np.nan)
        return CommonMotion(frames, centre, empty, empty, square, square, np.zeros(0, dtype=np.int64))
    coefficients, middle, _ = _fit_steps(tracks, step, n_steps=n_steps, affine=True)
    rows = successive_rows(step, tracks.offsets)
    k, start = step[rows], tracks.values[rows]
    number = np.bincount(k, minlength=n_steps)
    basis = np.column_stack([np.ones(rows.size), start - middle[k]])
    left = tracks.values[rows + 1] - start - np.einsum("ra,rad->rd", basis, coefficients[k])
    # Seen from the centre of all rows instead of that of the step's particles.
    centre = tracks.values.mean(axis=0)
    offset = np.column_stack([np.ones(n_steps), centre - middle])
    variance, covariance = _scatter(basis, left, k, number)
    toward = np.einsum("na,nab,nb->n", offset, covariance, offset)
    known = (number > n_dim + 1)[:, None]
    diagonal = np.diagonal(covariance, axis1=1, axis2=2)[:, 1:]
    return CommonMotion(
        frames,
        centre,
        np.where(known, np.einsum("na,nad->nd", offset, coefficients), np.nan),
        np.where(known, np.sqrt(toward[:, None] * variance), np.nan),
        np.where(known[..., None], coefficients[:, 1:].transpose(0, 2, 1), np.nan),
        np.where(known[..., None], np.sqrt(variance[:, :, None] * diagonal[:, None, :]), np.nan),
        number.astype(np.int64),
    )


def _scatter(basis: Floats, left: Floats, k: Integers, number: Integers) -> tuple[Floats, Floats]:
    """Per step: variance of a displacement about the fit, (n, D), and covariance of the fit per variance, (n, p, p)."""
    n, p = number.size, basis.shape[1]
    normal = np.empty((n, p, p))
    for a in range(p):
        for b in range(p):
            normal[:, a, b] = np.bincount(k, basis[:, a] * basis[:, b], n)
    squares = np.column_stack([np.bincount(k, column**2, n) for column in left.T])
    return squares / np.maximum(number - p, 1)[:, None], np.asarray(
        np.linalg.pinv(normal, hermitian=True), float
    )


def mean_drift(tracks: Trajectories) -> Floats:
    """Mean displacement over one frame, px; NaN when no particle is in two successive frames. Shape (D,)."""
    joined = successive_rows(tracks.frames, tracks.offsets)
    if joined.size == 0:
        return np.full(tracks.values.shape[1], np.nan)
    return np.asarray(np.mean(tracks.values[joined + 1] - tracks.values[joined], axis=0))


def _fit_steps(
    tracks: Trajectories, step: Integers, *, n_steps: int, affine: bool
) -> tuple[Floats, Floats, Floats]:
    """Least-squares motion per step: coefficients (n_steps, 1 + D, D), centre (n_steps, D), scale."""
    n_dim = tracks.values.shape[1]
    rows = successive_rows(step, tracks.offsets)
    k, start = step[rows], tracks.values[rows]
    moved = tracks.values[rows + 1] - start
    number = np.bincount(k, minlength=n_steps).astype(np.float64)
    safe = np.maximum(number, 1)
    centre = np.column_stack([np.bincount(k, start[:, d], n_steps) for d in range(n_dim)]) / safe[:, None]
    basis = (
        np.ones((rows.size, 1)) if not affine else np.column_stack([np.ones(rows.size), start - centre[k]])
    )
    p = basis.shape[1]
    normal = np.empty((n_steps, p, p))
    right = np.empty((n_steps, p, n_dim))
    for a in range(p):
        for b in range(p):
            normal[:, a, b] = np.bincount(k, basis[:, a] * basis[:, b], n_steps)
        for d in range(n_dim):
            right[:, a, d] = np.bincount(k, basis[:, a] * moved[:, d], n_steps)
    enough = number > p
    coefficients = np.zeros((n_steps, 1 + n_dim, n_dim))
    coefficients[enough, :p] = np.linalg.pinv(normal[enough], hermitian=True) @ right[enough]
    scale = np.where(enough, np.sqrt(safe / np.where(enough, number - p, 1)), 1.0)
    return coefficients, centre, scale


@numba.njit(cache=True, nogil=True)
def _follow(
    positions: Floats,
    step: Integers,
    times: Floats,
    offsets: Integers,
    coefficients: Floats,
    centre: Floats,
    scale: Floats,
) -> Floats:
    """Add up what is left of every displacement after the common motion, along each track."""
    n_dim = positions.shape[1]
    out = positions.copy()
    for track in range(offsets.size - 1):
        for row in range(offsets[track] + 1, offsets[track + 1]):
            first, last = step[row - 1], step[row]
            span = times[last] - times[first]
            factor = 0.0
            for k in range(first, last):
                factor += scale[k]
            factor /= last - first
            for d in range(n_dim):
                left = positions[row, d] - positions[row - 1, d]
                for k in range(first, last):
                    left -= coefficients[k, 0, d]
                    along = (times[k] - times[first]) / span
                    for a in range(n_dim):
                        here = positions[row - 1, a] + along * (positions[row, a] - positions[row - 1, a])
                        left -= coefficients[k, 1 + a, d] * (here - centre[k, a])
                out[row, d] = out[row - 1, d] + factor * left
    return out
