"""The step in torch as a graph whose operations are fused: for GPUs, and for laws that are not put in tables.

In torch a step is some two thousand operations, each of which is launched by itself and writes its result to memory.
Here it is compiled first (`fused_graph`). One look at its end says whether the list of neighbours and the usual answers
were right: a list that was used up is made again, and a step that needs other answers is taken one operation after the
other. Both agree to round-off.
"""

from __future__ import annotations

import logging
import time

import torch
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.ahead import sure
from colloidlab.rollout.free_motion import FreeMotion
from colloidlab.rollout.fused_graph import WORN, Place, PlaceGraph, StepGraph, compiled, listed, place_of
from colloidlab.rollout.motion import Fields, Given, Moved
from colloidlab.rollout.state import State

_log = logging.getLogger(__name__)

STEPS_BEFORE = 4
"""Taken one operation after the other: they tell how often loops go round."""
TRIES, MOST_REFUSED = 50, 0.2
"""After so many steps a graph that was refused more often than this is made again, or given up."""

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
        with torch.no_grad():
            place = None if self._graphs is None else self._graphs.place(state, self._t)
        if place is None:
            self._plain.place(state, self._t)
            place = place_of(self._plain.there)
        return self._go_on(state, place)

    def step(self, dt: float, index: int) -> Moved:
        """One step of length dt; see `motion.Motion`."""
        start, self._t = self._t, self.neighbours.end_of_step(self._t, dt, index)
        moved = None
        if self._is_ready(dt, index) and self._graphs is not None:
            with torch.no_grad():
                moved = self._graphs.step(self._state, self._place, index, self._t)
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
        self._plain.place(self._state, start)
        moved = self._plain.step(dt, index)
        self._steps_before += 1
        for name, number in self._plain.usual.items():
            self._usual[name] = max(number, self._usual.get(name, 1))
        return moved.state, place_of(self._plain.there), moved.given

    def _is_ready(self, dt: float, index: int) -> bool:
        """Is there a graph for this step? Makes it where it is time, which takes a minute."""
        graphs = self._graphs
        if graphs is not None and graphs.is_for(dt) and not graphs.is_refused_often():
            return True
        if not self._pays or self._steps_before < STEPS_BEFORE:
            return False
        if graphs is not None and graphs.is_for(dt) and graphs.usual == self._usual:
            _log.warning(
                "more than %.0f %% of the steps need another step than the one that was compiled; they are taken one "
                "operation after the other",
                100 * MOST_REFUSED,
            )
            self._graphs, self._pays = None, False
            return False
        return self._make(dt, index)

    def _make(self, dt: float, index: int) -> bool:
        """Compile the step, and say whether that was possible."""
        self._graphs, began = None, time.monotonic()
        try:
            graphs = _Graphs(self._plain, dt, self._usual)
            with torch.no_grad():
                graphs.try_out(self._state, self._place, index, self._t)
        except Exception as error:  # A compiler is missing, or cannot do it: the motion is the same without.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            _log.warning(
                "the step could not be compiled (%s); it is taken one operation after the other", reason
            )
            self._pays = False
            return False
        _log.info("the step was compiled in %.0f s", time.monotonic() - began)
        self._graphs = graphs
        return True


class _Graphs:
    """The step and the laws at a configuration, compiled, and how often the step was refused."""

    def __init__(self, plain: FreeMotion, dt: float, usual: dict[str, int]) -> None:
        self._neighbours = plain.neighbours
        self._step_graph, self._place_graph = StepGraph(plain, dt, usual), PlaceGraph(plain)
        self.usual = dict(usual)
        self._tries = self._refused = 0

    def is_for(self, dt: float) -> bool:
        """Does it take steps of this length?"""
        return self._step_graph.dt == dt

    def is_refused_often(self) -> bool:
        """Of the last steps."""
        return self._tries >= TRIES and self._refused > MOST_REFUSED * self._tries

    def try_out(self, state: State, place: Place, index: int, t: float) -> None:
        """Compile everything by running it once."""
        if listed(self._neighbours, t) is None:
            self._neighbours.search(state.r, t)
        found = listed(self._neighbours, t)
        assert found is not None
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
        inputs = self._inputs(state, place, index)
        self._tries += 1
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
        self._refused += 1
        return None

    def _inputs(self, state: State, place: Place, index: int) -> tuple[Tensor, ...]:
        step = torch.full((), index, dtype=torch.int64, device=state.r.device)
        return state.r, state.v, state.S, place.force, place.image_power, step

    def _moved(self, after: list[Tensor]) -> tuple[State, Place, Given]:
        n = len(Place._fields)
        momentum, energy, outer_momentum, outer_energy, images = after[3 + n :]
        given = Given(momentum, energy, outer_momentum, outer_energy, images, self._step_graph.parts)
        return State(*after[:3]), Place(*after[3 : 3 + n]), given
