"""Rollouts driven by the experiment's boundary, several members at once, with exact budgets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from colloidlab.errors import ColloidlabError
from colloidlab.model import brackets, response
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.boundary import Plan, between
from colloidlab.rollout.integrators import Integrator, conserving, euler_maruyama
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise, Moment
from colloidlab.rollout.state import State

_PHASE, _LEAST_STEPS, _MOST_STEPS = 0.25, 4, 200
_DECAY: dict[Integrator, float] = {"conserving": 0.3, "implicit": math.inf, "euler_maruyama": 0.1}
"""Share of a velocity that a step may damp: the explicit scheme is of first order in it, the others divide their steps."""


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


def stable_steps_per_frame(
    laws: Laws,
    plan: Plan,
    *,
    integrator: Integrator = "conserving",
    phase: float = _PHASE,
    decay: float | None = None,
) -> int:
    """Integrator steps per frame that resolve the stiffest cage and the strongest friction at the start.

    A step turns no oscillation by more than `phase` radians and damps no velocity by more than the share `decay` [what
    suits the integrator].
    """
    decay = _DECAY[integrator] if decay is None else decay
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
    integrator: Integrator = "conserving",
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
    integrator : str
        `conserving`; `implicit`, the same for stiff friction; or `euler_maruyama`, the published one.

    Raises
    ------
    ColloidlabError
        When a member becomes non-finite: says the frame and the particle. Frames yielded before are good.
    """
    simulation = _Simulation(laws, plan, seeds, integrator)
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

    def __init__(self, laws: Laws, plan: Plan, seeds: list[int], integrator: Integrator) -> None:
        self.laws = laws
        self.plan = plan
        self.integrator = integrator
        self.members = len(seeds)
        self.n = len(plan.particles)
        scale = torch.as_tensor(np.tile(plan.scale, self.members))
        member = np.repeat(np.arange(self.members), self.n)
        self.member = torch.as_tensor(member)
        self.noise = CounterNoise(
            identity=torch.as_tensor(plan.particles).to(torch.int64).repeat(self.members),
            seed=torch.tensor(seeds, dtype=torch.int64)[self.member],
        )
        self.neighbours = Neighbours(laws.cutoff, scale, member=member, box=plan.box)
        self.simulated = torch.as_tensor(np.tile(plan.simulated, self.members))
        self.state = _start(plan, self.members)
        self.there = self._around(self.state.r, self.state.S)
        self.energy, self.momentum = self._totals(self.there, self.state)
        self._clear()

    def _around(self, r: Tensor, S: Tensor) -> brackets.Mechanics:
        with torch.no_grad():
            return brackets.mechanics(self.laws, self.neighbours.pairs(r), S)

    def _clear(self) -> None:
        self.work, self.heat, self.drift = (torch.zeros_like(self.energy) for _ in range(3))
        self.impulse, self.momentum_drift = torch.zeros_like(self.momentum), torch.zeros_like(self.momentum)

    def _per_member(self, values: Tensor) -> Tensor:
        out = values.new_zeros((self.members, *values.shape[1:]))
        return out.index_add(0, self.member, torch.nan_to_num(values))

    def _totals(self, there: brackets.Mechanics, state: State) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            kinetic, internal = brackets.total_energy(self.laws, there, state.v)
            return self._per_member(kinetic + internal), self._per_member(self.laws.mass * state.v)

    def advance(self, k: int, n: int, steps: int) -> None:
        """One integrator step, then the prescribed particles go where the experiment has them."""
        with torch.no_grad():
            free = self._step(1.0 / steps, k * steps + n)
            energy_free, momentum_free = self._totals(free.mechanics, free.state)
            exchanged, kick = self._per_member(free.bath_energy), self._per_member(free.bath_momentum)
            held = self._prescribe(free.state, k, (n + 1) / steps)
            # Setting S at fixed positions is heat; moving r and v (and entering or leaving) is work.
            S_free, S_held = free.state.S, held.S
            entropy_only = torch.where(torch.isfinite(S_held) & torch.isfinite(S_free), S_held, S_free)
            before, after = (self.laws.energy(S, free.mechanics.volume).U for S in (S_free, entropy_only))
            heated = self._per_member(after - before)
        if bool((torch.isfinite(S_held) != torch.isfinite(S_free)).any()):
            self.neighbours.invalidate()
        self.state = held
        self.there = self._around(held.r, held.S)
        energy, momentum = self._totals(self.there, held)
        self.drift += energy_free - self.energy - exchanged
        self.heat += heated + exchanged
        self.work += energy - energy_free - heated
        self.momentum_drift += momentum_free - self.momentum - kick
        self.impulse += momentum - momentum_free + kick
        self.energy, self.momentum = energy, momentum

    def _step(self, dt: float, index: int) -> conserving.Step:
        state, laws = self.state, self.laws
        if self.integrator == "euler_maruyama":
            ev = brackets.with_friction(laws, self.there)
            numbers = self._draw(ev.pairs, Moment(index))
            kick = brackets.bath_increment(laws, state.v, numbers, dt)
            after = euler_maruyama.step(state, laws, ev, dt, numbers)
            energy = laws.mass * (kick * (after.v - 0.5 * kick)).sum(1)
            return conserving.Step(laws.mass * kick, energy, 1, after, self._around(after.r, after.S))
        return conserving.step(
            state,
            laws,
            self.there,
            self._around,
            dt,
            lambda pairs, part, attempt: self._draw(pairs, Moment(index, part, attempt)),
            implicit=self.integrator == "implicit",
            member=self.member,
            watched=self.simulated,
        )

    def _draw(self, pairs: Pairs, moment: Moment) -> brackets.Noise:
        dim, dtype = self.state.r.shape[1], self.state.r.dtype
        found = self.noise.pair_numbers(pairs, moment, dim, dtype)
        if self.laws.bath is None:
            return found
        return replace(found, bath=self.noise.particle_numbers(moment, dim, dtype))

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
        T = torch.where(absent, torch.full_like(self.state.S, float("nan")), self.there.thermo.T)
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
