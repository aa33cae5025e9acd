"""The sample `brownian`: dilute spheres that diffuse freely, with a diffusion coefficient known exactly.

Nominally 1 um polystyrene spheres in water at 22 degrees C, filmed at 50 frames a second with 0.1 um
to the pixel: Stokes and Einstein give D = k_B T/(6 pi eta a) = 0.45 um^2/s, which is 0.9 px^2/frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import UsageError
from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.optics import Optics, localisation_limit_px, render
from colloidlab.synthetic.sample import Sample

FPS = 50.0
UM_PER_PX = 0.1
"""Nominal, for the container and the tutorial; the simulation is in px and frames."""

_OPTICS = Optics(core_width=0.32, shell=0.15, psf_px=1.0, photons=600.0, background=30.0, vignetting=0.25)


@dataclass(frozen=True)
class Brownian:
    """Free spheres in a periodic box of which the camera sees the middle.

    Parameters
    ----------
    diffusion_px2 : float
        Diffusion coefficient D, px^2/frame: the mean squared displacement is 4 D t.
    n_particles : int
        Spheres in the box.
    box_px : float
        Side of the periodic box; larger than the view, so that spheres enter and leave it.
    size_px : int
        Side of the view.
    radius_px, radius_spread : float
        Mean radius, and its standard deviation as a fraction of it.
    brightness_spread : float
        Standard deviation of the spheres' brightness, relative to its mean.
    n_frames, seed : int
    """

    diffusion_px2: float = 0.9
    n_particles: int = 120
    box_px: float = 448.0
    size_px: int = 384
    radius_px: float = 5.0
    radius_spread: float = 0.03
    brightness_spread: float = 0.08
    n_frames: int = 300
    seed: int = 20

    def __post_init__(self) -> None:
        positive = ("n_particles", "size_px", "radius_px", "n_frames")
        wrong = [name for name in positive if not getattr(self, name) > 0]
        wrong += [
            n for n in ("diffusion_px2", "radius_spread", "brightness_spread") if not getattr(self, n) >= 0
        ]
        if wrong:
            raise UsageError(f"Brownian.{wrong[0]} = {getattr(self, wrong[0])!r} is out of bounds")
        if self.box_px < self.size_px + 4 * self.radius_px:
            raise UsageError(
                f"Brownian.box_px = {self.box_px:g} lets a sphere jump from side to side in sight; "
                f"it must be at least {self.size_px + 4 * self.radius_px:g}"
            )


def trajectories(setup: Brownian, rng: np.random.Generator) -> NDArray[np.float64]:
    """Free Brownian motion, exact at any interval: independent steps of variance 2 D an axis.

    Without inertia and interaction the overdamped Langevin equation dx = sqrt(2 D) dW has
    Gaussian increments, so that no time step enters. Spheres pass over one another, as in
    a cell deeper than they are wide. A uniform start is the equilibrium.

    Returns
    -------
    float array, shape (n_frames, n_particles, 2), px
        Not wrapped into the box; the view is 0 to `size_px`, in the middle of the box.
    """
    start = rng.uniform(0.0, setup.box_px, (1, setup.n_particles, 2)) - (setup.box_px - setup.size_px) / 2
    steps = rng.standard_normal((setup.n_frames - 1, setup.n_particles, 2)) * np.sqrt(2 * setup.diffusion_px2)
    return np.concatenate([start, start + np.cumsum(steps, axis=0)])


def truth_table(
    unwrapped: NDArray[np.floating], radii: NDArray[np.floating], setup: Brownian
) -> pd.DataFrame:
    """What a perfect tracker would find: every sphere whose centre is in view.

    A sphere that leaves through one side of the periodic box and returns through the other
    is a different one for every observer, so it gets a new identity.

    Returns
    -------
    DataFrame with frame, particle, x, y, radius_px; sorted by frame and particle
    """
    wrapped, cell = _wrap(unwrapped, setup)
    n_frames, n = unwrapped.shape[:2]
    table = pd.DataFrame(
        {
            "frame": np.repeat(np.arange(n_frames), n),
            "x": wrapped[..., 0].ravel(),
            "y": wrapped[..., 1].ravel(),
            "radius_px": np.tile(radii, n_frames),
            "sphere": np.tile(np.arange(n), n_frames),
            "cell_x": cell[..., 0].ravel(),
            "cell_y": cell[..., 1].ravel(),
        }
    )
    low, high = -0.5, setup.size_px - 0.5
    seen = table[table["x"].between(low, high, "left") & table["y"].between(low, high, "left")]
    identity = seen.groupby(["sphere", "cell_x", "cell_y"], sort=False).ngroup()
    seen = seen.assign(particle=identity)[["frame", "particle", "x", "y", "radius_px"]]
    return seen.sort_values(["frame", "particle"]).reset_index(drop=True)


def make_sample(monitor: Monitor = SILENT, *, setup: Brownian | None = None) -> Sample:
    """Simulate and film; the frames are rendered one by one as they are asked for."""
    setup = setup or Brownian()
    motion, optics_noise = (np.random.default_rng([setup.seed, k]) for k in (0, 1))
    unwrapped = trajectories(setup, motion)
    radii = setup.radius_px * (1 + setup.radius_spread * motion.standard_normal(setup.n_particles))
    brightness = 1 + setup.brightness_spread * motion.standard_normal(setup.n_particles)
    wrapped, _ = _wrap(unwrapped, setup)

    def film() -> Iterator[NDArray[np.uint8]]:
        for positions in wrapped:
            yield render(
                positions,
                radii,
                (setup.size_px, setup.size_px),
                _OPTICS,
                optics_noise,
                amplitudes=np.maximum(brightness, 0.0),
            )

    parameters = {
        **asdict(setup),
        "fps": FPS,
        "um_per_px": UM_PER_PX,
        "diffusion_um2_per_s": round(setup.diffusion_px2 * UM_PER_PX**2 * FPS, 12),
        "sigma_limit_px": localisation_limit_px(setup.radius_px, _OPTICS),
        "exposure": "instantaneous",
        "optics": asdict(_OPTICS),
    }
    return Sample(
        name="brownian",
        frames=monitor.track(film(), "filming", setup.n_frames),
        fps=FPS,
        truth=truth_table(unwrapped, radii, setup),
        parameters=parameters,
        crf=15,
    )


def _wrap(unwrapped: NDArray[np.floating], setup: Brownian) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Positions in the box around the view, and which copy of the box each sphere has wandered to."""
    corner = -(setup.box_px - setup.size_px) / 2
    cell = np.floor((unwrapped - corner) / setup.box_px).astype(np.int64)
    return unwrapped - cell * setup.box_px, cell
