"""Rollouts driven by the experiment's boundary, several members at once, with exact budgets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colloidlab.errors import ColloidlabError
from colloidlab.model import brackets, response
from colloidlab.model.laws import Laws
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.boundary import Plan, between
from colloidlab.rollout.integrators import euler_maruyama
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.state import State

_PHASE, _DECAY, _LEAST_STEPS, _MOST_STEPS = 0.25, 0.1, 4, 200


@dataclass(frozen=True)
class Budget:
    """Books of one frame; every array has shape (members,) or (members, D).

    energy : total energy of all particles present, k_B T units of the law (px^2/frame^2)
    work, heat : energy brought since the last frame by moving the prescribed particles; by setting their entropy, and by
        a bath
    energy_drift : energy made by the integrator since the last frame
    momentum, impulse, momentum_drift : the same for momentum, px/frame
    """

    energy: np.ndarray
    work: np.ndarray
    heat: np.ndarray
    energy_drift: np.ndarray
    momentum: np.ndarray
    impulse: np.ndarray
    momentum_drift: np.ndarray


@dataclass(frozen=True)
class RolloutFrame:
    """All members at one frame.

    Attributes
    ----------
    r, v : float arrays, shape (members, n, D)
        NaN where a particle is absent.
    S, T : float arrays, shape (members, n)
    budget : Budget
    """

    r: np.ndarray
    v: np.ndarray
    S: np.ndarray
    T: np.ndarray
    budget: Budget


def stable_steps_per_frame(laws: Laws, plan: Plan, *, phase: float = _PHASE, decay: float = _DECAY) -> int:
    """Integrator steps per frame that resolve the stiffest cage and the strongest friction at the start.

    A step turns no oscillation by more than `phase` radians and damps no velocity by more than the share `decay`.
    """
    state = _start(plan, 1)
    neighbours = Neighbours(laws.cutoff, torch.as_tensor(plan.scale), box=plan.box)
    with torch.no_grad():
        ev = brackets.evaluate(laws, neighbours.pairs(state.r), state.S)
        inside = torch.as_tensor(plan.simulated)
        stiffness = float(torch.linalg.eigvalsh(response.self_stiffness(ev)[inside]).max()) / laws.mass
        friction = float(torch.linalg.eigvalsh(response.self_friction(laws, ev)[inside]).max()) / laws.mass
    # Collective modes are up to sqrt(2) faster than a particle between still neighbours.
    needed = max(math.sqrt(2 * max(stiffness, 0.0)) / phase, 2 * friction / decay, _LEAST_STEPS)
    return min(math.ceil(needed), _MOST_STEPS)


def roll_out(
    laws: Laws,
    plan: Plan,
    *,
    seeds: list[int],
    steps_per_frame: int,
    monitor: Monitor = SILENT,
) -> Iterator[RolloutFrame]:
    """Simulate the members side by side and yield every frame, the first included.

    Parameters
    ----------
    laws : Laws
    plan : Plan
    seeds : list of int
        One a member; the noise of a member depends only on its own seed.
    steps_per_frame : int

    Raises
    ------
    ColloidlabError
        When a member becomes non-finite: says the frame and the particle. Frames yielded before are good.
    """
    simulation = _Simulation(laws, plan, seeds)
    yield simulation.frame()
    for k in range(plan.n_frames - 1):
        monitor.update("roll out", k, plan.n_frames - 1)
        for n in range(steps_per_frame):
            simulation.advance(k, n, steps_per_frame)
        simulation.check(plan.first + k + 1)
        yield simulation.frame()
    monitor.update("roll out", plan.n_frames - 1, plan.n_frames - 1)


def _start(plan: Plan, members: int) -> State:
    def tile(values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.concatenate([values] * members))

    return State(r=tile(plan.r[0]), v=tile(plan.v[0]), S=tile(plan.S[0]))


class _Simulation:
    """State of all members, their noise and their books."""

    def __init__(self, laws: Laws, plan: Plan, seeds: list[int]) -> None:
        self.laws = laws
        self.plan = plan
        self.members = len(seeds)
        self.n = len(plan.particles)
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        scale = torch.as_tensor(np.tile(plan.scale, self.members))
        member = np.repeat(np.arange(self.members), self.n)
        self.member = torch.as_tensor(member)
        self.neighbours = Neighbours(laws.cutoff, scale, member=member, box=plan.box)
        self.simulated = torch.as_tensor(np.tile(plan.simulated, self.members))
        self.state = _start(plan, self.members)
        self._evaluate()
        self.energy, self.momentum = self._totals()
        self._clear()

    def _evaluate(self) -> None:
        with torch.no_grad():
            self.ev = brackets.evaluate(self.laws, self.neighbours.pairs(self.state.r), self.state.S)

    def _clear(self) -> None:
        self.work, self.heat, self.drift = (torch.zeros_like(self.energy) for _ in range(3))
        self.impulse, self.momentum_drift = torch.zeros_like(self.momentum), torch.zeros_like(self.momentum)

    def _per_member(self, values: Tensor) -> Tensor:
        out = values.new_zeros((self.members, *values.shape[1:]))
        return out.index_add(0, self.member, torch.nan_to_num(values))

    def _totals(self) -> tuple[Tensor, Tensor]:
        kinetic, internal = brackets.total_energy(self.laws, self.ev, self.state.v)
        return self._per_member(kinetic + internal), self._per_member(self.laws.mass * self.state.v)

    def advance(self, k: int, n: int, steps: int) -> None:
        """One integrator step, then the prescribed particles go where the experiment has them."""
        with torch.no_grad():
            free = self._step(1.0 / steps)
        volume, potential = self._surroundings(free.r)
        energy_free = self._energy(free.v, free.S, volume, potential)
        exchanged, kick = self._bath_exchange(free.v)
        momentum_free = self._per_member(self.laws.mass * free.v)
        held = self._prescribe(free, k, (n + 1) / steps)
        # Setting S at fixed positions is heat; moving r and v (and entering or leaving) is work.
        entropy_only = torch.where(torch.isfinite(held.S) & torch.isfinite(free.S), held.S, free.S)
        energy_heated = self._energy(free.v, entropy_only, volume, potential)
        if bool((torch.isfinite(held.S) != torch.isfinite(free.S)).any()):
            self.neighbours.invalidate()
        self.state = held
        self._evaluate()
        energy, momentum = self._totals()
        self.drift += energy_free - self.energy - exchanged
        self.heat += energy_heated - energy_free + exchanged
        self.work += energy - energy_heated
        self.momentum_drift += momentum_free - self.momentum - kick
        self.impulse += momentum - momentum_free + kick
        self.energy, self.momentum = energy, momentum

    def _step(self, dt: float) -> State:
        numbers = self._noise()
        self.bath_kick = brackets.bath_increment(self.laws, self.state.v, numbers, dt)
        return euler_maruyama.step(self.state, self.laws, self.ev, dt, numbers)

    def _bath_exchange(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Energy and momentum that the bath has given in the step that ended with velocities v."""
        before = v - self.bath_kick
        energy = 0.5 * self.laws.mass * ((v * v).sum(1) - (before * before).sum(1))
        return self._per_member(energy), self._per_member(self.laws.mass * self.bath_kick)

    def _noise(self) -> brackets.Noise:
        """Noise of each member from its own generator, in the order of its own pairs.

        Pairs in the skin of the neighbour list draw none: when the list was made depends on the other members.
        """
        p = self.ev.pairs
        dim = self.state.r.shape[1]
        numbers = torch.zeros((len(p.r), dim + 1), dtype=self.state.r.dtype)
        owner = torch.where(p.x < 1, self.member[p.i], -1)
        for m, generator in enumerate(self.generators):
            mine = owner == m
            shape = (int(mine.sum()), dim + 1)
            numbers[mine] = torch.randn(shape, generator=generator, dtype=numbers.dtype)
        bath = None
        if self.laws.bath is not None:
            each = [torch.randn((self.n, dim), generator=g, dtype=numbers.dtype) for g in self.generators]
            bath = torch.cat(each)
        return brackets.Noise(impulse=numbers[:, :dim], heat=numbers[:, dim], bath=bath)

    def _surroundings(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """Volume and potential energy of every particle."""
        with torch.no_grad():
            pairs = self.neighbours.pairs(r)
            w = self.laws.kernel(pairs.x, *pairs.arguments).w
            volume = 1.0 / (self.laws.kernel.at_zero() + pairs.sum_symmetric(w))
            if self.laws.potential is None:
                return volume, torch.zeros_like(volume)
            return volume, 0.5 * pairs.sum_symmetric(self.laws.potential(pairs.x, *pairs.arguments).u)

    def _energy(self, v: Tensor, S: Tensor, volume: Tensor, potential: Tensor) -> Tensor:
        with torch.no_grad():
            internal = self.laws.energy(S, volume).U + potential
            return self._per_member(0.5 * self.laws.mass * (v * v).sum(1) + internal)

    def _prescribe(self, free: State, k: int, fraction: float) -> State:
        r, v, S = between(self.plan, k, fraction)

        def merge(simulated: Tensor, prescribed: np.ndarray) -> Tensor:
            there = torch.as_tensor(np.concatenate([prescribed] * self.members))
            mine = self.simulated if simulated.dim() == 1 else self.simulated[:, None]
            return torch.where(mine, simulated, there)

        return State(r=merge(free.r, r), v=merge(free.v, v), S=merge(free.S, S))

    def check(self, frame: int) -> None:
        bad = self.simulated & ~(torch.isfinite(self.state.r).all(1) & torch.isfinite(self.state.S))
        if bool(bad.any()):
            first = int(torch.nonzero(bad)[0, 0])
            raise ColloidlabError(
                f"the rollout became non-finite before frame {frame} (member {first // self.n}, particle "
                f"{self.plan.particles[first % self.n]}); the step is too long for these laws: raise steps_per_frame"
            )

    def frame(self) -> RolloutFrame:
        def shape(values: Tensor) -> np.ndarray:
            return values.cpu().numpy().reshape(self.members, self.n, *values.shape[1:]).copy()

        absent = ~torch.isfinite(self.state.S)
        T = torch.where(absent, torch.full_like(self.state.S, float("nan")), self.ev.thermo.T)
        budget = Budget(
            *(
                x.cpu().numpy().copy()
                for x in (
                    self.energy,
                    self.work,
                    self.heat,
                    self.drift,
                    self.momentum,
                    self.impulse,
                    self.momentum_drift,
                )
            )
        )
        self._clear()
        return RolloutFrame(shape(self.state.r), shape(self.state.v), shape(self.state.S), shape(T), budget)
