"""A small film of diffusing spots with exact truth, lossless, for driving the whole of `track`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from rendered_scenes import expose, gaussian_image

SIDE = 200
DIAMETER_PX = 9
D_PX2 = 0.03
"""Diffusion coefficient, px^2/frame; so small that in a hundred frames hardly any two particles meet."""
N_PARTICLES = 49


def truth(n_frames: int, *, seed: int = 1) -> pd.DataFrame:
    """Freely diffusing particles that begin on a loose lattice: frame, particle, x, y."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:7, :7]
    start = (
        np.column_stack([column.ravel(), row.ravel()]) * 25.0 + 25.0 + rng.uniform(-3, 3, (N_PARTICLES, 2))
    )
    steps = rng.normal(0, np.sqrt(2 * D_PX2), (n_frames, N_PARTICLES, 2))
    positions = start + np.cumsum(steps, axis=0)
    frame, particle = np.repeat(np.arange(n_frames), N_PARTICLES), np.tile(np.arange(N_PARTICLES), n_frames)
    x, y = positions.reshape(-1, 2).T
    return pd.DataFrame({"frame": frame, "particle": particle, "x": x, "y": y})


def write_film(path: Path, n_frames: int, *, blank: tuple[int, ...] = ()) -> pd.DataFrame:
    """Write a TIFF stack and return its truth; the frames in `blank` carry nothing."""
    table = truth(n_frames)
    rng = np.random.default_rng(2)
    stack = np.full((n_frames, SIDE, SIDE), 30, np.uint8)
    for frame, here in table.groupby("frame"):
        if frame not in blank:
            ones = np.ones(len(here))
            clean = gaussian_image((SIDE, SIDE), here[["x", "y"]].to_numpy(), 2 * ones, 120 * ones, 30)
            stack[frame] = expose(clean, rng, read=1.5, gain=0.02)
    tifffile.imwrite(path, stack)
    return table
