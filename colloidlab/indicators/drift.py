"""Motion that all particles share: found from frame to frame and taken out."""

from __future__ import annotations

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
