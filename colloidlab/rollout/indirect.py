"""Indirect inference: what the filter's likelihood gets wrong, found on motion that the fitted laws themselves have made.

The filter leaves out correlations between particles and treats a frame as one step. Its likelihood is therefore not exactly
that of the laws, and its optimum lies off the truth by more than the data's scatter: noise some 10 % too low where the
localisation error is half the thermal displacement. But whatever it leaves out, it leaves out in a simulation too. From the
filtered state at the start of every stretch of the training block the laws are run forward in short steps, the
same particles are observed with the same errors, and the score of the likelihood is taken on what comes out. The laws sought
are those of which the data have the score that simulations have:

    G_data(theta) = G_simulated(theta)

Particles whose neighbourhood leaves the view follow the experiment.

References
----------
Gouriéroux, Monfort & Renault, J. Appl. Econometrics 8, S85 (1993); Gallant & Tauchen, Econometric Theory 12, 657 (1996).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.reference_state import ReferenceState, side_by_side
from colloidlab.dataset.split import Split
from colloidlab.dataset.windows import with_positions
from colloidlab.errors import RolloutStopped
from colloidlab.model import brackets
from colloidlab.model.filter import Filter
from colloidlab.model.filter_state import MATURE, FilterState
from colloidlab.model.laws import Laws
from colloidlab.model.scores import Stretch, join_stretches, read_values, set_values, stretch_score
from colloidlab.model.sequence import WindowSource
from colloidlab.model.tabulated import ranges_around, tabulate
from colloidlab.model.uncertainty import Expectation, ExpectedScore, Uncertainty, estimate_uncertainty
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.belief import draw_from
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.compiled import CompiledStep
from colloidlab.rollout.driven import stable_steps_per_frame
from colloidlab.rollout.free_motion import FreeMotion
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise
from colloidlab.rollout.prescription import Prescription
from colloidlab.rollout.state import State

_log = logging.getLogger(__name__)

ROUNDS = 2
_TOGETHER = 4000
"""Particles that are simulated at once: memory goes with their number, and threads have enough to do."""
_APART = 100_000
"""Between the seeds of parts, whose lengths are shorter."""
_PHASE, _DECAY = 0.4, 0.3
"""What a step of the simulation may turn and damp at most: errors of the integrator, of second order, would pass for errors
of the likelihood."""


def correct_laws(
    filter_: Filter,
    windows: WindowSource,
    split: Split,
    *,
    seed: int,
    rounds: int = ROUNDS,
    monitor: Monitor = SILENT,
) -> Uncertainty:
    """Move the fitted laws, in place, to those whose simulations have the data's score.

    Parameters
    ----------
    filter_ : Filter
        With fitted laws, whose free parameters require a gradient.
    windows : WindowSource
    split : Split
        Only the training block is read.
    seed : int
        Of the simulations; the same in every round, so that rounds differ by their laws only.
    rounds : int
        Steps, of which the best is kept; zero simulates nothing and only estimates the uncertainty.

    Returns
    -------
    Uncertainty
        Of the laws as they are left, the scatter of the simulation included; that of the likelihood alone where the fitted
        laws cannot be simulated.
    """
    if rounds == 0:
        return estimate_uncertainty(filter_, windows, split, monitor)
    here = anchor = read_values(filter_)
    estimate = partial(
        estimate_uncertainty,
        filter_,
        windows,
        split,
        monitor,
        expectation=expected_score(seed, monitor),
        anchor=anchor,
    )
    found: list[tuple[Tensor, Uncertainty]] = []
    try:
        for n in range(rounds + 1):
            set_values(filter_, here)
            uncertainty = estimate()
            equation = uncertainty.equation
            if equation is None or not equation.is_number:
                break
            found.append((here, uncertainty))
            if n < rounds:
                # The way leads over laws that are further off: far from its root a score is no straight line.
                here = here + equation.step().to(here)
    except RolloutStopped as error:
        _log.warning("no further correction: the laws that it came to cannot be simulated (%s)", error)
    there, best = _nearest(found) if found else (anchor, None)
    set_values(filter_, there)
    return estimate_uncertainty(filter_, windows, split, monitor) if best is None else best


def _nearest(found: list[tuple[Tensor, Uncertainty]]) -> tuple[Tensor, Uncertainty]:
    """The values whose scores are the nearest, by a scatter that is the same for all."""
    equations = [u.equation for _, u in found if u.equation is not None]
    scatter = torch.stack([e.scatter for e in equations]).mean(0)
    distances = [e.distance(scatter) for e in equations]
    return found[distances.index(min(distances))]


def expected_score(seed: int, monitor: Monitor = SILENT) -> Expectation:
    """The mean score of motion that a filter's laws make from the starts of its stretches."""

    def expectation(filter_: Filter, block: list[Stretch]) -> ExpectedScore:
        scores, count = [], 0.0
        simulated = simulate_stretches(filter_, block, seed=seed, monitor=monitor)
        for stretch in monitor.track(join_stretches(simulated), "simulated scores"):
            score, counted = stretch_score(filter_, stretch)
            scores.append(score)
            count += counted
        return ExpectedScore(torch.stack(scores).sum(0) / max(count, 1.0), count)

    return expectation


