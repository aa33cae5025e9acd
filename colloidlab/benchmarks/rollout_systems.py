"""Systems that the rollout's benchmark moves: a gas of known law, and star polymers with the published weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.graph import find_pairs
from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.published import load_published
from colloidlab.model.published_encoder import load_published_encoder
from colloidlab.rollout.compiled import CompiledStep, in_tables
from colloidlab.rollout.compiled.step import LEAST_SHARE
from colloidlab.rollout.integrators import conserving, euler_maruyama
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise, Moment
from colloidlab.rollout.state import State
from colloidlab.synthetic.gas import Gas, gas_laws

STAR_CUTOFF, STAR_STEP = 4.75, 0.025
_STAR_SPACING = 3.018
"""A thousand stars in a box of side 30.18, as published."""
_STAR_T = 8.08
"""Their temperature; its product with the weights' k_B is that of the velocities."""
_JITTER = 0.1
"""Of the lattice, in spacings: particles on top of each other would make heat."""


@dataclass(frozen=True)
class System:
    """Particles in a periodic cube, in three dimensions or in two.

    Attributes
    ----------
    exact, tables : Laws
        The same, as they are and in tables.
    state : State
    side : float
    dt : float
    """

    exact: Laws
    tables: Laws
    state: State
    side: float
    dt: float

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self.state.r)

    @property
    def box(self) -> np.ndarray:
        """Periodic lengths."""
        return np.full(self.state.r.shape[1], self.side)

    def neighbours(self) -> Neighbours:
        """A list of their own for every way of moving."""
        scale = torch.ones(self.n, dtype=self.state.r.dtype)
        return Neighbours(self.exact.cutoff, scale, box=self.box)

    def noise(self, seed: int) -> CounterNoise:
        """Its numbers."""
        return CounterNoise(torch.arange(self.n), torch.full((self.n,), seed))

    def compiled(self, seed: int, threads: int = 1, *, least_share: int = LEAST_SHARE) -> CompiledStep:
        """The compiled step, at the state; see there."""
        return CompiledStep(
            self.tables,
            self.state,
            self.neighbours(),
            self.noise(seed),
            threads=threads,
            least_share=least_share,
        )

    def energy(self, state: State) -> float:
        """Kinetic and internal, by the tables."""
        with torch.no_grad():
            there = brackets.mechanics(self.tables, self._pairs(state.r), state.S)
            return float(sum(part.sum() for part in brackets.total_energy(self.tables, there, state.v)))

    def thermal_energy(self) -> float:
        """N k_B T."""
        with torch.no_grad():
            there = brackets.mechanics(self.tables, self._pairs(self.state.r), self.state.S)
        return self.n * self.exact.k_B * float(there.thermo.T.mean())

    def _pairs(self, r: Tensor) -> Pairs:
        index = torch.as_tensor(find_pairs(r.numpy(), self.exact.cutoff, box=self.box))
        return pair_geometry(r, index, self.exact.cutoff, torch.ones_like(r[:, 0]), torch.as_tensor(self.box))

    def at(self, state: State) -> System:
        """The same system elsewhere."""
        return System(self.exact, self.tables, state, self.side, self.dt)


def star_system(weights: Path, n: int, *, settle: int = 1000, seed: int = 0) -> System:
    """Stars near the places of a lattice, with entropies of the published encoder, and a thousand steps to forget both."""
    laws = load_published(weights, cutoff=STAR_CUTOFF, n_dims=3).requires_grad_(False)
    side = _STAR_SPACING * n ** (1 / 3)
    r = _near_lattice(n, 3, side, seed)
    speed = np.sqrt(laws.k_B * _STAR_T / laws.mass)
    v = _thermal(n, 3, speed, seed)
    pairs = torch.as_tensor(find_pairs(r.numpy(), STAR_CUTOFF, box=np.full(3, side)))
    geometry = pair_geometry(r, pairs, STAR_CUTOFF, torch.ones_like(r[:, 0]), torch.full((3,), side))
    with torch.no_grad():
        S = load_published_encoder(weights)(geometry, v)
    return _settled(laws, State(r, v, S), side, STAR_STEP, seed, settle)


def gas_system(
    n: int,
    *,
    heat_capacity: float = 20.0,
    dt: float = 0.125,
    n_dims: int = 3,
    settle: int = 100,
    seed: int = 0,
) -> System:
    """An ideal gas of known law at one temperature, all of it moving."""
    gas = Gas(n=n, n_dims=n_dims, heat_capacity=heat_capacity, wave=0.0)
    laws = gas_laws(gas)
    r, v = _near_lattice(n, n_dims, gas.box, seed), _thermal(n, n_dims, gas.temperature**0.5, seed)
    T = torch.full((n,), gas.temperature, dtype=r.dtype)
    S = laws.energy.entropy(T, torch.full_like(T, gas.volume))
    return _settled(laws, State(r, v, S), gas.box, dt, seed, settle)


def _settled(laws: Laws, state: State, side: float, dt: float, seed: int, steps: int) -> System:
    scale = torch.ones(len(state.r), dtype=state.r.dtype)
    neighbours = Neighbours(laws.cutoff, scale, box=np.full(state.r.shape[1], side))
    start = System(laws, in_tables(laws, state, neighbours), state, side, dt)
    moving = start.compiled(seed + 1)
    for n in range(steps):
        moving.step(dt, n)
    return start.at(moving.state)


def _near_lattice(n: int, n_dims: int, side: float, seed: int) -> Tensor:
    cells = int(np.ceil(n ** (1 / n_dims) - 1e-9))
    places = np.stack(np.meshgrid(*[np.arange(cells)] * n_dims, indexing="ij"), -1).reshape(-1, n_dims)
    # Of all places, n spread evenly.
    chosen = places[np.linspace(0, len(places) - 1, n).round().astype(int)]
    jitter = np.random.default_rng(seed).normal(0, _JITTER, (n, n_dims))
    return torch.as_tensor((chosen + 0.5 + jitter) * side / cells)


def _thermal(n: int, n_dims: int, speed: float, seed: int) -> Tensor:
    v = np.random.default_rng([seed, 1]).normal(0, speed, (n, n_dims))
    return torch.as_tensor(v - v.mean(axis=0))


def torch_steps(system: System, laws: Laws, *, published: bool, seed: int) -> Callable[[], State]:
    """A function that moves the system on by a step in torch, with the published scheme or the conserving one."""
    neighbours, noise, dim = system.neighbours(), system.noise(seed), system.state.r.shape[1]

    def around(r: Tensor, S: Tensor) -> brackets.Mechanics:
        return brackets.mechanics(laws, neighbours.near(r), S)

    state = system.state
    with torch.no_grad():
        there = around(state.r, state.S)
    n = 0

    def step() -> State:
        nonlocal state, there, n
        with torch.no_grad():
            if published:
                ev = brackets.with_friction(laws, there)
                numbers = noise.pair_numbers(ev.pairs, Moment(n), dim, state.r.dtype)
                state = euler_maruyama.step(state, laws, ev, system.dt, numbers)
                there = around(state.r, state.S)
            else:
                done = conserving.step(
                    state,
                    laws,
                    there,
                    around,
                    system.dt,
                    lambda pairs, part, attempt: noise.pair_numbers(
                        pairs, Moment(n, part, attempt), dim, state.r.dtype
                    ),
                )
                state, there = done.state, done.mechanics
        n += 1
        return state

    return step
