"""The scheme of the published method: v, then r with the new v, then S."""

from __future__ import annotations

import torch

from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.rollout.state import State


def step(state: State, laws: Laws, pairs: Pairs, dt: float, generator: torch.Generator, volume: torch.Tensor | None) -> State:
    """One step of symplectic Euler-Maruyama.

    Momentum is exact to round-off; energy drifts at first order in dt. All increments are
    evaluated at the old state, as the Itô form of the equations demands.

    Parameters
    ----------
    state : State
    pairs : Pairs
        At the positions of `state`.
    dt : float
    generator : torch.Generator
        Source of the noise, consumed in the order of the pairs.
    volume : tensor, shape (n,), optional
        See `brackets.evaluate`.
    """
    ev = brackets.evaluate(laws, pairs, state.S, volume=volume)
    dim = state.r.shape[1]
    numbers = torch.randn((len(pairs.r), dim + 1), generator=generator, dtype=state.r.dtype, device=state.r.device)
    noise = brackets.Noise(impulse=numbers[:, :dim], heat=numbers[:, dim])
    dv_noise, dS_noise = brackets.noise_increment(laws, ev, state.v, noise, dt)
    v = state.v + dt * brackets.acceleration(laws, ev, state.v) + dv_noise
    S = state.S + dt * brackets.entropy_rate(laws, ev, state.v) + dS_noise
    return State(r=state.r + dt * v, v=v, S=S)
