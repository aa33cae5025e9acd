"""Small recordings as tables of positions, for driving whole commands without a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from simulated_tracks import brownian, table

from colloidlab.synthetic.monolayer import Monolayer, MonolayerSimulation

QUICK_FIT = [
    "--isothermal-steps",
    "2",
    "--filter-steps",
    "8",
    "--window-frames",
    "8",
    "--burn-in-frames",
    "5",
]
"""Enough to go through every part of the fit, not to learn anything."""

SIGMA_PX = 0.04
_MARGIN_PX = 6.0


def overdamped(path: Path, *, d: float = 0.5, n_frames: int = 60, n_particles: int = 40) -> Path:
    """Linked tracks of freely diffusing particles, D in px^2/frame, as CSV."""
    positions = brownian(np.random.default_rng(5), n_frames, n_particles, d=d, sigma=0.1)
    table(positions + 20.0).to_csv(path, index=False)
    return path


def inertial(path: Path, n_frames: int = 72) -> Path:
    """Linked tracks of the sheared monolayer in an open view of its periodic strip, with noise, as CSV."""
    setup = Monolayer(width=210.0, bottom=190.0, amplitude=15.0, seed=3, steps_per_frame=4)
    simulation = MonolayerSimulation(setup)
    identity = np.arange(simulation.n)
    rows = [
        pd.DataFrame({"frame": s.frame, "particle": identity, "x": s.r[:, 0], "y": s.r[:, 1]})
        for s in simulation.run(5, n_frames)
    ]
    tracks = pd.concat(rows, ignore_index=True)
    inside = tracks["x"].between(_MARGIN_PX, setup.width - _MARGIN_PX) & tracks["y"].between(0, 180)
    tracks = tracks[inside].sort_values(["particle", "frame"])
    # Who leaves on the left and comes back on the right is somebody else to the camera.
    wrapped = tracks.groupby("particle")["x"].diff().abs() > setup.width / 2
    passage = wrapped.groupby(tracks["particle"]).cumsum()
    tracks["particle"] = tracks.groupby([tracks["particle"], passage]).ngroup()
    tracks[["x", "y"]] += np.random.default_rng(3).normal(0, SIGMA_PX, (len(tracks), 2))
    tracks[["sigma_x_px", "sigma_y_px"]] = SIGMA_PX
    tracks.to_csv(path, index=False)
    return path
