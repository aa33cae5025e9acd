"""A small soft gas with known laws, for the tests of the learner and the rollout; px, frames, k_B = m = 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from colloidlab.dataset.recording import Recording, from_tracks, rectangle_edge_distance
from colloidlab.model import brackets
from colloidlab.model.energy import Isothermal, SumOfExponentials
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.rollout.integrators import euler_maruyama
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.state import State

SPACING, CUTOFF, TEMPERATURE, PRESSURE = 17.0, 28.0, 0.16, 3.0
_PER_SPACING2 = (CUTOFF / SPACING) ** 2
ENVELOPE = 0.2 * math.pi * _PER_SPACING2
"""Mean of sum_j (1 - x)^3 (1 + 3x) over uncorrelated neighbours: density times its integral, 2 pi h^2 / 10."""

VOLUME = 1 / (1 + 2 * math.pi * (1 / 30 + 4 / 105) * _PER_SPACING2)
"""1 / (1 + mean of sum_j W): the Wendland kernel integrates to 2 pi h^2 (1/30 + 4/105)."""


def log_noise(friction: float) -> float:
    """ln A^2 = ln B^2 that gives a drag of `friction` per frame at the mean temperature (K is 3/4 A^2 on average)."""
    return math.log(friction * TEMPERATURE / (0.75 * ENVELOPE))


def thermal_gas(*, heat_capacity: float = 20.0, friction: float = 0.3, conduction: float = 0.004) -> Laws:
    """Ideal-gas pressure, noise A^2, B^2 ~ T, conduction ~ T^2."""
    energy = SumOfExponentials(
        [math.log(heat_capacity * TEMPERATURE)], [heat_capacity], [PRESSURE / heat_capacity], [], [], VOLUME
    )
    c2 = math.log(conduction * heat_capacity * TEMPERATURE**2 / ENVELOPE)
    a2 = log_noise(friction)
    amplitudes = PowerLawAmplitudes([a2], [a2], [c2], (1.0, 1.0, 2.0), TEMPERATURE)
    return Laws(RadialKernel(0), energy, amplitudes, CUTOFF).requires_grad_(False)


def isothermal_gas(*, friction: float = 0.3, noise: float = 1.0, stiffness: float = 1.0) -> Laws:
    """The same at one temperature.

    `noise` multiplies the strength of the noise at given drag, so it multiplies the temperature; drag and pressure
    are held.
    """
    beta = 0.05
    energy = Isothermal(
        math.log(noise * TEMPERATURE), [math.log(stiffness * PRESSURE * TEMPERATURE / beta)], [beta], VOLUME
    )
    a2 = log_noise(friction) + math.log(noise)
    amplitudes = PowerLawAmplitudes([a2], [a2], [-20.0], (0.0, 0.0, 0.0), TEMPERATURE)
    return Laws(RadialKernel(0), energy, amplitudes, CUTOFF).requires_grad_(False)


@dataclass(frozen=True)
class Motion:
    """True motion in a periodic box; arrays (n_frames, n, 2) and (n_frames, n)."""

    r: np.ndarray
    v: np.ndarray
    T: np.ndarray
    box: float


def simulate(
    laws: Laws, *, n: int = 300, n_frames: int = 120, seed: int = 1, wave: float = 0.0, steps: int = 8
) -> Motion:
    """Run the gas from random positions at T0 exp(wave sin(2 pi x / L)), after ten frames of warming up."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    box = SPACING * math.sqrt(n)
    r = torch.as_tensor(rng.uniform(0, box, (n, 2)))
    v = torch.as_tensor(rng.normal(0, math.sqrt(TEMPERATURE), (n, 2)))
    T = TEMPERATURE * torch.exp(wave * torch.sin(2 * math.pi * r[:, 0] / box))
    neighbours = Neighbours(laws.cutoff, torch.ones(n, dtype=r.dtype), box=np.array([box, box]))
    V = brackets.evaluate(laws, neighbours.pairs(r), torch.zeros_like(T)).volume
    state = State(r=r, v=v, S=laws.energy.entropy(T, V))
    frames: list[tuple[Tensor, Tensor, Tensor]] = []
    for frame in range(-10, n_frames):
        for k in range(steps):
            ev = brackets.evaluate(laws, neighbours.pairs(state.r), state.S)
            if frame >= 0 and k == 0:
                frames.append((state.r, state.v, ev.thermo.T))
            numbers = torch.randn((len(ev.pairs.r), 3), generator=generator, dtype=r.dtype)
            noise = brackets.Noise(impulse=numbers[:, :2], heat=numbers[:, 2])
            state = euler_maruyama.step(state, laws, ev, 1.0 / steps, noise)
    return Motion(*(torch.stack(x).numpy() for x in zip(*frames, strict=True)), box)


def watch(motion: Motion, sigma: float | np.ndarray, *, seed: int = 2) -> pd.DataFrame:
    """Tracks seen through a camera whose view is the box: a particle that crosses the border gets a new identity.

    Column `T` is the true temperature; `sigma` is the localisation error of all or of each particle.
    """
    n_frames, n, _ = motion.r.shape
    rng = np.random.default_rng(seed)
    error = np.broadcast_to(sigma, (n,))
    image = np.floor(motion.r / motion.box).astype(int)
    crossed = np.any(np.diff(image, axis=0) != 0, axis=2)
    visit = np.concatenate([np.zeros((1, n), dtype=int), np.cumsum(crossed, axis=0)])
    seen = motion.r - image * motion.box + error[:, None] * rng.normal(size=motion.r.shape)
    frame, body = np.indices((n_frames, n)).reshape(2, -1)
    return pd.DataFrame(
        {
            "frame": frame,
            "particle": (body + n * visit.ravel()),
            "body": body,
            "x": seen[..., 0].ravel(),
            "y": seen[..., 1].ravel(),
            "sigma_x_px": error[body],
            "sigma_y_px": error[body],
            "T": motion.T.ravel(),
        }
    )


def record(tracks: pd.DataFrame, box: float, *, sigma_px: float | None = None) -> Recording:
    return from_tracks(tracks, rectangle_edge_distance(0, 0, box, box), sigma_px=sigma_px)
