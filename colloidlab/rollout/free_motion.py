"""The motion by any laws on any device, in torch, with the integrator that was chosen.

On a GPU a step runs ahead of the host (`model.ahead`): one look at its end says whether the list of neighbours still held,
the step needed no more parts and no other draw, all solutions were found and no table was left. Nothing else in it waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.ahead import Ahead, pays_on
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.model.tabulated import count_misses
from colloidlab.model.tensors import dot, each
from colloidlab.rollout.forcing import Forcing
from colloidlab.rollout.integrators import Integrator, conserving, euler_maruyama
from colloidlab.rollout.motion import Fields, Given, Moved, check_shear
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
    ahead : bool, optional
        Run steps ahead of the host [on devices where a look at a number makes it wait].

    Raises
    ------
    UsageError
        A shear box is asked of the published integrator, or of laws with a bath.
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
        ahead: bool | None = None,
    ) -> None:
        self.laws = laws
        self.neighbours = neighbours
        self._noise = noise
        self._integrator = integrator
        self._member = member
        self._simulated = simulated
        self._forcing = forcing
        self._t = 0.0
        self._ahead = Ahead() if ahead or (ahead is None and pays_on(simulated.device)) else None
        check_shear(laws, neighbours.wind, integrator)

    @property
    def misses(self) -> int:
        """How often a table did not hold what it was asked."""
        return count_misses(self.laws)

    @property
    def state(self) -> State:
        """The present one."""
        return self._state

    @property
    def there(self) -> brackets.Mechanics:
        """The laws at the present state."""
        return self._there

    @property
    def usual(self) -> dict[str, int]:
        """How often the loops of a step that ran ahead went round (`ahead.Ahead.usual`)."""
        return {} if self._ahead is None else self._ahead.usual

    def search_again(self) -> None:
        """Look for neighbours anew at the next configuration: particles have entered or left."""
        self.neighbours.invalidate()

    def place(self, state: State, t: float | None = None) -> Fields:
        """Go on from this state; see `motion.Motion`."""
        self._t = self._t if t is None else t
        return self._go_on(state, self._around(state.r, state.S))

    def step(self, dt: float, index: int) -> Moved:
        """One step of length dt; see `motion.Motion`."""
        self._t = self.neighbours.end_of_step(self._t, dt, index)
        move = self._published if self._integrator == "euler_maruyama" else self._keep
        with torch.no_grad():
            done = move(dt, index) if self._ahead is None else self._ahead(lambda: move(dt, index))
        self._ended = done.mechanics
        return Moved(done.state, self._go_on(done.state, done.mechanics), done.given)

    def energy_at(self, S: Tensor) -> Tensor:
        """U of every particle with other entropies where the last step has ended, shape (n,)."""
        with torch.no_grad():
            return brackets.thermodynamics(self.laws, S, self._ended.volume, self._ended.strain)[0].U

    def _around(self, r: Tensor, S: Tensor) -> brackets.Mechanics:
        with torch.no_grad():
            # To leave out the pairs in the skin pays where their number is at hand.
            find = self.neighbours.near if self._ahead is None else self.neighbours.pairs
            return brackets.mechanics(self.laws, find(r, self._t), S)

    def _go_on(self, state: State, there: brackets.Mechanics) -> Fields:
        self._state, self._there = state, there
        with torch.no_grad():
            return Fields(there.thermo.T, there.thermo.U, brackets.internal_energy(there))

    def _keep(self, dt: float, index: int) -> conserving.Step:
        return self.conserve(self._state, conserving.push_of(self._there), self._around, dt, index)

    def conserve(
        self,
        state: State,
        push: conserving.Push,
        around: Callable[[Tensor, Tensor], brackets.Mechanics],
        dt: float,
        index: int | Tensor,
    ) -> conserving.Step:
        """A step of a conserving integrator from any state; see `conserving.step`, and `step` for the index."""
        # A whole number as a tensor would make a time in single precision.
        start = dt * (index.to(torch.float64) if isinstance(index, Tensor) else index)
        return conserving.step(
            state,
            self.laws,
            push,
            around,
            dt,
            lambda pairs, part, attempt: self._draw(pairs, Moment(index, part, attempt), state.r),
            implicit=self._integrator == "implicit",
            member=self._member,
            watched=self._simulated,
            external=lambda r, t: self._push(r, start + t),
            held=~self._simulated,
            mass=self.laws.mass_of(self.neighbours),
        )

    def _published(self, dt: float, index: int) -> conserving.Step:
        laws, state = self.laws, self._state
        ev = brackets.with_friction(laws, self._there)
        numbers = self._draw(ev.pairs, Moment(index), state.r)
        impulse = brackets.bath_impulse(laws, state.v, numbers, dt)
        push = self._push(state.r, index * dt)
        after = euler_maruyama.step(state, laws, ev, dt, numbers, push)
        given = Given(
            bath_momentum=impulse,
            bath_energy=dot(impulse, after.v - 0.5 * impulse / each(laws.mass_of(ev.pairs), impulse)),
            external_momentum=dt * push,
            external_energy=dot(dt * push, 0.5 * (state.v + after.v)),
            image_energy=torch.zeros_like(state.S),
            parts=1,
        )
        return conserving.Step(after, self._around(after.r, after.S), given)

    def _push(self, r: Tensor, t: float | Tensor) -> Tensor:
        if self._forcing is None:
            return torch.zeros_like(r)
        return torch.where(
            self._simulated[:, None],
            self._forcing.on(r, t, self.laws.mass_of(self.neighbours)),
            torch.zeros_like(r),
        )

    def _draw(self, pairs: Pairs, moment: Moment, like: Tensor) -> brackets.Noise:
        dim, dtype = like.shape[1], like.dtype
        found = self._noise.pair_numbers(pairs, moment, dim, dtype)
        if self.laws.bath is None:
            return found
        return replace(found, bath=self._noise.particle_numbers(moment, dim, dtype))
