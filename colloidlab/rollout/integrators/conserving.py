"""Kick, drift, kick, dissipate: velocity Verlet, and a dissipative step that keeps momentum and energy to round-off.

The energy error is that of velocity Verlet. One search for pairs and one evaluation of the kernel a step; kick-dissipate-
kick-drift is the same chain seen at another moment. See `dissipation` for what happens at fixed positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from colloidlab.errors import RolloutStopped, UsageError
from colloidlab.model import brackets
from colloidlab.model.ahead import most, sure
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.model.tensors import dot, each
from colloidlab.rollout.integrators.dissipation import (
    Dissipated,
    dissipate,
    fell_too_far,
    parts_needed,
    work_of_images,
)
from colloidlab.rollout.motion import Given
from colloidlab.rollout.state import State

MOST_ATTEMPTS = 20
MOST_PARTS = 1000

Draw = Callable[[Pairs, int, Tensor], brackets.Noise]
"""Numbers of a part of the step, and of the attempt, shape (n,), at it."""

External = Callable[[Tensor, float | Tensor], Tensor]
"""Force from outside, shape (n, D), at positions and a time after the start of the step."""


class NoDraw(RolloutStopped):
    """Whatever was drawn, somebody lost more heat than he has, or was no number before.

    Attributes
    ----------
    failed : bool tensor, shape (n,)
        Who.
    finite : bool
        Were the velocities of all of them numbers?
    """

    def __init__(self, failed: Tensor, v: Tensor) -> None:
        super().__init__(
            f"particle {int(failed.nonzero()[0])} of the state is left without a temperature by each of {MOST_ATTEMPTS} "
            "draws of the noise; take shorter steps"
        )
        self.failed, self.finite = failed, bool(torch.isfinite(v[failed]).all())


@dataclass(frozen=True)
class Push:
    """What the forces of a configuration do.

    Attributes
    ----------
    force : tensor, shape (n, D)
    image_power : tensor, shape (n,)
        Energy that they bring in a unit of time where images move; zero elsewhere.
    """

    force: Tensor
    image_power: Tensor


def push_of(there: brackets.Mechanics) -> Push:
    """Of the laws at a configuration."""
    if there.pairs.wind is None:
        return Push(there.force, torch.zeros_like(there.volume))
    return Push(there.force, work_of_images(there.pairs, brackets.pair_force(there)))


@dataclass(frozen=True)
class Step:
    """Outcome of a step.

    Attributes
    ----------
    state : State
    mechanics : Mechanics
        The laws there.
    given : Given
    """

    state: State
    mechanics: brackets.Mechanics
    given: Given


def step(
    state: State,
    laws: Laws,
    start: brackets.Mechanics | Push,
    around: Callable[[Tensor, Tensor], brackets.Mechanics],
    dt: float,
    draw: Draw,
    *,
    implicit: bool = False,
    member: Tensor | None = None,
    watched: Tensor | None = None,
    external: External | None = None,
    held: Tensor | None = None,
    mass: Tensor | float | None = None,
) -> Step:
    """One step of time dt.

    Parameters
    ----------
    state : State
    laws : Laws
    start : Mechanics, or Push
        The laws at `state`, or what alone counts of them.
    around : callable(r, S) -> Mechanics
    dt : float
    draw : callable(pairs, part, attempt) -> Noise
    implicit : bool
        As in `dissipate`; friction then sets no limit to the parts.
    member : int64 tensor, shape (n,), optional
        Independent simulations side by side; each is divided, and drawn again, as if it were alone.
    watched : bool tensor, shape (n,), optional
        Whose state counts for that [all].
    external : callable(r, time) -> force, optional
        It takes part in both kicks.
    held : bool tensor, shape (n,), optional
        These are moved from outside, and go on at their velocity: what holds them against the forces is an external force
        too. Squeezed by others that are held, they would otherwise make an error that nobody sees but the books.
    mass : tensor, shape (n,), or float
        Of every particle, where `start` is a push, which does not know it.

    Raises
    ------
    NoDraw
    """

    def outside(r: Tensor, force: Tensor, time: float) -> Tensor:
        push = torch.zeros_like(force) if external is None else external(r, time)
        return push if held is None else torch.where(held[:, None], -force, push)

    if mass is None:
        if isinstance(start, Push) and laws.inertia is not None:
            raise UsageError("a push does not know the masses of the particles: give them")
        mass = laws.mass if isinstance(start, Push) else laws.mass_of(start.pairs)
    start = start if isinstance(start, Push) else push_of(start)
    first = _kick(mass, start.force, state.v, 0.5 * dt, outside(state.r, start.force, 0.0))
    r = state.r + dt * first.v
    there = around(r, state.S)
    push = push_of(there)
    second = _kick(mass, push.force, first.v, 0.5 * dt, outside(r, push.force, dt))
    v = second.v
    ev = brackets.with_friction(laws, there)
    group = _Groups(state.S, member, watched)
    parts = group.largest(parts_needed(laws, ev, v, dt, implicit=implicit)).clamp(1, MOST_PARTS)
    S, momentum, energy = state.S, torch.zeros_like(v), torch.zeros_like(state.S)
    images = 0.5 * dt * (start.image_power + push.image_power)
    n_parts = most("parts", parts.max())
    for part in range(n_parts):
        if part > 0:
            ev = brackets.with_friction(laws, there)
        # A simulation that needs fewer parts stands still in those that it does not need.
        time = torch.where(part < parts, dt / parts, 0.0)[group.of]
        done = _attempt(laws, ev, v, S, time, part, draw, group, implicit=implicit)
        v, S = done.v, done.S
        momentum, energy = momentum + done.bath_momentum, energy + done.bath_energy
        images = images + done.image_energy
        there = brackets.at_entropy(laws, ev, S)
    given, work = first.given + second.given, first.work + second.work
    return Step(State(r, v, S), there, Given(momentum, energy, given, work, images, n_parts))


@dataclass(frozen=True)
class _Kick:
    """Velocity after a kick; momentum and energy that the force from outside has given."""

    v: Tensor
    given: Tensor
    work: Tensor


def _kick(mass: Tensor | float, force: Tensor, v: Tensor, time: float, external: Tensor) -> _Kick:
    after = v + time / each(mass, v) * (force + external)
    # At the mean velocity the work of either force is its own, and both together are the change of kinetic energy.
    return _Kick(after, time * external, dot(time * external, 0.5 * (v + after)))


class _Groups:
    """Independent simulations side by side, and those of their particles that count."""

    def __init__(self, like: Tensor, member: Tensor | None, watched: Tensor | None) -> None:
        self.of = torch.zeros_like(like, dtype=torch.int64) if member is None else member
        self._watched = torch.ones_like(like, dtype=torch.bool) if watched is None else watched
        self.count = 1 if member is None else most("simulations", member.max() + 1)

    def largest(self, values: Tensor) -> Tensor:
        """Of every group; NaN does not count."""
        out = values.new_zeros(self.count)
        counted = torch.where(self._watched, torch.nan_to_num(values, nan=0.0), 0.0)
        return out.scatter_reduce(0, self.of, counted, "amax")

    def among(self, chosen: Tensor) -> Tensor:
        """Those of the chosen that count, bool of shape (n,)."""
        return chosen & self._watched

    def with_any(self, chosen: Tensor) -> Tensor:
        """Bool of every particle: does its group have one that is chosen?"""
        return (self.largest(chosen.to(torch.float64)) > 0)[self.of]


def _attempt(
    laws: Laws,
    ev: brackets.Evaluation,
    v: Tensor,
    S: Tensor,
    time: Tensor,
    part: int,
    draw: Draw,
    group: _Groups,
    *,
    implicit: bool,
) -> Dissipated:
    """Draw until no particle loses too much; rare, because steps are divided where it is likely."""
    attempt = torch.zeros_like(group.of)
    for _ in range(MOST_ATTEMPTS):
        numbers = draw(ev.pairs, part, attempt)
        done = dissipate(
            laws, ev, v, S, time, numbers, implicit=implicit, member=group.of, members=group.count
        )
        fallen = fell_too_far(ev, S, done.S)
        failed = group.with_any(fallen)
        if sure(~failed.any()):
            return done
        attempt = attempt + failed
    raise NoDraw(group.among(fallen), v)
