"""Particles whose identity is known, for the tests of linking."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree


def detections(
    positions: np.ndarray, rng: np.random.Generator, *, missed: float = 0.0, view: float = np.inf
) -> pd.DataFrame:
    """frame, x, y(, z) and truth from positions (n_frames, n_particles, D), less what was missed or out of view."""
    n_frames, n_particles, n_axes = positions.shape
    frame, truth = np.indices((n_frames, n_particles)).reshape(2, -1)
    points = positions.reshape(-1, n_axes)
    seen = (rng.random(len(points)) >= missed) & ((points >= 0) & (points <= view)).all(axis=1)
    table = pd.DataFrame({"frame": frame, **dict(zip("xyz", points.T)), "truth": truth})
    return (
        table[seen]
        .sample(frac=1.0, random_state=int(rng.integers(2**31)))
        .sort_values("frame", kind="stable", ignore_index=True)
    )


def scene(rng: np.random.Generator, *, axes: str = "xy", missed: float = 0.0) -> pd.DataFrame:
    """80 free Brownian particles, 12 frames, step 0.8 px per axis in 60 px."""
    steps = rng.normal(0, 0.8, (12, 80, len(axes)))
    steps[0] = rng.uniform(5, 55, (80, len(axes)))
    return detections(np.cumsum(steps, axis=0), rng, missed=missed)


def dense(rng: np.random.Generator, *, missed: float = 0.0, n: int = 12) -> pd.DataFrame:
    """A jittered lattice, spacing 9 px, whose particles diffuse about their places by 1.7 px a frame and axis."""
    grid = 9.0 * np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2) + 20.0
    places = np.empty((10, n * n, 2))
    places[0] = grid + rng.normal(0, 1.5, grid.shape)
    for k in range(1, 10):
        places[k] = grid + 0.9 * (places[k - 1] - grid) + rng.normal(0, 1.7, grid.shape)
    return detections(places, rng, missed=missed)


def positions_of(table: pd.DataFrame) -> np.ndarray:
    return table[[a for a in "xyz" if a in table]].to_numpy()


def following(table: pd.DataFrame, identity: str = "particle") -> np.ndarray:
    """For every row the row in which the same particle is seen next; -1 where it is not."""
    order = np.lexsort((table["frame"].to_numpy(), table[identity].to_numpy()))
    identities = table[identity].to_numpy()[order]
    same = identities[1:] == identities[:-1]
    after = np.full(len(table), -1)
    after[order[:-1][same]] = order[1:][same]
    return after


def wrong_links(linked: pd.DataFrame) -> float:
    """Share of the links that join two particles."""
    after = following(linked)
    rows = np.flatnonzero(after >= 0)
    truth = linked["truth"].to_numpy()
    return float(np.mean(truth[rows] != truth[after[rows]]))


def lost_links(linked: pd.DataFrame, memory: int) -> float:
    """Share of the successive sightings of a particle, no further apart than the memory, that were not joined."""
    after, true = following(linked), following(linked, "truth")
    frame = linked["frame"].to_numpy()
    rows = np.flatnonzero(true >= 0)
    rows = rows[frame[true[rows]] - frame[rows] <= memory + 1]
    return float(np.mean(after[rows] != true[rows]))


Flow = Callable[[np.ndarray, int], np.ndarray]
"""Displacement of points, shape (n, 2), in the step before a frame."""

VIEW_PX = 360.0


def flowing(
    rng: np.random.Generator, flow: Flow, *, n_frames: int = 12, step: float = 1.2, missed: float = 0.03
) -> pd.DataFrame:
    """About 900 Brownian particles, 12 px apart, in a square view through which they are carried.

    Particles enter and leave; some are missed in each frame, and 1 % of the features are false (truth -1, -2, ...).
    """
    pad = 0.35 * VIEW_PX
    n = round((VIEW_PX + 2 * pad) ** 2 / 144.0)
    points = rng.uniform(-pad, VIEW_PX + pad, (n, 2))
    for _ in range(60):
        pairs = cKDTree(points).query_pairs(8.0, output_type="ndarray")
        gap = points[pairs[:, 0]] - points[pairs[:, 1]]
        distance = np.hypot(gap[:, 0], gap[:, 1])
        push = (0.25 * (8.0 - distance) / distance)[:, None] * gap
        np.add.at(points, pairs[:, 0], push)
        np.add.at(points, pairs[:, 1], -push)
    places = [points]
    for frame in range(1, n_frames):
        points = points + flow(points, frame) + rng.normal(0, step, points.shape)
        places.append(points)
    seen = detections(np.array(places), rng, missed=missed, view=VIEW_PX)
    m = round(0.01 * len(seen))
    false = pd.DataFrame(rng.uniform(0, VIEW_PX, (m, 2)), columns=["x", "y"])
    false = false.assign(frame=rng.integers(0, n_frames, m), truth=-1 - np.arange(m))
    return pd.concat([seen, false]).sort_values("frame", kind="stable", ignore_index=True)


def at_rest(points: np.ndarray, frame: int) -> np.ndarray:
    return np.zeros_like(points)


def drifting(points: np.ndarray, frame: int) -> np.ndarray:
    """Farther than the particles are apart."""
    return np.full(points.shape, (15.0, -4.0))


def shearing(points: np.ndarray, frame: int) -> np.ndarray:
    """Up to 6 px a frame at the edges."""
    return np.column_stack([12.0 * (points[:, 1] / VIEW_PX - 0.5), np.zeros(len(points))])


def oscillating(points: np.ndarray, frame: int) -> np.ndarray:
    return 2.0 * np.cos(2 * np.pi * frame / 10) * shearing(points, frame)


def swirling(points: np.ndarray, frame: int) -> np.ndarray:
    """A vortex of the size of the view, up to 7 px a frame."""
    a, b = np.pi * points.T / VIEW_PX
    return 7.0 * np.column_stack([np.sin(a) * np.cos(b), -np.cos(a) * np.sin(b)])
