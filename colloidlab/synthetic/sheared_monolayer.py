"""The sample `sheared_monolayer`: the simulated monolayer as a microscope films it."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd

from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.monolayer import Monolayer, MonolayerSimulation, Snapshot
from colloidlab.synthetic.optics import Optics, render, rod_shadow
from colloidlab.synthetic.sample import Sample

N_FRAMES = 300
WARM_UP = 200
SIZE = 512
FPS = 100.0
UM_PER_PX = 0.2
"""Nominal, for the container and the tutorial; the physics is in px and frames."""

_LEFT = 64.0
"""Where the view begins in the periodic box, so that its sides are far from the seam."""

_OPTICS = Optics(photons=1000.0, background=40.0, gain=0.2, vignetting=0.25)
_MARGIN = 14.0
"""Particles whose centre is this far outside still shine into the view, px."""


def make_sample(
    monitor: Monitor = SILENT,
    setup: Monolayer | None = None,
    n_frames: int = N_FRAMES,
    warm_up: int = WARM_UP,
) -> Sample:
    """Film the monolayer.

    The truth has one row a frame and particle in view: frame, particle, x, y, vx_px, vy_px, entropy,
    temperature_px2, radius_px, prescribed (moved by needle or wall). A particle that leaves the view and comes
    back gets a new identity.

    Parameters
    ----------
    setup : Monolayer, optional
        Geometry, law and drive.
    n_frames, warm_up : int
        Frames filmed, and sheared before the film starts.
    """
    setup = setup or Monolayer()
    simulation = MonolayerSimulation(setup, monitor)
    rng = np.random.default_rng([setup.seed, 1])
    brightness = 1 + 0.06 * rng.standard_normal(simulation.n)
    needle = rod_shadow((-40.0, -8.0), (SIZE + 40.0, -8.0), 28.0, (SIZE, SIZE), edge_px=1.5)
    frames = np.empty((n_frames, SIZE, SIZE), dtype=np.uint8)
    tables = []
    for snapshot in simulation.run(warm_up, n_frames, monitor):
        x, y, shown = _in_view(snapshot, setup)
        frames[snapshot.frame] = render(
            np.column_stack([x, y])[shown],
            simulation.radii[shown],
            (SIZE, SIZE),
            _OPTICS,
            rng,
            amplitudes=brightness[shown],
            shadow=needle,
        )
        tables.append(_truth(snapshot, x, y, simulation))
    parameters = {
        "um_per_px": UM_PER_PX,
        "setup": asdict(setup),
        "optics": asdict(_OPTICS),
        "cutoff_px": simulation.cutoff,
        "mean_radius_px": float(simulation.radii.mean()),
        "laws": {name: value.tolist() for name, value in simulation.laws.state_dict().items()},
    }
    truth = _split_at_the_seam(pd.concat(tables, ignore_index=True))
    # Single precision (3e-5 px) halves the file; the simulation itself ran in double precision.
    truth = truth.astype({c: "float32" for c in truth.select_dtypes("float64").columns})
    return Sample(name="sheared_monolayer", frames=frames, fps=FPS, truth=truth, parameters=parameters)


def _in_view(snapshot: Snapshot, setup: Monolayer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions in the view; the image of each particle nearest to the middle of the view is taken."""
    middle = SIZE / 2
    x = np.mod(snapshot.r[:, 0] - _LEFT - middle + setup.width / 2, setup.width) + middle - setup.width / 2
    y = snapshot.r[:, 1]
    shown = (np.abs(x - middle) < middle + _MARGIN) & (np.abs(y - middle) < middle + _MARGIN)
    return x, y, shown


def _truth(snapshot: Snapshot, x: np.ndarray, y: np.ndarray, simulation: MonolayerSimulation) -> pd.DataFrame:
    inside = (x > -0.5) & (x < SIZE - 0.5) & (y > -0.5) & (y < SIZE - 0.5)
    return pd.DataFrame(
        {
            "frame": snapshot.frame,
            "particle": np.flatnonzero(inside),
            "x": x[inside],
            "y": y[inside],
            "vx_px": snapshot.v[inside, 0],
            "vy_px": snapshot.v[inside, 1],
            "entropy": snapshot.S[inside],
            "temperature_px2": snapshot.T[inside],
            "radius_px": simulation.radii[inside],
            "prescribed": simulation.prescribed[inside],
        }
    )


def _split_at_the_seam(truth: pd.DataFrame) -> pd.DataFrame:
    """Give every uninterrupted stay in the view its own identity."""
    ordered = truth.sort_values(["particle", "frame"], kind="stable")
    begins = (ordered["particle"].diff() != 0) | (ordered["frame"].diff() != 1)
    ordered["particle"] = begins.cumsum() - 1
    return ordered.sort_values(["frame", "particle"], kind="stable").reset_index(drop=True)
