"""Local strain and what it does not explain: D²min of Falk and Langer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.neighbours import minimum_image, pairs_within
from colloidlab.indicators.trajectories import Floats, Integers, snapshots
from colloidlab.progress import SILENT, Monitor

_LEAST_SHAPE = 1e-6
"""Least det Y / (tr Y / D)^D, 1 for a neighbourhood that is round and 0 for one on a line."""

D2MIN_COLUMNS = ("frame", "particle", "d2min_px2", "strain_xx", "strain_xy", "strain_yy", "n_neighbours")


@dataclass(frozen=True)
class NonAffine:
    """Rearrangement of each particle's neighbourhood between two configurations.

    Parameters
    ----------
    d2min : float array, shape (n,)
        Squared non-affine displacement summed over the neighbours, in the square of the positions' unit.
    strain : float array, shape (n, D, D)
        Green-Lagrange strain ½(FᵀF − 1) of the best affine map F; blind to rotation.
    n_neighbours : int array, shape (n,)
    """

    d2min: Floats
    strain: Floats
    n_neighbours: Integers


def d2min(reference: Floats, current: Floats, *, cutoff: float, box: Floats | None = None) -> NonAffine:
    """Non-affine squared displacement D²min and local strain, by least squares over the neighbours.

    | symbol | name | meaning |
    |---|---|---|
    | R_ij, r_ij | | separation to neighbour j in the reference and now |
    | X = Σ r Rᵀ, Y = Σ R Rᵀ | cross, shape | sums over neighbours with |R_ij| ≤ cutoff |
    | F = X Y⁻¹ | map | best affine map |
    | D²min = Σ |r − F R|² | d2min | what F leaves over |

    NaN where there are fewer than D + 1 neighbours (with D of them an affine map always
    fits exactly) or where they lie nearly on a line or plane. A particle with few
    neighbours has a small D²min: it is a sum, as published, not a mean.

    Parameters
    ----------
    reference, current : float array, shape (n, D), D = 2 or 3
        The same particles, row by row; rows with NaN are absent.
    cutoff : float
        Radius of the neighbourhood in the reference, in the unit of the positions.
    box : float array, shape (D,), optional
        Sides of a periodic box; separations are then to the nearest image.

    Raises
    ------
    InputError
        The shapes differ or are not (n, 2) or (n, 3); the cutoff does not fit the box.

    References
    ----------
    Falk & Langer, Phys. Rev. E 57, 7192 (1998), equations 2.11 to 2.14.

    Examples
    --------
    >>> here = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    >>> sheared = here @ np.array([[1, 0], [0.1, 1]])
    >>> d2min(here, sheared, cutoff=1.5).d2min.max() < 1e-30
    np.True_
    """
    reference, current = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if reference.shape != current.shape or reference.ndim != 2 or reference.shape[1] not in (2, 3):
        raise InputError(
            f"D2min needs arrays of one shape, (n, 2) or (n, 3), not {reference.shape} and {current.shape}"
        )
    sides = None if box is None else np.asarray(box, dtype=np.float64)
    present = np.isfinite(current).all(axis=1, keepdims=True)
    pairs = pairs_within(np.where(present, reference, np.nan), cutoff, sides)
    before = minimum_image(reference[pairs[:, 1]] - reference[pairs[:, 0]], sides)
    after = minimum_image(current[pairs[:, 1]] - current[pairs[:, 0]], sides)
    return _fit(pairs, before, after, reference.shape[0])


def d2min_table(
    tracks: pd.DataFrame, *, lag_frames: int, cutoff_px: float, monitor: Monitor = SILENT
) -> pd.DataFrame:
    """D²min and local strain of every particle over a fixed lag.

    Particles in both frames count, whatever happens in between; a frame without a
    partner `lag_frames` earlier gives no rows. The strain of three-dimensional tracks
    is fitted in 3D and its in-plane components are given.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    lag_frames : int
    cutoff_px : float
    monitor : Monitor

    Returns
    -------
    DataFrame
        frame (the later one), particle, d2min_px2, strain_xx, strain_xy, strain_yy, n_neighbours.
    """
    if lag_frames < 1:
        raise InputError(f"the lag of D2min is {lag_frames} frames; it must be at least 1")
    shots = snapshots(tracks)
    where = {int(frame): k for k, frame in enumerate(shots.frames)}
    parts = []
    for later, frame in enumerate(monitor.track(shots.frames, "D2min")):
        earlier = where.get(int(frame) - lag_frames)
        if earlier is None:
            continue
        common, a, b = np.intersect1d(
            shots.particles[earlier], shots.particles[later], assume_unique=True, return_indices=True
        )
        found = d2min(shots.positions[earlier][a], shots.positions[later][b], cutoff=cutoff_px)
        parts.append(
            pd.DataFrame(
                {
                    "frame": int(frame),
                    "particle": common,
                    "d2min_px2": found.d2min,
                    "strain_xx": found.strain[:, 0, 0],
                    "strain_xy": found.strain[:, 0, 1],
                    "strain_yy": found.strain[:, 1, 1],
                    "n_neighbours": found.n_neighbours,
                }
            )
        )
    if parts:
        return pd.concat(parts, ignore_index=True)
    whole = ("frame", "particle", "n_neighbours")
    return pd.DataFrame({c: np.zeros(0, np.int64 if c in whole else np.float64) for c in D2MIN_COLUMNS})


def _fit(pairs: Integers, before: Floats, after: Floats, n: int) -> NonAffine:
    """Sum over the neighbours, solve per particle, then sum the squared residuals (no digits are lost)."""
    n_dim = before.shape[1]
    # Seen from its other end a pair has both separations reversed, which changes no product of two.
    owner, before, after = (
        np.concatenate([pairs[:, 0], pairs[:, 1]]),
        np.tile(before, (2, 1)),
        np.tile(after, (2, 1)),
    )
    cross, shape = np.empty((n, n_dim, n_dim)), np.empty((n, n_dim, n_dim))
    for a in range(n_dim):
        for b in range(n_dim):
            cross[:, a, b] = np.bincount(owner, after[:, a] * before[:, b], n)
            shape[:, a, b] = np.bincount(owner, before[:, a] * before[:, b], n)
    number = np.bincount(owner, minlength=n).astype(np.int64)
    size = np.trace(shape, axis1=1, axis2=2) / n_dim
    usable = (number > n_dim) & (np.linalg.det(shape) > _LEAST_SHAPE * size**n_dim)
    maps = np.full((n, n_dim, n_dim), np.nan)
    maps[usable] = np.linalg.solve(shape[usable], cross[usable].transpose(0, 2, 1)).transpose(0, 2, 1)
    left = after - np.einsum("kab,kb->ka", maps[owner], before)
    residual = np.where(usable, np.bincount(owner, np.sum(left**2, axis=1), n), np.nan)
    strain = 0.5 * (maps.transpose(0, 2, 1) @ maps - np.eye(n_dim))
    return NonAffine(residual, strain, number)
