"""The published integrator: exact momentum, right moments of a step, and the laws of equilibrium at small steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from small_gas import CUTOFF, SPACING, TEMPERATURE, thermal_gas

from colloidlab.dataset.graph import find_pairs
from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.rollout.integrators import euler_maruyama
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.state import State

DTYPE = torch.float64


def normal(pairs: Pairs, generator: torch.Generator) -> brackets.Noise:
    numbers = torch.randn((len(pairs.r), 3), generator=generator, dtype=DTYPE)
    return brackets.Noise(impulse=numbers[:, :2], heat=numbers[:, 2])


def thermal_state(laws: Laws, n: int, seed: int, spread: float = 0.0) -> tuple[State, Neighbours]:
    """Uncorrelated positions in a periodic box, thermal velocities of zero total, ln T of a given spread."""
    rng = np.random.default_rng(seed)
    box = max(SPACING * math.sqrt(n), 2 * CUTOFF)
    r = torch.as_tensor(rng.uniform(0, box, (n, 2)))
    v = rng.normal(0, math.sqrt(TEMPERATURE), (n, 2))
    neighbours = Neighbours(CUTOFF, torch.ones(n, dtype=DTYPE), box=np.array([box, box]))
    V = brackets.evaluate(laws, neighbours.pairs(r), torch.zeros(n, dtype=DTYPE)).volume
    T = TEMPERATURE * torch.as_tensor(np.exp(spread * rng.normal(size=n)))
    return State(r=r, v=torch.as_tensor(v - v.mean(axis=0)), S=laws.energy.entropy(T, V)), neighbours


@pytest.mark.parametrize("periodic", [True, False])
def test_momentum_is_kept_to_round_off(periodic: bool) -> None:
    laws = thermal_gas()
    n, dt = 25, 0.05
    state, neighbours = thermal_state(laws, n, seed=1, spread=0.3)
    if not periodic:
        neighbours = Neighbours(CUTOFF, torch.ones(n, dtype=DTYPE))
    generator = torch.Generator().manual_seed(1)
    boost = torch.tensor([0.7, -0.2], dtype=DTYPE)
    state = State(state.r, state.v + boost, state.S)
    before = state.v.sum(0)
    for _ in range(1000):
        ev = brackets.evaluate(laws, neighbours.pairs(state.r), state.S)
        state = euler_maruyama.step(state, laws, ev, dt, normal(ev.pairs, generator))
    # 1000 steps of round-off, as a random walk, in sums of some dozen kicks of size near 1.
    assert float((state.v.sum(0) - before).abs().max() / before.abs().max()) < 1e-13


def one_step(laws: Laws, state: State, pairs: Pairs, dt: float, seed: int) -> State:
    ev = brackets.evaluate(laws, pairs, state.S)
    return euler_maruyama.step(state, laws, ev, dt, normal(pairs, torch.Generator().manual_seed(seed)))


def copies(laws: Laws, n: int, m: int, seed: int) -> tuple[State, Pairs]:
    """m non-interacting copies of one open cluster, so that one step samples the noise m times."""
    state, _ = thermal_state(laws, n, seed, spread=0.3)
    # A cluster whose members all interact.
    r = 0.25 * CUTOFF * torch.randn((n, 2), dtype=DTYPE, generator=torch.Generator().manual_seed(seed))
    index = torch.as_tensor(find_pairs(r.numpy(), CUTOFF))
    every = torch.cat([index + n * k for k in range(m)], dim=1)
    pairs = pair_geometry(r.repeat(m, 1), every, CUTOFF, torch.ones(n * m, dtype=DTYPE))
    return State(r.repeat(m, 1), state.v.repeat(m, 1), state.S.repeat(m)), pairs


def test_mean_and_covariance_of_one_step() -> None:
    """Mean (acceleration, entropy rate) dt and marginal covariance 2 k_B M dt, from 40 000 independent steps."""
    laws, n, m, dt = thermal_gas(), 4, 40_000, 0.02
    state, pairs = copies(laws, n, m, seed=5)
    after = one_step(laws, state, pairs, dt, seed=2)
    jump = torch.cat([after.v - state.v, (after.S - state.S)[:, None]], dim=1).reshape(m, n, 3).numpy()
    ev = brackets.evaluate(laws, pairs, state.S)
    drift = torch.cat(
        [
            brackets.acceleration(laws, ev, state.v)[:n],
            brackets.entropy_rate(laws, ev, state.v)[:n, None],
        ],
        dim=1,
    ).numpy()
    vv, vS, SS = (x[:n].numpy() for x in brackets.marginal_covariance(laws, ev, state.v))
    assert np.all(np.linalg.eigvalsh(vv) > 0)
    least = 1e-3 / (3 * n)  # p > 1e-3 for the whole family of 3 n tests
    for i in range(n):
        C = dt * np.block([[vv[i], vS[i][:, None]], [vS[i][None], SS[i][None, None]]])
        white = np.linalg.solve(np.linalg.cholesky(C), (jump[:, i] - dt * drift[i]).T)
        # Sums of squares are chi^2: 3 for the mean, 3 m for the variances.
        assert chi2.sf(m * float((white.mean(axis=1) ** 2).sum()), 3) > least
        assert least < chi2.sf(float((white**2).sum()), 3 * m) < 1 - least
        off = (white @ white.T / m)[np.triu_indices(3, 1)]
        assert chi2.sf(m * float((off**2).sum()), 3) > least
    # Velocities of a pair are kicked oppositely: covariance between particles is minus 2 k_B K_ij dt.
    K = brackets.pair_matrix(ev.k_perp, ev.k_par, pairs.e)[0].numpy()
    i, j = int(pairs.i[0]), int(pairs.j[0])
    found = np.einsum("ma,mb->ab", jump[:, i, :2] - dt * drift[i, :2], jump[:, j, :2] - dt * drift[j, :2]) / m
    error = dt * np.sqrt(np.outer(np.diag(vv[i]), np.diag(vv[j])) * 2 / m)
    assert np.all(np.abs(found + 2 * laws.k_B * dt * K) < 4 * error)


def test_energy_drift_is_first_order_in_the_step() -> None:
    """The mean energy made over a fixed time halves with the step; 64 copies of a cluster tame its fluctuation."""
    laws, n, m, time = thermal_gas(friction=0.5), 12, 64, 1.6
    made = []
    for steps in (4, 8, 16):
        state, pairs = copies(laws, n, m, seed=6)
        generator = torch.Generator().manual_seed(3)
        index = torch.stack([pairs.i, pairs.j])
        every = pairs
        energies = []
        for k in range(steps + 1):
            ev = brackets.evaluate(laws, every, state.S)
            kinetic, internal = brackets.total_energy(laws, ev, state.v)
            energies.append((kinetic + internal).reshape(m, n).sum(1))
            if k < steps:
                state = euler_maruyama.step(state, laws, ev, time / steps, normal(every, generator))
                every = pair_geometry(state.r, index, CUTOFF, torch.ones(n * m, dtype=DTYPE))
        change = energies[-1] - energies[0]
        made.append((float(change.mean()), float(change.std() / m**0.5)))
    (a, da), (b, db), (c, dc) = made
    # First order: each drift is twice the next, up to the next order (a quarter) and three standard errors.
    assert a > 10 * da
    assert abs(a - 2 * b) < 3 * math.hypot(da, 2 * db) + 0.25 * abs(a)
    assert abs(b - 2 * c) < 3 * math.hypot(db, 2 * dc) + 0.25 * abs(b)


def test_noise_is_the_square_root_of_the_friction() -> None:
    """chi^2 of pair impulses against 2 k_B K dt, along and across the line of centres."""
    laws, dt = thermal_gas(), 0.05
    state, pairs = copies(laws, 2, 20_000, seed=8)
    ev = brackets.evaluate(laws, pairs, state.S)
    dv, _ = brackets.noise_increment(laws, ev, state.v, normal(pairs, torch.Generator().manual_seed(5)), dt)
    kick = dv[pairs.i]
    along = (kick * pairs.e).sum(1)
    across = kick[:, 0] * pairs.e[:, 1] - kick[:, 1] * pairs.e[:, 0]
    for component, k in ((along, ev.k_par), (across, ev.k_perp)):
        total = float((component**2 / (2 * laws.k_B * k * dt)).sum())
        assert 1e-3 < chi2.sf(total, len(pairs.r)) < 1 - 1e-3


def conduct(laws: Laws, hot: float, cold: float, seed: int, m: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Energy gained in one step by both ends of pairs at rest at two temperatures."""
    dt = 0.5
    state, pairs = copies(laws, 2, m, seed=9)
    ev = brackets.evaluate(laws, pairs, state.S)
    T = torch.tensor([hot, cold], dtype=DTYPE).repeat(m)
    state = State(state.r, torch.zeros_like(state.v), laws.energy.entropy(T, ev.volume))
    ev = brackets.evaluate(laws, pairs, state.S)
    after = one_step(laws, state, pairs, dt, seed)
    # At fixed volume, so that only heat counts.
    gained = (laws.energy(after.S, ev.volume).U - ev.thermo.U).reshape(m, 2).numpy()
    return gained[:, 0], gained[:, 1]


