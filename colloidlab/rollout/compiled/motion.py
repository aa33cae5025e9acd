"""The compiled step as the motion of a rollout."""

from __future__ import annotations

import copy
import os
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.tabulated import ranges_around, tabulate
from colloidlab.rollout.compiled.step import CompiledStep
from colloidlab.rollout.forcing import Forcing
from colloidlab.rollout.integrators import Integrator
from colloidlab.rollout.motion import Fields, Moved
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise
from colloidlab.rollout.state import State


def can_compile(laws: Laws) -> bool:
    """Can these laws be put in tables and run compiled: a fluid, on processors?"""
    like = next(chain(laws.parameters(), laws.buffers()), None)
    return laws.shear is None and (like is None or like.device.type == "cpu")


def in_tables(laws: Laws, state: State, neighbours: Neighbours) -> Laws:
    """The laws in tables that hold a state and three times hotter, colder and denser ones; in float64 on processors."""
    with torch.no_grad():
        volume = brackets.mechanics(laws, neighbours.pairs(state.r), state.S).volume
    exact = copy.deepcopy(laws).to(device="cpu", dtype=torch.float64).requires_grad_(False)
    S, volume = (x.to(device="cpu", dtype=torch.float64) for x in (state.S, volume))
    return tabulate(exact, ranges_around(exact, S, volume))


class CompiledMotion:
    """See `motion.Motion` and `free_motion.FreeMotion`; the laws are those of `in_tables`."""

    def __init__(
        self,
        laws: Laws,
        neighbours: Neighbours,
        noise: CounterNoise,
        integrator: Integrator,
        *,
        member: Tensor,
        simulated: Tensor,
        forcing: Forcing | None = None,
    ) -> None:
        self._make = laws, neighbours, noise
        self._member, self._simulated = member.numpy(), simulated
        self._held = ~simulated.numpy()
        self._forcing, self._neighbours = forcing, neighbours
        self._step: CompiledStep | None = None

    @property
    def misses(self) -> int:
        """How often a table did not hold what it was asked."""
        return 0 if self._step is None else self._step.misses

    def search_again(self) -> None:
        """Look for neighbours anew at the next configuration: particles have entered or left."""
        self._neighbours.invalidate()

    def place(self, state: State, t: float | None = None) -> Fields:
        """Go on from this state; see `motion.Motion`."""
        if self._step is None:
            laws, neighbours, noise = self._make
            self._step = CompiledStep(
                laws,
                state,
                neighbours,
                noise,
                member=self._member,
                watched=np.logical_not(self._held),
                threads=len(os.sched_getaffinity(0))
                if hasattr(os, "sched_getaffinity")
                else os.cpu_count() or 1,
                t=t or 0.0,
            )
        else:
            self._step.place(state, t)
        return self._step.fields()

    def energy_at(self, S: Tensor) -> Tensor:
        """U of every particle with other entropies at the present positions, shape (n,)."""
        assert self._step is not None, "place it first"
        return self._step.energy_at(S)

    def step(self, dt: float, index: int) -> Moved:
        """One step of length dt."""
        assert self._step is not None, "place it first"
        start = index * dt
        external = None if self._forcing is None else lambda r, t: self._push(r, start + t)
        given = self._step.step(dt, index, external=external, held=self._held)
        return Moved(self._step.state, self._step.fields(), given)

    def _push(self, r: Tensor, t: float) -> Tensor:
        assert self._forcing is not None
        laws, neighbours, _ = self._make
        force = self._forcing.on(r, t, laws.mass_of(neighbours))
        return torch.where(self._simulated[:, None], force, torch.zeros_like(r))
