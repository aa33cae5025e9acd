"""Rigid crystals and free walks: what indicators must find nothing in, and what they must measure exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def lattice(n: int, spacing: float = 1.0) -> tuple[Floats, Floats]:
    """Triangular lattice of about n sites, and the sides of the box in which it is periodic.

    Parameters
    ----------
    n : int
        Rounded to a square number of even root.
    spacing : float

    Returns
    -------
    positions : float array, shape (m, 2)
    box : float array, shape (2,)
    """
    side = 2 * max(1, round(np.sqrt(n) / 2))
    i, j = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    row = spacing * np.sqrt(0.75)
    positions = np.column_stack([spacing * (i + 0.5 * (j % 2)).ravel(), row * j.ravel()])
    return positions, np.array([spacing * side, row * side])


def noisy_crystal(
    rng: np.random.Generator, *, n_frames: int, n: int, spacing: float, sigma: float
) -> pd.DataFrame:
    """Tracks of a rigid triangular crystal, seen with a localisation error that differs between particles.

    Parameters
    ----------
    rng : numpy Generator
    n_frames, n : int
    spacing : float
        px
    sigma : float
        Mean localisation error along each axis, px; each particle has its own, half to half as much again.

    Returns
    -------
    DataFrame
        frame, particle, x, y, sigma_x_px, sigma_y_px.
    """
    places, _ = lattice(n, spacing)
    errors = sigma * rng.uniform(0.5, 1.5, len(places))
    seen = places + errors[:, None] * rng.normal(size=(n_frames, *places.shape))
    table = as_tracks(seen + 2 * spacing)
    table["sigma_x_px"] = table["sigma_y_px"] = np.tile(errors, n_frames)
    return table


def walk(
    rng: np.random.Generator, *, n_frames: int, n: int, step: float = 1.0
) -> tuple[Floats, pd.DataFrame]:
    """Free walks of n particles, steps of standard deviation `step` along each axis: positions and tracks."""
    positions = np.cumsum(rng.normal(0, step, (n_frames, n, 2)), axis=0)
    return positions, as_tracks(positions)


def as_tracks(positions: Floats) -> pd.DataFrame:
    """Tracks (frame, particle, x, y) of positions, shape (n_frames, n, 2)."""
    frame, particle = np.indices(positions.shape[:2]).reshape(2, -1)
    x, y = positions.reshape(-1, 2).T
    return pd.DataFrame({"frame": frame, "particle": particle, "x": x, "y": y})
