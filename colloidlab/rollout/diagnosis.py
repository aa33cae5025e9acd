"""Why a rollout has become non-finite, as far as the last good state tells."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from colloidlab.model import brackets, response
from colloidlab.model.laws import Laws
from colloidlab.rollout.state import State

_FAST_TURN, _STRONG_DRAG = 1.0, 1.0
"""Radians that an oscillation turns in a step, and share of a velocity that is damped, beyond which steps are too long."""

_OVERLAP = 0.2
"""Of the distance that nearest neighbours usually have."""

_FACTOR_OF_T = 20.0
"""From the median temperature, beyond which one counts as out of range."""


def non_finite(state: State, among: Tensor) -> Tensor:
    """Which of some particles have a state that is no number, bool of shape (n,)."""
    good = torch.isfinite(state.r).all(1) & torch.isfinite(state.v).all(1) & torch.isfinite(state.S)
    return among & ~good


def likely_cause(laws: Laws, state: State, ev: brackets.Evaluation, particle: int, dt: float) -> str:
    """What is wrong with a particle that the next step will lose, and what to do, as the end of a sentence.

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
    """
    if bool(non_finite(state, torch.ones_like(state.S, dtype=torch.bool))[particle]):
        return "it was not finite from the start; look at it in state.parquet, or choose another from_frame"
    stiffness = float(torch.linalg.eigvalsh(response.self_stiffness(ev)[particle]).max()) / laws.mass
    drag = float(torch.linalg.eigvalsh(response.self_friction(laws, ev)[particle]).max()) / laws.mass
    turn = math.sqrt(max(stiffness, 0.0)) * dt
    nearest, usual = _nearest(ev, particle)
    overlap = f"it overlaps with another ({nearest:.3g} px apart, {usual:.3g} px is usual)"
    crowded = nearest < _OVERLAP * usual
    if turn > _FAST_TURN or drag * dt > _STRONG_DRAG or not math.isfinite(turn + drag):
        what = f"stiffness (an oscillation turns by {turn:.2g} rad a step)"
        if drag * dt > max(turn, _STRONG_DRAG):
            what = f"friction (a velocity would be damped {drag * dt:.2g} times in a step)"
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