def simulate_stretches(
    filter_: Filter, block: list[Stretch], *, seed: int, monitor: Monitor = SILENT
) -> list[Stretch]:
    """The stretches as the laws might have made them: same starts, same particles and errors, other noise.

    Stretches of one length are simulated side by side, up to some thousand particles at once.

    Parameters
    ----------
    filter_ : Filter
    block : list of Stretch
    seed : int
    """
    generator = torch.Generator().manual_seed(seed)
    found: dict[int, Stretch] = {}
    for length in sorted({s.window.n_frames for s in block}):
        alike = [n for n, s in enumerate(block) if s.window.n_frames == length]
        for part, chosen in enumerate(_some_at_once(alike, [len(block[n].window.slot) for n in alike])):
            # Every part has noise of its own.
            drawn = seed + length + _APART * part
            made = _simulate_side_by_side(filter_, [block[n] for n in chosen], generator, drawn, monitor)
            found.update(zip(chosen, made, strict=True))
    return [found[n] for n in range(len(block))]


def _some_at_once(indices: list[int], sizes: list[int]) -> Iterator[list[int]]:
    """The indices in their order, in parts of at most `_TOGETHER` particles, or of one index."""
    part: list[int] = []
    total = 0
    for index, size in zip(indices, sizes, strict=True):
        if part and total + size > _TOGETHER:
            yield part
            part, total = [], 0
        part, total = [*part, index], total + size
    if part:
        yield part


def _simulate_side_by_side(
    filter_: Filter, block: list[Stretch], generator: torch.Generator, seed: int, monitor: Monitor
) -> list[Stretch]:
    laws = filter_.laws
    inside = [_simulated(s) for s in block]
    truths = [draw_state(filter_, s, generator) for s in block]
    plan = _side_by_side([_plan(*parts) for parts in zip(block, truths, inside, strict=True)])
    if not plan.simulated.any():
        return block
    sizes = [len(s.window.slot) for s in block]
    frames = _roll(laws, plan, np.repeat(np.arange(len(block)), sizes), seed, monitor)
    found = []
    for stretch, mine, r in zip(block, inside, torch.stack(frames).split(sizes, dim=1), strict=True):
        error = filter_.localisation_variance(stretch.window).detach().cpu().sqrt()
        seen = r + error * torch.randn(r.shape, generator=generator, dtype=r.dtype)
        positions = torch.where(mine[:, None].cpu(), seen, stretch.window.positions.cpu())
        found.append(replace(stretch, window=with_positions(stretch.window, positions, laws.cutoff)))
    return found


def _roll(laws: Laws, plan: Plan, member: np.ndarray, seed: int, monitor: Monitor) -> list[Tensor]:
    """Positions at every frame, shape (n, D) each; particles of different members do not meet."""
    laws = copy.deepcopy(laws).to("cpu", torch.float64)
    prescription = Prescription(plan, 1, torch.zeros((), dtype=torch.float64))
    state = prescription.start()
    neighbours = prescription.neighbours(laws, member)
    moving = _moving(laws, plan, state, neighbours, member, seed)
    steps = stable_steps_per_frame(laws, plan, phase=_PHASE, decay=_DECAY, member=member)
    frames = [state.r]
    for k in monitor.track(range(plan.n_frames - 1), "simulate"):
        for n in range(steps):
            moving.step(1 / steps, k * steps + n)
            held = prescription.hold(moving.state, k, (n + 1) / steps)
            if bool((torch.isfinite(held.S) != torch.isfinite(moving.state.S)).any()):
                neighbours.invalidate()
            moving.place(held)
        frames.append(moving.state.r)
    return frames


