"""A bath: its temperature, its part of the noise, and the books of what it gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from small_gas import CUTOFF, SPACING, TEMPERATURE, thermal_gas

from colloidlab.errors import UsageError
from colloidlab.model import brackets, response
from colloidlab.model.bath import Bath
from colloidlab.model.laws import Laws
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.driven import roll_out
from colloidlab.rollout.integrators import euler_maruyama
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.state import State

DTYPE = torch.float64
GAMMA, T_BATH = 0.4, 0.3


def bathed(friction: float = 0.2) -> Laws:
    gas = thermal_gas(friction=friction)
    laws = Laws(gas.kernel, gas.energy, gas.amplitudes, CUTOFF, bath=Bath(GAMMA, T_BATH))
    return laws.requires_grad_(False)


def test_particles_far_apart_take_the_temperature_of_the_bath() -> None:
    """Ornstein-Uhlenbeck: <v^2> = k_B T_b/m and velocity correlation exp(-gamma t/m), to first order in the step."""
    laws, n, dt, steps = bathed(), 4000, 0.05, 200
    r = torch.arange(n, dtype=DTYPE)[:, None] * torch.tensor([[1e6, 0.0]], dtype=DTYPE)
    neighbours = Neighbours(CUTOFF, torch.ones(n, dtype=DTYPE))
    state = State(r, torch.zeros((n, 2), dtype=DTYPE), torch.zeros(n, dtype=DTYPE))
    generator = torch.Generator().manual_seed(3)
    for k in range(steps + 20):
        if k == steps:
            start = state.v
        ev = brackets.evaluate(laws, neighbours.pairs(state.r), state.S)
        noise = brackets.Noise(
            torch.zeros((len(ev.pairs.r), 2), dtype=DTYPE),
            torch.zeros(len(ev.pairs.r), dtype=DTYPE),
            torch.randn((n, 2), generator=generator, dtype=DTYPE),
        )
        state = euler_maruyama.step(state, laws, ev, dt, noise)
    expected = T_BATH / (1 - GAMMA * dt / 2)  # of this scheme, exactly
    standard = expected * np.sqrt(2 / (2 * n))
    assert abs(float(start.square().mean()) - expected) < 4 * standard
    correlation = float((start * state.v).mean() / start.square().mean())
    assert correlation == pytest.approx((1 - GAMMA * dt) ** 20, abs=4 / np.sqrt(2 * n))


@pytest.mark.parametrize(
    ("friction", "temperature"), [(0.0, 1.0), (-1.0, 1.0), (0.2, 0.0), (0.2, float("nan"))]
)
def test_a_bath_of_no_friction_or_temperature_is_refused(friction: float, temperature: float) -> None:
    with pytest.raises(UsageError, match="give both above 0"):
        Bath(friction, temperature)


def test_noise_and_drag_add_to_those_of_the_pairs() -> None:
    alone, both = thermal_gas(friction=0.2), bathed()
    r = torch.tensor([[0.0, 0.0], [0.4 * CUTOFF, 0.0]], dtype=DTYPE)
    pairs = Neighbours(CUTOFF, torch.ones(2, dtype=DTYPE)).pairs(r)
    S = torch.zeros(2, dtype=DTYPE)
    one, other = brackets.evaluate(alone, pairs, S), brackets.evaluate(both, pairs, S)
    noise = brackets.velocity_noise(both, other) - brackets.velocity_noise(alone, one)
    drag = response.self_friction(both, other) - response.self_friction(alone, one)
    eye = torch.eye(2, dtype=DTYPE).expand(2, 2, 2)
    assert torch.allclose(noise, 2 * GAMMA * T_BATH * eye)
    assert torch.allclose(drag, GAMMA * eye)
    mean = (
        response.LinearResponse(both, other).mean_self_friction()
        - response.LinearResponse(alone, one).mean_self_friction()
    )
    assert torch.allclose(mean, torch.full((2,), GAMMA, dtype=DTYPE))


def test_a_rollout_books_what_the_bath_gives() -> None:
    """Without pairs in reach nothing but the bath changes energy and momentum, so that no drift may remain."""
    laws, n, n_frames = bathed(), 6, 4
    r = np.zeros((n_frames, n, 2))
    r[:, :, 0] = 100 * SPACING * np.arange(n)
    plan = Plan(
        particles=np.arange(n),
        first=0,
        r=r,
        v=np.full((n_frames, n, 2), np.sqrt(TEMPERATURE)),
        S=np.zeros((n_frames, n)),
        simulated=np.ones(n, dtype=bool),
        scale=np.ones(n),
    )
    frames = list(roll_out(laws, plan, seeds=[1, 2], steps_per_frame=5))
    energy = np.array([f.budget.energy for f in frames])
    assert np.abs(np.diff(energy, axis=0)).min() > 1e-3
    for before, after in pairwise(frames):
        b = after.budget
        assert np.allclose(b.energy - before.budget.energy, b.heat, atol=1e-12)
        assert np.allclose(b.momentum - before.budget.momentum, b.impulse, atol=1e-12)
        assert np.abs(b.energy_drift).max() < 1e-12
        assert np.abs(b.momentum_drift).max() < 1e-12
