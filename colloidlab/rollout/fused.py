"""The step in torch as a graph whose operations are fused: for GPUs, and for laws that are not put in tables.

In torch a step is some two thousand operations, each of which is launched by itself and writes its result to memory.
Here it is compiled first (`fused_graph`). One look at its end says whether the list of neighbours and the usual answers
were right: a list that was used up is made again, and a step that needs other answers is taken one operation after the
other. Both agree to round-off.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.ahead import sure
from colloidlab.rollout.free_motion import FreeMotion
from colloidlab.rollout.fused_graph import WORN, Place, PlaceGraph, StepGraph, compiled, listed, place_of
from colloidlab.rollout.motion import Fields, Given, Moved
from colloidlab.rollout.state import State

Found = TypeVar("Found")

_log = logging.getLogger(__name__)

STEPS_BEFORE = 4
"""Taken one operation after the other: they tell how often loops go round."""
TRIES, MOST_REFUSED = 50, 0.2
"""After so many steps a graph that was refused more often than this is made again, or given up."""

MOST_UNROLLED, MOST_GRAPHS = 8, 3
"""Parts of a step, each of which takes as long to compile as the first, and how often a graph is made."""

_STEPS_WORTH, _PARTICLES_A_LAUNCH = 5000, 250_000
"""Compiling costs as much as so many steps; launching the operations of one as much as their work for so many particles."""


def pays_to_fuse(device: torch.device, n: int, steps: int) -> bool:
    """Are so many steps of n particles done sooner where the step is compiled first?"""
    return device.type != "cpu" and steps * (1 + n / _PARTICLES_A_LAUNCH) > _STEPS_WORTH


class FusedMotion:
    """See `motion.Motion`.

    Parameters
    ----------
    plain : FreeMotion
        The same motion with a conserving integrator, which runs ahead; it takes the steps for which no graph holds.

    Attributes
    ----------
    n_fused : int
        Steps that a graph took.
    """

    def __init__(self, plain: FreeMotion) -> None:
        self._plain = plain
        self.neighbours = plain.neighbours
        self._t = 0.0
        self._usual: dict[str, int] = {}
        self._steps_before = 0
        self._graphs: _Graphs | None = None
        self._pays = True
        self._made = 0
        self.n_fused = 0

    @property
    def misses(self) -> int:
        """How often a table did not hold what it was asked."""
        return self._plain.misses

    def search_again(self) -> None:
        """Look for neighbours anew at the next configuration: particles have entered or left."""
        self.neighbours.invalidate()

    def place(self, state: State, t: float | None = None) -> Fields:
        """Go on from this state; see `motion.Motion`."""
        self._t = self._t if t is None else t
        place = self._by_graph(lambda graphs: graphs.place(state, self._t))
        if place is None:
            self._plain.place(state, self._t)
            place = place_of(self._plain.there)
        return self._go_on(state, place)

    def step(self, dt: float, index: int) -> Moved:
        """One step of length dt; see `motion.Motion`."""
        start, self._t = self._t, self.neighbours.end_of_step(self._t, dt, index)
        self._prepare(dt, index)
        moved = self._by_graph(lambda graphs: graphs.step(self._state, self._place, index, self._t))
        if moved is None:
            moved = self._one_after_the_other(dt, index, start)
        else:
            self.n_fused += 1
        state, place, given = moved
        self._volume = place.volume
        return Moved(state, self._go_on(state, place), given)

    def energy_at(self, S: Tensor) -> Tensor:
        """U of every particle with other entropies where the last step has ended, shape (n,)."""
        with torch.no_grad():
            return brackets.thermodynamics(self._plain.laws, S, self._volume)[0].U

    def _go_on(self, state: State, place: Place) -> Fields:
        self._state, self._place = state, place
        return Fields(place.temperature, place.U, place.internal)

    def _one_after_the_other(self, dt: float, index: int, start: float) -> tuple[State, Place, Given]:
        if self._plain.state is not self._state:
            self._plain.place(self._state, start)
        moved = self._plain.step(dt, index)
        self._steps_before += 1
        for name, number in self._plain.usual.items():
            self._usual[name] = max(number, self._usual.get(name, 1))
        return moved.state, place_of(self._plain.there), moved.given

    def _by_graph(self, ask: Callable[[_Graphs], Found | None]) -> Found | None:
        """What the graphs say, if there are any, and if they can."""
        if self._graphs is None:
            return None
        try:
            with torch.no_grad():
                return ask(self._graphs)
        except Exception as error:  # A compiler is missing, or cannot do it: the motion is the same without.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._give_up(f"the step could not be compiled ({reason}); it is")
            return None

    def _prepare(self, dt: float, index: int) -> None:
        """See that there are graphs for this step, where it is time for them, which takes a minute or more."""
        graphs = self._graphs
        if graphs is not None and graphs.dt == dt:
            if not graphs.is_refused_often:
                return
            if graphs.usual == self._usual:
                share = f"more than {100 * MOST_REFUSED:.0f} % of the steps"
                self._give_up(f"{share} cannot be taken as the one that was compiled; steps are")
                return
        if self._pays and self._steps_before >= STEPS_BEFORE:
            parts = self._usual.get("parts", 1)
            if self._made == MOST_GRAPHS or parts > MOST_UNROLLED:
                self._give_up(
                    f"steps in {parts} part(s) are too long to compile, or change too often; they are"
                )
                return
            began, self._made = time.monotonic(), self._made + 1
            _log.info("compiling the step")
            self._graphs = _Graphs(self._plain, dt, self._usual)
            self._by_graph(lambda made: made.try_out(self._state, self._place, index, self._t))
            if self._graphs is not None:
                _log.info("the step was compiled in %.0f s", time.monotonic() - began)

    def _give_up(self, why: str) -> None:
        _log.warning("%s taken one operation after the other", why)
        self._graphs, self._pays = None, False


class _Graphs:
    """The step and the laws at a configuration, compiled.

    Attributes
    ----------
    dt : float
    usual : dict of str to int
        What they are made for.
    is_refused_often : bool
        Have too many of the last steps asked for another one?
    """

    def __init__(self, plain: FreeMotion, dt: float, usual: dict[str, int]) -> None:
        self._neighbours = plain.neighbours
        self._step_graph, self._place_graph = StepGraph(plain, dt, usual), PlaceGraph(plain)
        self.dt, self.usual = dt, dict(usual)
        self.is_refused_often = False
        self._tries = self._refused = 0

    def try_out(self, state: State, place: Place, index: int, t: float) -> None:
        """Compile everything by running it once."""
        if self._neighbours.last is None:
            self._neighbours.search(state.r, t)
        found = listed(self._neighbours, t)
        if found is None:
            raise ValueError("hardly anybody meets")
        self._step = compiled(self._step_graph, *self._inputs(state, place, index), *found)
        self._place = compiled(self._place_graph, state.r, state.S, *found)
        self._step(*self._inputs(state, place, index), *found)
        self._place(state.r, state.S, *found)

    def place(self, state: State, t: float) -> Place | None:
        """The laws at a configuration; none where the list of neighbours or a table does not hold."""
        found = listed(self._neighbours, t)
        if found is None:
            return None
        *place, verdict = self._place(state.r, state.S, *found)
        return Place(*place) if sure(verdict == 0) else None

    def step(self, state: State, place: Place, index: int, t: float) -> tuple[State, Place, Given] | None:
        """A step that ends at time t; none where the graph does not hold for it."""
        moved = self._step_or_nothing(self._inputs(state, place, index), t)
        self._tries += 1
        self._refused += moved is None
        if self._tries >= TRIES:
            self.is_refused_often = self._refused > MOST_REFUSED * self._tries
            self._tries = self._refused = 0
        return moved

    def _step_or_nothing(self, inputs: tuple[Tensor, ...], t: float) -> tuple[State, Place, Given] | None:
        for _ in range(2):
            found = listed(self._neighbours, t)
            if found is None:
                break
            *after, verdict = self._step(*inputs, *found)
            seen = int(verdict)
            if seen == 0:
                return self._moved(after)
            if not seen & WORN:
                break
            # The drift has ended where it does with any list.
            self._neighbours.search(after[0], t)
        return None

    def _inputs(self, state: State, place: Place, index: int) -> tuple[Tensor, ...]:
        step = torch.full((), index, dtype=torch.int64, device=state.r.device)
        return state.r, state.v, state.S, place.force, place.image_power, step

    def _moved(self, after: list[Tensor]) -> tuple[State, Place, Given]:
        n = len(Place._fields)
        momentum, energy, outer_momentum, outer_energy, images = after[3 + n :]
        given = Given(momentum, energy, outer_momentum, outer_energy, images, self._step_graph.parts)
        return State(*after[:3]), Place(*after[3 : 3 + n]), given