def _moving(
    laws: Laws, plan: Plan, state: State, neighbours: Neighbours, member: np.ndarray, seed: int
) -> CompiledStep | FreeMotion:
    """The state as it moves: compiled, where the laws are those of a fluid."""
    numbers = torch.as_tensor(member)
    noise = CounterNoise(torch.arange(len(member)), torch.full_like(numbers, seed))
    if laws.shear is not None:
        inside = torch.as_tensor(plan.simulated)
        free = FreeMotion(laws, neighbours, noise, "conserving", member=numbers, simulated=inside)
        free.place(state)
        return free
    with torch.no_grad():
        volume = brackets.mechanics(laws, neighbours.pairs(state.r), state.S).volume
    return CompiledStep(
        tabulate(laws, ranges_around(laws, state.S, volume)),
        state,
        neighbours,
        noise,
        member=member,
        watched=plan.simulated,
        threads=torch.get_num_threads(),
    )


def draw_state(filter_: Filter, stretch: Stretch, generator: torch.Generator) -> FilterState:
    """A possible truth at the start: positions, velocities and entropies as sure as the filter is of them.

    Raises
    ------
    RolloutStopped
        The filter has followed laws out of all numbers, and believes nothing.
    """
    with torch.no_grad():
        believed = filter_.step(stretch.start, stretch.window, 0)
    covariances = believed.filtered.rr, believed.filtered.rv, believed.filtered.vv
    if not all(bool(torch.isfinite(part).all()) for part in covariances):
        raise RolloutStopped(
            f"the filter's errors in frame {stretch.window.frames[0]} are not finite, so that nothing can start there"
        )
    return draw_from(believed.filtered.detach(), believed.evaluation.thermo.inv_c.detach(), generator)


def _simulated(stretch: Stretch) -> Tensor:
    """Who is simulated: particles in view with all neighbours throughout, whose velocity is known at the start."""
    window = stretch.window
    return (window.complete & window.present).all(0) & (stretch.start.age >= MATURE)


def _plan(stretch: Stretch, truth: FilterState, inside: Tensor) -> Plan:
    """The particles inside start at the truth; all others follow what the filter has found of them."""
    window = stretch.window
    absent = ~window.present
    r, v = stretch.path.clone(), stretch.velocity.clone()
    r[absent], v[absent] = torch.nan, torch.nan
    S = truth.S.expand(window.n_frames, -1).clone()
    S[absent] = torch.nan
    r[0, inside], v[0, inside] = truth.r[inside], truth.v[inside]
    r[1:, inside], v[1:, inside], S[1:, inside] = torch.nan, torch.nan, torch.nan
    return Plan(
        window.frames[0],
        window.slot,
        inside.cpu().numpy(),
        r.cpu().numpy(),
        v.cpu().numpy(),
        S.cpu().numpy(),
        window.scale.cpu().numpy(),
        None if window.box is None else window.box.cpu().numpy(),
        None if window.species is None else window.species.cpu().numpy(),
        None if window.reference is None else window.reference.to(torch.device("cpu"), torch.float64),
    )


def _side_by_side(plans: list[Plan]) -> Plan:
    """One plan of the particles of all, which have the same number of frames."""

    def joined(name: str, axis: int = 0) -> np.ndarray:
        return np.concatenate([getattr(p, name) for p in plans], axis=axis)

    return Plan(
        first=plans[0].first,
        particles=joined("particles"),
        simulated=joined("simulated"),
        r=joined("r", 1),
        v=joined("v", 1),
        S=joined("S", 1),
        scale=joined("scale"),
        box=plans[0].box,
        species=None if plans[0].species is None else joined("species"),
        reference=_joined_reference(plans),
    )


def _joined_reference(plans: list[Plan]) -> ReferenceState | None:
    states = [plan.reference for plan in plans if plan.reference is not None]
    return side_by_side(states, [len(plan.particles) for plan in plans]) if states else None
