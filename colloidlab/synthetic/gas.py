"""A soft gas of known law in a periodic box, seen by a camera that makes errors: ground truth for the learner.

Units are px and frames, k_B = m = 1. The motion is sampled once a frame and made with several steps between, so that
differences of positions are not the velocities of any scheme.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from colloidlab.dataset.recording import Recording, from_tracks
from colloidlab.model import brackets
from colloidlab.model.analytic import ideal_gas
from colloidlab.model.energy import SumOfExponentials
from colloidlab.model.envelope import envelope
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.rollout.integrators import conserving
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise, Moment
from colloidlab.rollout.state import State

_WARM_UP = 10
"""Frames before the first that is kept: pressure and velocities settle."""


@dataclass(frozen=True)
class Gas:
    """Scales of the gas.

    Attributes
    ----------
    n : int
        Particles.
    n_dims : int
        2 or 3.
    spacing, cutoff : float, px
        n spacing^D is the volume of the box.
    temperature : float, px^2/frame^2
        Its root is the thermal displacement per frame.
    heat_capacity : float
        k_B per particle.
    pressure : float
        Compressibility P V/T.
    friction : float, 1/frame
        Drag of a particle among still neighbours.
    conduction : float, 1/frame
        Rate at which a hot particle's temperature goes to that of its neighbours.
    noise_power : float
        Exponent of temperature in A^2 and B^2.
    wave : float
        Amplitude of ln T at the start, one period along x.
    cold : bool
        The pressure depends on the volume alone, not on temperature.
    """

    n: int = 300
    n_dims: int = 2
    spacing: float = 17.0
    cutoff: float = 28.0
    temperature: float = 0.16
    heat_capacity: float = 40.0
    pressure: float = 3.0
    friction: float = 0.3
    conduction: float = 0.002
    noise_power: float = 1.0
    wave: float = 0.6
    cold: bool = False

    @property
    def box(self) -> float:
        """Side of the box, px."""
        return float(self.spacing * self.n ** (1 / self.n_dims))

    def neighbourhood_mean(self, f: str) -> float:
        """Mean over uncorrelated neighbours of the sum of the envelope ("envelope") or of the kernel ("kernel")."""
        x = (np.arange(4000) + 0.5) / 4000
        shape = {"envelope": envelope(x), "kernel": (1 - x) ** 4 * (1 + 4 * x)}[f]
        sphere = 2 * np.pi if self.n_dims == 2 else 4 * np.pi
        integral = float((shape * x ** (self.n_dims - 1)).mean())
        return sphere * integral * (self.cutoff / self.spacing) ** self.n_dims

    @property
    def volume(self) -> float:
        """Mean V, in units of 1/W(0)."""
        return 1 / (1 + self.neighbourhood_mean("kernel"))


def gas_laws(gas: Gas) -> Laws:
    """The true laws: ideal gas, A^2 = B^2 ~ T^power, C^2 ~ T^2."""
    envelope, T = gas.neighbourhood_mean("envelope"), gas.temperature
    # K_perp = A^2/2 and K_par = A^2 where A = B: (1 + 1/D) A^2/2 a pair on average.
    a2 = float(np.log(gas.friction * T / (0.5 * (1 + 1 / gas.n_dims) * envelope)))
    c2 = float(np.log(gas.conduction * gas.heat_capacity * T**2 / envelope))
    if gas.cold:
        energy = _cold_gas(gas)
    else:
        energy = ideal_gas(gas.heat_capacity, gas.pressure, T, gas.volume)
    powers = (gas.noise_power, gas.noise_power, 2.0)
    amplitudes = PowerLawAmplitudes([a2], [a2], [c2], powers, T)
    return Laws(RadialKernel(0), energy, amplitudes, gas.cutoff).requires_grad_(False)


@dataclass(frozen=True)
class Motion:
    """True motion; arrays (n_frames, n, D) and (n_frames, n). Positions go on beyond the box."""

    r: np.ndarray
    v: np.ndarray
    T: np.ndarray
    S: np.ndarray
    box: float


def simulate_gas(gas: Gas, n_frames: int, *, seed: int, steps: int = 8) -> Motion:
    """Start from random positions and thermal velocities, and keep `n_frames` frames after a warm-up.

    Parameters
    ----------
    gas : Gas
    n_frames : int
    seed : int
    steps : int
        Steps of the integrator per frame.
    """
    laws, dim = gas_laws(gas), gas.n_dims
    rng = np.random.default_rng(seed)
    noise = CounterNoise(torch.arange(gas.n), torch.full((gas.n,), seed))
    side = np.full(dim, gas.box)
    r = torch.as_tensor(rng.uniform(0, gas.box, (gas.n, dim)))
    v = rng.normal(0, np.sqrt(gas.temperature), (gas.n, dim))
    neighbours = Neighbours(laws.cutoff, torch.ones(gas.n, dtype=r.dtype), box=side)
    T = gas.temperature * torch.exp(gas.wave * torch.sin(2 * np.pi * r[:, 0] / gas.box))
    V = brackets.evaluate(laws, neighbours.pairs(r), torch.zeros_like(T)).volume
    state = State(r=r, v=torch.as_tensor(v - v.mean(axis=0)), S=laws.energy.entropy(T, V))
    there = brackets.mechanics(laws, neighbours.pairs(state.r), state.S)

    def around(r: Tensor, S: Tensor) -> brackets.Mechanics:
        return brackets.mechanics(laws, neighbours.pairs(r), S)

    frames: list[tuple[Tensor, ...]] = []
    for step in range((_WARM_UP + n_frames - 1) * steps + 1):
        if step >= _WARM_UP * steps and step % steps == 0:
            frames.append((state.r, state.v, there.thermo.T, state.S))

        def draw(pairs: Pairs, part: int, attempt: Tensor, step: int = step) -> brackets.Noise:
            return noise.pair_numbers(pairs, Moment(step, part, attempt), dim, r.dtype)

        done = conserving.step(state, laws, there, around, 1.0 / steps, draw)
        state, there = done.state, done.mechanics
    r_all, v_all, T_all, S_all = (torch.stack(part).numpy() for part in zip(*frames, strict=True))
    return Motion(r_all, v_all, T_all, S_all, gas.box)


def observe(
    motion: Motion, sigma: float | np.ndarray, *, seed: int, every: int = 1, known: bool = True
) -> Recording:
    """The recording of a camera that sees every particle with a Gaussian error.

    Parameters
    ----------
    sigma : float, or array of shape (n,), px
        Standard deviation of the error along each axis, of all or of each particle.
    every : int
        Keep only every so many frames.
    known : bool
        Tell the recording the errors.
    """
    r = motion.r[::every]
    n_frames, n, dim = r.shape
    error = np.broadcast_to(sigma, (n,)).astype(float)
    seen = r + error[:, None] * np.random.default_rng(seed).normal(size=r.shape)
    frame, particle = np.indices((n_frames, n)).reshape(2, -1)
    axes = "xyz"[:dim]
    table = pd.DataFrame({"frame": frame, "particle": particle})
    for k, axis in enumerate(axes):
        table[axis] = seen[..., k].ravel()
        if known:
            table[f"sigma_{axis}_px"] = error[particle]
    return from_tracks(table, None, box=np.full(dim, motion.box))


def _cold_gas(gas: Gas) -> SumOfExponentials:
    """The same pressure from a term that needs no temperature."""
    beta = 0.05
    cold = float(np.log(gas.pressure * gas.temperature / beta))
    log_u = float(np.log(gas.heat_capacity * gas.temperature))
    return SumOfExponentials([log_u], [gas.heat_capacity], [1e-9], [cold], [beta], gas.volume)
