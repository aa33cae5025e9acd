"""One step by the laws alone, of all members at once, with the integrator that was chosen."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.model.tensors import dot
from colloidlab.rollout.forcing import Forcing
from colloidlab.rollout.integrators import Integrator, conserving, euler_maruyama
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise, Moment
from colloidlab.rollout.state import State


class FreeMotion:
    """The motion of the particles by the laws and by force fields.

    Parameters
    ----------
    laws : Laws
    neighbours : Neighbours
    noise : CounterNoise
    integrator : str
    member : int64 tensor, shape (n,)
    simulated : bool tensor, shape (n,)
        Force fields act on these, and their state alone divides a step; the others are held.
    forcing : Forcing, optional
    """

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
        self.laws = laws
        self._neighbours = neighbours
        self._noise = noise
        self._integrator = integrator
        self._member = member
        self._simulated = simulated
        self._forcing = forcing

    def around(self, r: Tensor, S: Tensor) -> brackets.Evaluation:
        """The laws at a configuration."""
        return brackets.evaluate(self.laws, self._neighbours.pairs(r), S)

    def search_again(self) -> None:
        """Look for neighbours anew at the next evaluation: particles have entered or left."""
        self._neighbours.invalidate()

    def step(self, state: State, ev: brackets.Evaluation, dt: float, index: int) -> conserving.Step:
        """Step number `index`, all of the same length.

        Parameters
        ----------
        state : State
        ev : Evaluation
            The laws there.
        dt : float
            Frames.
        index : int
            From the start of the rollout: chooses the noise and says the time.
        """
        if self._integrator == "euler_maruyama":
            return self._published(state, ev, dt, index)
        return conserving.step(
            state,
            self.laws,
            ev,
            self.around,
            dt,
            lambda pairs, part, attempt: self._draw(pairs, Moment(index, part, attempt), state.r),
            implicit=self._integrator == "implicit",
            member=self._member,
            watched=self._simulated,
            external=lambda r, t: self._push(r, index * dt + t),
            held=~self._simulated,
        )

    def _published(self, state: State, ev: brackets.Evaluation, dt: float, index: int) -> conserving.Step:
        laws = self.laws
        numbers = self._draw(ev.pairs, Moment(index), state.r)
        kick = brackets.bath_increment(laws, state.v, numbers, dt)
        push = self._push(state.r, index * dt)
        after = euler_maruyama.step(state, laws, ev, dt, numbers, push)
        return conserving.Step(
            after,
            self.around(after.r, after.S),
            bath_momentum=laws.mass * kick,
            bath_energy=laws.mass * dot(kick, after.v - 0.5 * kick),
            parts=1,
            external_momentum=dt * push,
            external_energy=dot(dt * push, 0.5 * (state.v + after.v)),
        )

    def _push(self, r: Tensor, t: float) -> Tensor:
        if self._forcing is None:
            return torch.zeros_like(r)
        return torch.where(self._simulated[:, None], self._forcing(r, t), torch.zeros_like(r))

    def _draw(self, pairs: Pairs, moment: Moment, like: Tensor) -> brackets.Noise:
        dim, dtype = like.shape[1], like.dtype
        found = self._noise.pair_numbers(pairs, moment, dim, dtype)
        if self.laws.bath is None:
            return found
        return replace(found, bath=self._noise.particle_numbers(moment, dim, dtype))
