"""Kick, drift, kick, dissipate: velocity Verlet, and a dissipative step that keeps momentum and energy to round-off.

The energy error is that of velocity Verlet. One search for pairs and one evaluation of the kernel a step; kick-dissipate-
kick-drift is the same chain seen at another moment. See `dissipation` for what happens at fixed positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.rollout.integrators.dissipation import Dissipated, dissipate, fell_too_far, parts_needed
from colloidlab.rollout.state import State

MOST_ATTEMPTS = 20
MOST_PARTS = 1000

Draw = Callable[[Pairs, int, Tensor], brackets.Noise]
"""Numbers of a part of the step, and of the attempt, shape (n,), at it."""


@dataclass(frozen=True)
class Exchanged:
    """What a step has exchanged with a bath, and in how many parts.

    Attributes
    ----------
    bath_momentum : tensor, shape (n, D)
    bath_energy : tensor, shape (n,)
    parts : int
        In which friction, noise and heat were taken.
    """

    bath_momentum: Tensor
    bath_energy: Tensor
    parts: int


@dataclass(frozen=True)
class Step(Exchanged):
    """Outcome of a step.

    Attributes
    ----------
    state : State
    mechanics : Mechanics
        The laws there.
    """

    state: State
    mechanics: brackets.Mechanics


def step(
    state: State,
    laws: Laws,
    start: brackets.Mechanics,
    around: Callable[[Tensor, Tensor], brackets.Mechanics],
    dt: float,
    draw: Draw,
    *,
    implicit: bool = False,
    member: Tensor | None = None,
    watched: Tensor | None = None,
) -> Step:
    """One step of time dt.

    Parameters
    ----------
    state : State
    laws : Laws
    start : Mechanics
        The laws at `state`.
    around : callable(r, S) -> Mechanics
    dt : float
    draw : callable(pairs, part, attempt) -> Noise
    implicit : bool
        As in `dissipate`; friction then sets no limit to the parts.
    member : int64 tensor, shape (n,), optional
        Independent simulations side by side; each is divided, and drawn again, as if it were alone.
    watched : bool tensor, shape (n,), optional
        Whose state counts for that [all].
    """
    half = 0.5 * dt / laws.mass
    v = state.v + half * start.force
    r = state.r + dt * v
    there = around(r, state.S)
    v = v + half * there.force
    ev = brackets.with_friction(laws, there)
    group = _Groups(state.S, member, watched)
    parts = group.largest(parts_needed(laws, ev, v, dt, implicit=implicit)).clamp(1, MOST_PARTS)
    S, momentum, energy = state.S, torch.zeros_like(v), torch.zeros_like(state.S)
    for part in range(int(parts.max())):
        if part > 0:
            ev = brackets.with_friction(laws, there)
        # A simulation that needs fewer parts stands still in those that it does not need.
        time = torch.where(part < parts, dt / parts, 0.0)[group.of]
        done = _attempt(laws, ev, v, S, time, part, draw, group, implicit=implicit)
        v, S = done.v, done.S
        momentum, energy = momentum + done.bath_momentum, energy + done.bath_energy
        there = brackets.at_entropy(laws, ev, S)
    return Step(momentum, energy, int(parts.max()), State(r, v, S), there)


class _Groups:
    """Independent simulations side by side, and those of their particles that count."""

    def __init__(self, like: Tensor, member: Tensor | None, watched: Tensor | None) -> None:
        self.of = torch.zeros_like(like, dtype=torch.int64) if member is None else member
        self._watched = torch.ones_like(like, dtype=torch.bool) if watched is None else watched
        self._count = int(self.of.max()) + 1

    def largest(self, values: Tensor) -> Tensor:
        """Of every group; NaN does not count."""
        out = values.new_zeros(self._count)
        counted = torch.where(self._watched, torch.nan_to_num(values, nan=0.0), 0.0)
        return out.scatter_reduce(0, self.of, counted, "amax")

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
        done = dissipate(laws, ev, v, S, time, draw(ev.pairs, part, attempt), implicit=implicit)
        failed = group.with_any(fell_too_far(ev, S, done.S))
        if not bool(failed.any()):
            break
        attempt = attempt + failed
    return done
