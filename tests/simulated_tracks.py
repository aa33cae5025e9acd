"""Tracks with known physics, for the tests of the indicators."""

from __future__ import annotations

import numpy as np
import pandas as pd


def table(
    positions: np.ndarray, *, drop: float = 0.0, rng: np.random.Generator | None = None
) -> pd.DataFrame:
    """Tracks from positions (n_frames, n_particles, D); a share `drop` of the rows is left out."""
    n_frames, n_particles, n_dim = positions.shape
    frame, particle = np.indices((n_frames, n_particles)).reshape(2, -1)
    columns = dict(zip("xyz", positions.reshape(-1, n_dim).T))
    tracks = pd.DataFrame({"frame": frame, "particle": particle, **columns})
    if drop:
        assert rng is not None
        tracks = tracks[rng.random(len(tracks)) >= drop].reset_index(drop=True)
    return tracks


def brownian(
    rng: np.random.Generator,
    n_frames: int,
    n_particles: int,
    *,
    d: float,
    sigma: float = 0.0,
    side: float = 200.0,
) -> np.ndarray:
    """Free diffusion, seen with localisation error; shape (n_frames, n_particles, 2)."""
    steps = rng.normal(0, np.sqrt(2 * d), (n_frames, n_particles, 2))
    steps[0] = rng.uniform(0, side, (n_particles, 2))
    return np.cumsum(steps, axis=0) + rng.normal(0, sigma, steps.shape)


def ornstein_uhlenbeck(
    rng: np.random.Generator, n_frames: int, n_particles: int, *, gamma: float, speed: float
) -> np.ndarray:
    """Inertial motion: exact joint samples of velocity and displacement over one frame (unit interval)."""
    decay = np.exp(-gamma)
    # Given v at both ends the displacement is Gaussian (Chandrasekhar 1943); here by the joint covariance.
    vv = speed**2 * (1 - decay**2)
    xv = speed**2 * (1 - decay) ** 2 / gamma
    xx = speed**2 * (2 * gamma - 3 + 4 * decay - decay**2) / gamma**2
    noise = rng.multivariate_normal([0, 0], [[vv, xv], [xv, xx]], (n_frames, n_particles, 2))
    velocity = rng.normal(0, speed, (n_particles, 2))
    position = rng.uniform(0, 200, (n_particles, 2))
    out = np.empty((n_frames, n_particles, 2))
    for k in range(n_frames):
        out[k] = position
        position = position + velocity * (1 - decay) / gamma + noise[k, ..., 1]
        velocity = velocity * decay + noise[k, ..., 0]
    return out


def triangular(n_x: int, n_y: int, spacing: float = 1.0) -> np.ndarray:
    """Triangular lattice, periodic in a box of n_x · spacing by n_y · √3/2 · spacing (n_y even)."""
    i, j = np.meshgrid(np.arange(n_x), np.arange(n_y), indexing="ij")
    return spacing * np.column_stack([(i + 0.5 * (j % 2)).ravel(), (np.sqrt(3) / 2 * j).ravel()])


def relaxed(rng: np.random.Generator, n: int, side: float, contact: float, sweeps: int = 200) -> np.ndarray:
    """Disordered dense points in a periodic box: random ones pushed apart to about `contact`."""
    points = rng.uniform(0, side, (n, 2))
    for _ in range(sweeps):
        gap = points[:, None] - points[None]
        gap -= side * np.round(gap / side)
        distance = np.hypot(gap[..., 0], gap[..., 1]) + np.eye(n) * 1e9
        push = np.where(distance < contact, 0.3 * (contact - distance) / distance, 0.0)
        points = (points + np.sum(push[..., None] * gap, axis=1)) % side
    return points
