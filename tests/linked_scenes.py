"""Particles whose identity is known, for the tests of linking."""

from __future__ import annotations

import numpy as np
import pandas as pd


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
