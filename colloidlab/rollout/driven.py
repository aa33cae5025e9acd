"""Rollouts driven by the experiment's boundary, several members at once, with exact budgets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from colloidlab.errors import RolloutStopped
from colloidlab.model import brackets, response
from colloidlab.model.ahead import Ahead, pays_on, sure
from colloidlab.model.laws import Laws
from colloidlab.model.tensors import each
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.books import Books, Budget
from colloidlab.rollout.boundary import Plan, Starts
from colloidlab.rollout.boundary_speed import SHARE_A_STEP, jump_of_boundary, speed_near
from colloidlab.rollout.compiled import CompiledMotion, can_compile, in_tables
from colloidlab.rollout.diagnosis import culprit, likely_cause, lost, non_finite
from colloidlab.rollout.forcing import Forcing
from colloidlab.rollout.free_motion import FreeMotion
from colloidlab.rollout.fused import FusedMotion, pays_to_fuse
from colloidlab.rollout.integrators import Integrator
from colloidlab.rollout.integrators.conserving import NoDraw
from colloidlab.rollout.motion import Fields, Motion
from colloidlab.rollout.noise import CounterNoise
from colloidlab.rollout.prescription import Prescription
from colloidlab.rollout.state import State

_PHASE, _LEAST_STEPS = 0.25, 4
MOST_STEPS = 200
"""A frame, where nobody asks for more."""

_DECAY: dict[Integrator, float] = {"conserving": 0.3, "implicit": math.inf, "euler_maruyama": 0.1}
"""Share of a velocity that a step may damp: the explicit scheme is of first order in it, the others divide their steps."""

FRAMES_A_STRETCH = 16
"""A rollout can be taken up after every so many frames."""


@dataclass(frozen=True)
class RolloutFrame:
    """All members at one frame.

    Attributes
    ----------
    r, v : float arrays, shape (members, n, D)
        NaN where a particle is absent.
    S, T : float arrays, shape (members, n)
    budget : Budget
    table_misses : int
        How often since the last frame, of all members together, a table did not hold what it was asked and the laws
        themselves answered.
    """

    r: np.ndarray
    v: np.ndarray
    S: np.ndarray
    T: np.ndarray
    budget: Budget
    table_misses: int = 0


@dataclass(frozen=True)
class Resume:
    """Where an interrupted rollout is taken up: the state of a frame that was yielded, bit by bit.

    Attributes
    ----------
    frame : int
        Counted from the first one of the plan; the last of a stretch, or any other, which then costs the identity of bits.
    r, v, S : arrays
        As in `RolloutFrame`.
    """

    frame: int
    r: np.ndarray
    v: np.ndarray
    S: np.ndarray


def stable_steps_per_frame(
    laws: Laws,
    plan: Plan,
    *,
    integrator: Integrator = "conserving",
    phase: float = _PHASE,
    decay: float | None = None,
    member: np.ndarray | None = None,
) -> int:
    """Integrator steps per frame that resolve the stiffest cage and the strongest friction at the start, and the boundary.

    A step turns no oscillation by more than `phase` radians and damps no velocity by more than the share `decay` [what
    suits the integrator]; no prescribed particle moves by more than a tenth of the distance of neighbours past others. No
    more than `MOST_STEPS`, which `needed_steps_per_frame` may be. `member`, shape (n,), says who meets whom [all].
    """
    needed = needed_steps_per_frame(
        laws, plan, integrator=integrator, phase=phase, decay=decay, member=member
    )
    return min(needed, MOST_STEPS)


def needed_steps_per_frame(
    laws: Laws,
    plan: Plan,
    *,
    integrator: Integrator = "conserving",
    phase: float = _PHASE,
    decay: float | None = None,
    member: np.ndarray | None = None,
) -> int:
    """The same without the bound."""
    decay = _DECAY[integrator] if decay is None else decay
    everyone = Prescription(plan, 1, _like(laws))
    neighbours = everyone.neighbours(laws, member)
    with torch.no_grad():
        state = everyone.start()
        ev = brackets.evaluate(laws, neighbours.pairs(state.r), state.S)
        inside = everyone.simulated
        stiffness, friction = (
            float((torch.linalg.eigvalsh(found) / each(laws.mass_of(ev.pairs), found[..., 0]))[inside].max())
            for found in (response.self_stiffness(ev), response.self_friction(laws, ev))
        )
    # Collective modes are up to sqrt(2) faster than a particle between still neighbours.
    passed = jump_of_boundary(plan, 1) / SHARE_A_STEP
    needed = max(math.sqrt(2 * max(stiffness, 0.0)) / phase, 2 * friction / decay, passed, _LEAST_STEPS)
    return math.ceil(needed)


def uses_tables(laws: Laws, integrator: Integrator, tables: bool) -> bool:
    """Do these laws, of a fluid, roll out in tables: compiled on processors, else in torch? Otherwise they answer."""
    return tables and integrator == "conserving" and laws.shear is None


def can_fuse(laws: Laws, integrator: Integrator) -> bool:
    """Can the operations of a step be compiled together: with a conserving integrator, for a fluid?

    The neighbourhoods of a solid's reference state change with who is in view, which a compiled step would not see.
    """
    return integrator != "euler_maruyama" and laws.shear is None


def roll_out(
    laws: Laws,
    plan: Plan,
    *,
    seeds: list[int],
    steps_per_frame: int,
    starts: Starts | None = None,
    integrator: Integrator = "conserving",
    forcing: Forcing | None = None,
    resume: Resume | None = None,
    tables: bool = True,
    fuse: bool | None = None,
    monitor: Monitor = SILENT,
) -> Iterator[RolloutFrame]:
    """Simulate the members side by side and yield every frame, the first included.

    Precision and device are those of the laws; the books are kept in double precision.

    Parameters
    ----------
    laws : Laws
    plan : Plan
    seeds : list of int
        One a member; the noise of a member depends only on its own seed.
    steps_per_frame : int
    starts : Starts, optional
        Of the members, as `belief.draw_starts` finds them [where the plan has all]; one that is taken up needs them too.
    integrator : str
        `conserving`; `implicit`, the same for stiff friction; or `euler_maruyama`, the published one.
    forcing : Forcing, optional
        Fields of force on the simulated particles.
    resume : Resume, optional
        Yield the frames after this one. The bits are those of a rollout that was never interrupted, if it is the last
        frame of a stretch (on a GPU, where sums have no fixed order, and fused, they agree to round-off at first).
    tables : bool
        Put the laws of fluids in tables, with the conserving integrator: compiled on processors, in torch elsewhere.
    fuse : bool, optional
        Compile the operations of steps in torch together, where `can_fuse` [on a GPU, where a rollout is so long that it
        pays].

    Raises
    ------
    RolloutStopped
        When a member becomes non-finite, or a particle crosses the range of all forces in a step: says the step, the
        member, the particle and the likely cause. Frames yielded before are good.
    """
    if fuse is None:
        moves = (plan.n_frames - 1) * steps_per_frame
        fuse = pays_to_fuse(_like(laws).device, len(plan.particles) * len(seeds), moves)
    simulation = _Simulation(
        laws, plan, seeds, starts, integrator, forcing, resume, tables, fuse, steps_per_frame
    )
    first = 0 if resume is None else resume.frame
    if resume is None:
        yield simulation.frame()
    for k in range(first, plan.n_frames - 1):
        monitor.update("roll out", k, plan.n_frames - 1)
        if (k + 1) % FRAMES_A_STRETCH == 0:
            # Sums depend on the order of the pairs in their last bit: an interrupted rollout has no older list.
            simulation.begin(k)
        for n in range(steps_per_frame):
            simulation.advance(k, n)
        yield simulation.frame()
    monitor.update("roll out", plan.n_frames - 1, plan.n_frames - 1)


def _like(laws: Laws) -> Tensor:
    """A tensor of the precision of the laws, where they are."""
    found = (x for x in chain(laws.parameters(), laws.buffers()) if x.is_floating_point())
    return next(found, torch.zeros((), dtype=torch.float64))


class _Simulation:
    """The state of all members between the motion by the laws, what is prescribed, and the books."""

    def __init__(
        self,
        laws: Laws,
        plan: Plan,
        seeds: list[int],
        starts: Starts | None,
        integrator: Integrator,
        forcing: Forcing | None,
        resume: Resume | None,
        tables: bool,
        fuse: bool,
        steps: int,
    ) -> None:
        like = _like(laws)
        self._steps, self._dt = steps, 1.0 / steps
        self.prescription = Prescription(plan, len(seeds), like, starts)
        member = torch.as_tensor(self.prescription.member, device=like.device)
        noise = CounterNoise(
            identity=torch.as_tensor(plan.particles, device=like.device).to(torch.int64).repeat(len(seeds)),
            seed=torch.tensor(seeds, dtype=torch.int64, device=like.device)[member],
        )
        self.neighbours = self.prescription.neighbours(laws)
        simulated = self.prescription.simulated
        self.laws: Laws = laws
        compiled = False
        if uses_tables(laws, integrator, tables):
            self.laws = in_tables(laws, self.prescription.start(), self.neighbours)
            compiled = can_compile(laws)
            if not compiled:
                self.laws = self.laws.to(device=like.device, dtype=like.dtype)
        what = self.laws, self.neighbours, noise, integrator
        who: Any = {"member": member, "simulated": simulated, "forcing": forcing}
        self.motion: Motion
        if compiled:
            self.motion = CompiledMotion(*what, **who)
        elif fuse and can_fuse(laws, integrator):
            self.motion = FusedMotion(FreeMotion(*what, **who, ahead=True))
        else:
            self.motion = FreeMotion(*what, **who)
        self.books = Books(self.laws.mass_of(self.neighbours), member, simulated)
        self._misses = 0
        self._ahead = Ahead() if pays_on(like.device) else None
        if resume is None:
            self.state = self.prescription.start()
        else:
            self.state = self.prescription.given(resume.r, resume.v, resume.S)
        self.begin(0 if resume is None else resume.frame)

    def begin(self, k: int) -> None:
        """Begin a stretch at frame k of the plan with nothing but the state."""
        self.motion.search_again()
        self.fields = self.motion.place(self.state, self._time(k, 0))
        self.books.open(self.fields, self.state)

    def _time(self, k: int, n: int) -> float:
        """At which step n of frame k begins, in the bits of the steps before it; it moves the images of a shear box."""
        return (k * self._steps + n) * self._dt

    def advance(self, k: int, n: int) -> None:
        """Step n of frame k by the laws, then the prescribed particles go where they belong."""
        steps = self._steps
        try:
            free = self.motion.step(self._dt, k * steps + n)
        except NoDraw as error:
            what = "became non-finite"
            if error.finite:
                fast = bool(lost(self.laws, self.state, self._dt)[error.failed].any())
                what = (
                    "ran away" if fast else "found no draw of the noise that leaves everybody a temperature"
                )
            raise self._stopped(error.failed, what, k, n) from None

        def go_on() -> tuple[Tensor, Fields]:
            self._check(free.state, k, n)
            warmed = self.motion.energy_at(held.S)
            return warmed, self.motion.place(held)

        with torch.no_grad():
            held = self.prescription.hold(free.state, k, (n + 1) / steps)
            if n + 1 == steps and self.prescription.traffic(k):
                self.motion.search_again()
            warmed, self.fields = go_on() if self._ahead is None else self._ahead(go_on)
            self.books.enter(free, held, self.fields, warmed)
        self.state = held

    def _check(self, free: State, k: int, n: int) -> None:
        bad = self.prescription.simulated & lost(self.laws, free, self._dt)
        if not sure(~bad.any()):
            what = "became non-finite" if bool(non_finite(free)[bad].any()) else "ran away"
            raise self._stopped(bad, what, k, n)

    def _stopped(self, bad: Tensor, what: str, k: int, n: int) -> RolloutStopped:
        """The error of a step after which these are of no use."""
        laws, dt, before = self.laws, self._dt, self.state
        ev = brackets.evaluate(laws, self.neighbours.pairs(before.r, self._time(k, n)), before.S)
        first = culprit(laws, before, ev, bad, dt)
        plan = self.prescription.plan
        member, row = divmod(first, len(plan.particles))
        here = before.r[first].to(torch.float64).cpu().numpy()
        wall = speed_near(plan, k, here, 2 * laws.cutoff)
        return RolloutStopped(
            f"the rollout {what} in step {n + 1} of {self._steps} before frame {plan.first + k + 1}: member {member}, "
            f"particle {plan.particles[row]}; {likely_cause(laws, before, ev, first, dt, wall)}"
        )

    def frame(self) -> RolloutFrame:
        """The state for the reader, and the books since the last frame."""
        state, arrays = self.state, self.prescription.arrays
        absent = ~torch.isfinite(state.S)
        T = torch.where(
            absent, torch.full_like(state.S, float("nan")), self.fields.temperature.to(state.S.dtype)
        )
        before, self._misses = self._misses, self.motion.misses
        return RolloutFrame(
            arrays(state.r),
            arrays(state.v),
            arrays(state.S),
            arrays(T),
            self.books.close(),
            self._misses - before,
        )
