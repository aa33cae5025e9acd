"""The scheme of the published method: v, then r with the new v, then S."""

from __future__ import annotations

from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.tensors import each
from colloidlab.rollout.state import State


def step(
    state: State,
    laws: Laws,
    ev: brackets.Evaluation,
    dt: float,
    noise: brackets.Noise,
    external: Tensor | None = None,
) -> State:
    """One step of symplectic Euler-Maruyama.

    Momentum is exact to round-off; energy drifts at first order in dt. All increments are
    evaluated at the old state, as the Itô form of the equations demands.

    Parameters
    ----------
    state : State
    ev : brackets.Evaluation
        The laws at `state`.
    dt : float
    noise : brackets.Noise
        Standard normal numbers, one row a pair.
    external : tensor, shape (n, D), optional
        Force from outside at `state`.
    """
    dv_noise, dS_noise = brackets.noise_increment(laws, ev, state.v, noise, dt)
    v = state.v + dt * brackets.acceleration(laws, ev, state.v) + dv_noise
    if external is not None:
        v = v + dt * external / each(laws.mass_of(ev.pairs), external)
    S = state.S + dt * brackets.entropy_rate(laws, ev, state.v) + dS_noise
    return State(r=state.r + dt * v, v=v, S=S)
