"""A jammed bidisperse monolayer sheared by a moving needle: the program's own generator with an analytic law.

Friction heats the particles that rearrange, conduction cools them, and noise grows with
temperature, so the true entropy and temperature of every particle are known.
Units: px, frames, k_B = 1, m = 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.energy import SumOfExponentials
from colloidlab.model.envelope import envelope
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.integrators import euler_maruyama
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.state import State


@dataclass(frozen=True)
class Monolayer:
    """Geometry, law and drive; lengths in px, times in frames, k_B = m = 1.

    Attributes
    ----------
    width : float
        Periodic length along the needle.
    top, bottom : float
        Rigid walls; the particles within `stuck` of them move with the needle (top) or not at all.
    small_radius, size_ratio, area_fraction : float
        Half of the particles are larger by the ratio.
    reach : float
        Range of all interactions, in sums of two radii.
    temperature, heat_capacity, thermal_pressure : float
        First T; c; V dP/dT, the ideal-gas part of the pressure.
    elastic_energy, elastic_exponent : float
        Cold energy e (d/d0)^n of a particle at density d.
    friction_rate, conduction_rate : float
        Drag per unit mass among still neighbours; rate at which a single hot particle would cool.
    noise_power, conduction_power : float
        Exponents of temperature in A^2 and B^2, and in C^2.
    amplitude, period : float
        Of the needle's oscillation.
    steps_per_frame : int
    seed : int
    """

    width: float = 640.0
    top: float = -26.0
    bottom: float = 560.0
    stuck: float = 46.0
    small_radius: float = 7.17
    size_ratio: float = 1.4
    area_fraction: float = 0.88
    reach: float = 1.35
    temperature: float = 0.16
    heat_capacity: float = 20.0
    thermal_pressure: float = 3.0
    elastic_energy: float = 1.0
    elastic_exponent: float = 4.0
    friction_rate: float = 0.15
    conduction_rate: float = 0.004
    noise_power: float = 1.0
    conduction_power: float = 2.0
    amplitude: float = 40.0
    period: float = 100.0
    steps_per_frame: int = 8
    seed: int = 1


@dataclass(frozen=True)
class Snapshot:
    """True state at one frame; arrays of shape (n,) or (n, 2)."""

    frame: int
    r: np.ndarray
    v: np.ndarray
    S: np.ndarray
    T: np.ndarray
    needle_x: float


class MonolayerSimulation:
    """Packs, equilibrates and shears; iterate over `run` for the frames.

    Attributes
    ----------
    radii : float array, shape (n,)
    laws : Laws
    prescribed : bool array, shape (n,)
        Stuck to the needle or to the wall.
    """

    def __init__(self, setup: Monolayer, monitor: Monitor = SILENT) -> None:
        self.setup = setup
        self._rng = np.random.default_rng(setup.seed)
        self._generator = torch.Generator().manual_seed(setup.seed)
        large = setup.small_radius * setup.size_ratio
        area = setup.width * (setup.bottom - setup.top)
        n = round(setup.area_fraction * area / (math.pi * (setup.small_radius**2 + large**2) / 2))
        self.radii = np.where(np.arange(n) % 2 == 0, setup.small_radius, large)
        mean = float(self.radii.mean())
        scale = torch.as_tensor(self.radii / mean)
        self.cutoff = setup.reach * 2 * mean
        self._neighbours = Neighbours(self.cutoff, scale, box=np.array([setup.width, 0.0]))
        r = self._pack(n, monitor)
        self.laws = self._calibrate(r)
        y = r[:, 1].numpy()
        at_needle, at_wall = y < setup.top + setup.stuck, y > setup.bottom - 0.65 * setup.stuck
        self.prescribed = at_needle | at_wall
        self._needle = torch.as_tensor(at_needle)
        self._fixed = torch.as_tensor(self.prescribed)
        self._home = r.clone()
        self._state = self._equilibrate(r, monitor)

    def run(self, warm_up: int, n_frames: int, monitor: Monitor = SILENT) -> Iterator[Snapshot]:
        """Shear for `warm_up` frames, then yield `n_frames` states, one a frame."""
        for frame in range(-warm_up, n_frames):
            monitor.update("simulate the monolayer", frame + warm_up, warm_up + n_frames)
            if frame >= 0:
                yield self._snapshot(frame, frame + warm_up)
            self._advance(float(frame + warm_up))
        monitor.update("simulate the monolayer", warm_up + n_frames, warm_up + n_frames)

    @property
    def n(self) -> int:
        return len(self.radii)

    def needle_position(self, time: float) -> float:
        return self.setup.amplitude * math.sin(2 * math.pi * time / self.setup.period)

    # ---- preparation ------------------------------------------------------------------------

    def _laws(self, reference_density: float, log_a2: float, log_c2: float) -> Laws:
        s = self.setup
        energy = SumOfExponentials(
            [math.log(s.heat_capacity * s.temperature)],
            [s.heat_capacity],
            [s.thermal_pressure / s.heat_capacity],
            [math.log(s.elastic_energy)],
            [s.elastic_exponent],
            reference_volume=1 / reference_density,
        )
        powers = (s.noise_power, s.noise_power, s.conduction_power)
        amplitudes = PowerLawAmplitudes([log_a2], [log_a2], [log_c2], powers, s.temperature)
        return Laws(RadialKernel(0), energy, amplitudes, self.cutoff).requires_grad_(False)

    def _pack(self, n: int, monitor: Monitor, steps: int = 1500) -> Tensor:
        """Random positions, pushed apart by steepest descent in the elastic energy."""
        s = self.setup
        laws = self._laws(2.0, 0.0, 0.0)
        r = torch.as_tensor(
            np.column_stack([self._rng.uniform(0, s.width, n), self._rng.uniform(s.top, s.bottom, n)])
        )
        S = torch.zeros(n, dtype=r.dtype)
        for k in range(steps):
            if k % 100 == 0:
                monitor.update("pack the monolayer", k, steps)
            push = brackets.evaluate(laws, self._neighbours.pairs(r), S).force
            r = r + (1.5 * push).clamp(-1.0, 1.0)
            r = torch.stack([torch.remainder(r[:, 0], s.width), r[:, 1].clamp(s.top, s.bottom)], dim=1)
        self._neighbours.invalidate()
        return r

    def _calibrate(self, r: Tensor) -> Laws:
        """Amplitudes that give the requested friction and conduction rates in this packing."""
        s = self.setup
        unit = self._laws(1.0, 0.0, 0.0)
        pairs = self._neighbours.pairs(r)
        ev = brackets.evaluate(unit, pairs, torch.zeros(self.n, dtype=r.dtype))
        density = float((1 / ev.volume).mean())
        near = float(pairs.sum_symmetric(envelope(pairs.x)).mean())
        a2 = s.friction_rate * s.temperature / (0.75 * near)
        c2 = s.conduction_rate * s.heat_capacity * s.temperature**2 / near
        return self._laws(density, math.log(a2), math.log(c2))

    def _equilibrate(self, r: Tensor, monitor: Monitor, frames: int = 60, every: int = 5) -> State:
        """Thermal motion at the first temperature; the elastic energy that is released is taken out."""
        s = self.setup
        v = torch.as_tensor(self._rng.normal(scale=math.sqrt(s.temperature), size=(self.n, 2)))
        self._state = State(r=r, v=v, S=self._isothermal_entropy(r))
        for frame in range(frames):
            monitor.update("equilibrate the monolayer", frame, frames)
            self._advance(0.0, moving=False)
            if frame % every == 0:
                self._state = State(self._state.r, self._state.v, self._isothermal_entropy(self._state.r))
        return State(self._state.r, self._state.v, self._isothermal_entropy(self._state.r))

    def _isothermal_entropy(self, r: Tensor) -> Tensor:
        zero = torch.zeros(self.n, dtype=r.dtype)
        ev = brackets.evaluate(self.laws, self._neighbours.pairs(r), zero)
        return self.laws.energy.entropy(torch.full_like(zero, self.setup.temperature), ev.volume)

    # ---- motion -----------------------------------------------------------------------------

    def _advance(self, time: float, *, moving: bool = True) -> None:
        """One frame."""
        s = self.setup
        dt = 1.0 / s.steps_per_frame
        for k in range(s.steps_per_frame):
            ev = brackets.evaluate(self.laws, self._neighbours.pairs(self._state.r), self._state.S)
            numbers = torch.randn((len(ev.pairs.r), 3), generator=self._generator, dtype=ev.pairs.r.dtype)
            noise = brackets.Noise(impulse=numbers[:, :2], heat=numbers[:, 2])
            state = euler_maruyama.step(self._state, self.laws, ev, dt, noise)
            here = time + (k + 1) * dt
            shift = self.needle_position(here) if moving else 0.0
            speed = (shift - self.needle_position(here - dt)) / dt if moving else 0.0
            self._state = self._hold(state, shift, speed)

    def _hold(self, state: State, shift: float, speed: float) -> State:
        """Put the particles stuck to the needle and the wall where they belong; they keep their entropy."""
        along = torch.tensor([1.0, 0.0], dtype=state.r.dtype)
        moved = torch.where(self._needle[:, None], along, torch.zeros_like(along))
        fixed = self._fixed[:, None]
        return State(
            r=torch.where(fixed, self._home + shift * moved, state.r),
            v=torch.where(fixed, speed * moved, state.v),
            S=torch.where(self._fixed, self._state.S, state.S),
        )

    def _snapshot(self, frame: int, time: float) -> Snapshot:
        state = self._state
        ev = brackets.evaluate(self.laws, self._neighbours.pairs(state.r), state.S)
        return Snapshot(
            frame=frame,
            r=state.r.numpy().copy(),
            v=state.v.numpy().copy(),
            S=state.S.numpy().copy(),
            T=ev.thermo.T.numpy().copy(),
            needle_x=self.needle_position(time),
        )