def test_heat_flows_from_hot_to_cold_and_not_between_equals() -> None:
    laws = thermal_gas(friction=1e-9, conduction=0.02)
    first, second = conduct(laws, 1.5 * TEMPERATURE, TEMPERATURE, seed=4)
    standard = (first - second).std() / len(first) ** 0.5
    assert (second - first).mean() > 5 * standard
    first, second = conduct(laws, TEMPERATURE, TEMPERATURE, seed=4)
    standard = (first - second).std() / len(first) ** 0.5
    assert abs((second - first).mean()) < 3.5 * standard


def test_equipartition_of_relative_motion() -> None:
    """< m |v_ij|^2 / (2 D) (theta_i + theta_j) / 2 > = k_B, with theta = (1 - k_B/c)/T: exact for every U and N.

    Started in equilibrium (canonical velocities at one temperature; small heat capacity makes the k_B terms count).
    """
    laws, dt = thermal_gas(heat_capacity=5.0, friction=1.0), 0.05
    generator = torch.Generator().manual_seed(7)
    state, neighbours = thermal_state(laws, 250, seed=1)
    samples = []
    for k in range(900):
        ev = brackets.evaluate(laws, neighbours.pairs(state.r), state.S)
        if k >= 200:
            p = ev.pairs
            near = p.x < 1
            u2 = (state.v[p.i] - state.v[p.j]).square().sum(1)
            samples.append(float((u2 * (ev.theta[p.i] + ev.theta[p.j]) / 8)[near].mean()))
        state = euler_maruyama.step(state, laws, ev, dt, normal(ev.pairs, generator))
    blocks = [float(np.mean(b)) for b in np.array_split(samples, 10)]
    error = float(np.std(blocks, ddof=1) / len(blocks) ** 0.5)
    # The kick and the drag of one step leave kinetic energy too high by the drag times dt/2, at first order.
    assert abs(np.mean(blocks) - laws.k_B) < 3 * error + 0.5 * dt
    assert error < 0.03  # so that leaving the k_B terms out, which costs a fifth at c = 5, would be seen
