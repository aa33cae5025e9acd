"""When a rollout is of no use any more, and why, as far as the last good state tells."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from colloidlab.model import brackets, response
from colloidlab.model.laws import Laws
from colloidlab.rollout.boundary_speed import TOO_FAST
from colloidlab.rollout.state import State

_FAST_TURN, _STRONG_DRAG = 1.0, 1.0
"""Radians that an oscillation turns in a step, and share of a velocity that is damped, beyond which steps are too long."""

_OVERLAP = 0.2
"""Of the distance that nearest neighbours usually have."""

_FACTOR_OF_T = 20.0
"""From the median temperature, beyond which one counts as out of range."""


def non_finite(state: State) -> Tensor:
    """Whose state is no number, bool of shape (n,)."""
    return ~(torch.isfinite(state.r).all(1) & torch.isfinite(state.v).all(1) & torch.isfinite(state.S))


def lost(laws: Laws, state: State, dt: float) -> Tensor:
    """Whose state is no number, or who would cross the range of all forces in a step; bool of shape (n,)."""
    return non_finite(state) | (state.v.square().sum(1) * dt**2 > laws.cutoff**2)


def culprit(laws: Laws, state: State, ev: brackets.Evaluation, among: Tensor, dt: float) -> int:
    """With whom it began: in a step all neighbours are lost with the first one.

    Parameters
    ----------
    laws : Laws
    state : State
        The last good one.
    ev : Evaluation
        The laws there.
    among : bool tensor, shape (n,)
        Who was lost.
    dt : float
    """
    turn, drag = _rates(laws, ev)
    danger = torch.maximum(turn * dt, drag * dt)
    danger = torch.where(non_finite(state), torch.inf, danger)
    return int(torch.where(among, danger, -1.0).argmax())


def _rates(laws: Laws, ev: brackets.Evaluation) -> tuple[Tensor, Tensor]:
    """Frequency of the stiffest oscillation and rate of the strongest damping of every particle, shape (n,) each."""
    m = laws.mass_of(ev.pairs)
    stiffness = torch.linalg.matrix_norm(response.self_stiffness(ev)) / m
    drag = torch.linalg.matrix_norm(response.self_friction(laws, ev)) / m
    return torch.nan_to_num(stiffness, nan=torch.inf).sqrt(), torch.nan_to_num(drag, nan=torch.inf)


def likely_cause(
    laws: Laws, state: State, ev: brackets.Evaluation, particle: int, dt: float, wall: float = 0.0
) -> str:
    """What is wrong with a particle that was lost in the next step, and what to do, as the end of a sentence.

    Parameters
    ----------
    laws : Laws
    state : State
        The last one that is finite.
    ev : Evaluation
        The laws there.
    particle : int
        Row in the state.
    dt : float
    wall : float
        Largest speed of a prescribed particle near by.
    """
    if bool(non_finite(state)[particle]):
        return "it was not finite from the start; look at it in state.parquet, or choose another from_frame"
    turn, drag = (float(rate[particle]) * dt for rate in _rates(laws, ev))
    nearest, usual = _nearest(ev, particle)
    if wall * dt > TOO_FAST * usual:
        # First of all: what it drives into others overlaps, is stiff and becomes hot.
        return (
            f"the boundary near it moves by up to {wall * dt:.3g} px a step ({usual:.3g} px is the distance of neighbours), "
            "faster than others make way; raise steps_per_frame, or drive it more slowly"
        )
    overlap = f"it overlaps with another ({nearest:.3g} px apart, {usual:.3g} px is usual)"
    crowded = nearest < _OVERLAP * usual
    if turn > _FAST_TURN or drag > _STRONG_DRAG:
        what = f"stiffness (an oscillation turns by {turn:.2g} rad a step)"
        if drag > max(turn, _STRONG_DRAG):
            what = f"friction (a velocity would be damped {drag:.2g} times in a step)"
        why = f": {overlap}" if crowded else ""
        return f"the step is too long for its {what}{why}; raise steps_per_frame"
    if crowded:
        return f"{overlap}; raise steps_per_frame, or see whether the boundary is driven into the particles"
    temperature, median = float(ev.thermo.T[particle]), float(ev.thermo.T.nanmedian())
    if not median / _FACTOR_OF_T < temperature < median * _FACTOR_OF_T:
        return (
            f"its temperature, {temperature:.3g} px^2/frame^2, is out of the range of the others (median {median:.3g}); "
            "raise steps_per_frame, or simulate with the laws of an isothermal fit"
        )
    if not math.isfinite(nearest):
        return "it has lost all neighbours and left; choose another from_frame or fewer frames"
    return "nothing in its last state is unusual, so that the step is likely to be too long: raise steps_per_frame"


def _nearest(ev: brackets.Evaluation, particle: int) -> tuple[float, float]:
    """Distance of the nearest neighbour within the cutoff, infinite without one, and its median over all particles."""
    pairs = ev.pairs
    r = torch.where(pairs.x < 1, pairs.r, torch.full_like(pairs.r, math.inf))
    nearest = torch.full((pairs.n,), math.inf, dtype=r.dtype, device=r.device)
    nearest = nearest.scatter_reduce(0, torch.cat([pairs.i, pairs.j]), torch.cat([r, r]), "amin")
    seen = nearest[torch.isfinite(nearest)]
    return float(nearest[particle]), float(seen.median()) if len(seen) else math.inf
