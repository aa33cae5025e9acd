"""Second order in time: half a drift, a kick with friction at the mean velocity, half a drift."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.rollout.state import State

Draw = Callable[[Pairs], brackets.Noise]


def step(state: State, laws: Laws, pairs_at: Callable[[Tensor], Pairs], dt: float, draw: Draw) -> State:
    """One step; forces and friction are those at its middle.

    The weak error is of second order in dt for r and v at fixed entropies, so that a few steps a frame do; entropies
    move by Euler's rule.

    Parameters
    ----------
    state : State
    laws : Laws
    pairs_at : callable(r) -> Pairs
    dt : float
    draw : callable(pairs) -> brackets.Noise
        Standard normal numbers for these pairs.
    """
    r = state.r + 0.5 * dt * state.v
    ev = brackets.evaluate(laws, pairs_at(r), state.S)
    noise = draw(ev.pairs)
    kick, dS = brackets.noise_increment(laws, ev, state.v, noise, dt)
    mean = state.v + 0.5 * (dt * brackets.acceleration(laws, ev, state.v) + kick)
    v = state.v + dt * brackets.acceleration(laws, ev, mean) + kick
    S = state.S + dt * brackets.entropy_rate(laws, ev, state.v) + dS
    return State(r=r + 0.5 * dt * v, v=v, S=S)
