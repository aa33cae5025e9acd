"""The conserving integrator: budgets to round-off, and the exact laws of equilibrium where the k_B terms matter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import random_laws
import torch
from small_gas import CUTOFF, SPACING, TEMPERATURE, VOLUME, thermal_gas
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.analytic import ideal_gas
from colloidlab.model.bath import Bath
from colloidlab.model.inversion import entropy_of_energy
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.model.strain import unstrained
from colloidlab.rollout.integrators import conserving, euler_maruyama
from colloidlab.rollout.integrators.dissipation import dissipate, fell_too_far, parts_needed
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise, Moment
from colloidlab.rollout.state import State

DTYPE = torch.float64


@dataclass
class Copies:
    """Independent periodic boxes of the same gas, side by side, in equilibrium or not."""

    laws: Laws
    state: State
    there: brackets.Mechanics
    neighbours: Neighbours
    noise: CounterNoise
    member: Tensor
    count: int

    def around(self, r: Tensor, S: Tensor) -> brackets.Mechanics:
        return brackets.mechanics(self.laws, self.neighbours.pairs(r), S)

    def draw(self, pairs: Pairs, moment: Moment) -> brackets.Noise:
        found = self.noise.pair_numbers(pairs, moment, 2, DTYPE)
        if self.laws.bath is None:
            return found
        return brackets.Noise(found.impulse, found.heat, self.noise.particle_numbers(moment, 2, DTYPE))

    def step(self, dt: float, n: int, **options: Any) -> conserving.Step:
        done = conserving.step(
            self.state,
            self.laws,
            self.there,
            self.around,
            dt,
            lambda pairs, part, attempt: self.draw(pairs, Moment(n, part, attempt)),
            member=self.member,
            **options,
        )
        self.state, self.there = done.state, done.mechanics
        return done

    def energies(self) -> tuple[Tensor, Tensor]:
        """Kinetic energy of every copy, shape (m,), and U of its particles, shape (m, n)."""
        kinetic, internal = brackets.total_energy(self.laws, self.there, self.state.v)
        return kinetic.reshape(self.count, -1).sum(1), internal.reshape(self.count, -1)


def copies(laws: Laws, n: int, m: int, *, seed: int = 1) -> Copies:
    """m boxes of n particles at random places, with canonical velocities and energies."""
    rng = np.random.default_rng(seed)
    box = SPACING * math.sqrt(n)
    r = torch.as_tensor(rng.uniform(0, box, (m * n, 2)))
    member = torch.arange(m).repeat_interleave(n)
    scale = torch.ones(m * n, dtype=DTYPE)
    neighbours = Neighbours(CUTOFF, scale, member=member.numpy(), box=np.array([box, box]))
    noise = CounterNoise(torch.arange(n).repeat(m), seed + member)
    rest = State(r, torch.zeros_like(r), torch.zeros(m * n, dtype=DTYPE))
    gas = Copies(
        laws, rest, brackets.evaluate(laws, neighbours.pairs(r), rest.S), neighbours, noise, member, m
    )
    draw_canonical(gas, seed)
    return gas


def draw_canonical(gas: Copies, seed: int) -> None:
    """Thermal velocities of no total momentum, and energies U ~ Gamma(c), at the same places."""
    rng = np.random.default_rng(seed)
    v = rng.normal(0, math.sqrt(TEMPERATURE), (gas.count, len(gas.member) // gas.count, 2))
    v = torch.as_tensor((v - v.mean(1, keepdims=True)).reshape(-1, 2))
    c = (1 / gas.there.thermo.inv_c).numpy()
    S = entropy_of_energy(gas.laws, gas.there, torch.as_tensor(rng.gamma(c)) * TEMPERATURE, gas.state.S)
    gas.state, gas.there = State(gas.state.r, v, S), brackets.at_entropy(gas.laws, gas.there, S)


@pytest.mark.parametrize(("implicit", "n_steps"), [(False, 1000), (True, 200)])
def test_momentum_is_kept(implicit: bool, n_steps: int) -> None:
    gas = copies(thermal_gas(), 12, 1)
    boost = torch.tensor([0.7, -0.2], dtype=DTYPE)
    gas.state = State(gas.state.r, gas.state.v + boost, gas.state.S)
    before = gas.state.v.sum(0)
    for n in range(n_steps):
        gas.step(0.05, n, implicit=implicit)
    assert float((gas.state.v.sum(0) - before).abs().max() / before.abs().max()) < 1e-13


def test_energy_drifts_a_thousand_times_less_than_in_the_published_scheme() -> None:
    """Gas of c = 20, friction of .05 a step: energy made in 200 steps, mean of 32 boxes."""
    laws, dt, n_steps = thermal_gas(friction=0.4), 0.125, 200
    gas = copies(laws, 25, 32)
    total = [sum(part.sum() for part in gas.energies())]
    start = gas.state
    for n in range(n_steps):
        gas.step(dt, n)
    total.append(sum(part.sum() for part in gas.energies()))
    state = start
    for n in range(n_steps):
        ev = brackets.with_friction(laws, gas.around(state.r, state.S))
        state = euler_maruyama.step(state, laws, ev, dt, gas.draw(ev.pairs, Moment(n)))
    gas.state, gas.there = state, gas.around(state.r, state.S)
    total.append(sum(part.sum() for part in gas.energies()))
    ours, published = (abs(float(x - total[0])) / (800 * TEMPERATURE) for x in total[1:])
    assert published > 1000 * ours


def test_the_energy_that_a_bath_gives_is_booked() -> None:
    gas = copies(thermal_gas(), 25, 2)
    gas.laws.bath = Bath(0.3, 2 * TEMPERATURE)
    with torch.no_grad():
        # Positions held: only the dissipative step, whose books are exact.
        time = torch.full((50,), 0.1, dtype=DTYPE)
        v, S, ev = gas.state.v, gas.state.S, brackets.with_friction(gas.laws, gas.there)
        before = sum(part.sum() for part in brackets.total_energy(gas.laws, ev, v))
        momentum, given, pushed = v.sum(0), 0.0, torch.zeros(2, dtype=DTYPE)
        for n in range(50):
            done = dissipate(gas.laws, ev, v, S, time, gas.draw(ev.pairs, Moment(n)))
            v, S = done.v, done.S
            ev = brackets.with_friction(gas.laws, brackets.at_entropy(gas.laws, ev, S))
            given, pushed = given + float(done.bath_energy.sum()), pushed + done.bath_momentum.sum(0)
        after = sum(part.sum() for part in brackets.total_energy(gas.laws, ev, v))
    assert abs(given) > 1
    assert float(after - before) == pytest.approx(given, abs=1e-11)
    assert torch.allclose(v.sum(0) - momentum, pushed, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_energies_of_a_closed_box_have_the_law_of_dirichlet() -> None:
    """(KE, U_1 ... U_N)/E ~ Dirichlet(D (N - 1)/2, c, ..., c) with k_B = 1, wherever the particles are.

    With c = 5 the kinetic energy would be 6 per cent too low if the terms of k_B were left out.
    """
    c, n, m, dt, n_steps = 5.0, 16, 60, 0.125, 200
    laws = thermal_gas(heat_capacity=c, friction=0.6, conduction=0.05)
    laws.energy = ideal_gas(c, 1.0, TEMPERATURE, VOLUME).requires_grad_(False)
    gas = copies(laws, n, m)
    # Crowded places empty first: while they do, their pressure drives particles apart and keeps the motion too lively.
    for k in range(100):
        gas.step(0.25, k)
    draw_canonical(gas, seed=2)
    share, largest = [], []
    for k in range(n_steps):
        gas.step(dt, 1000 + k)
        if k % 4 == 0:
            kinetic, internal = gas.energies()
            total = kinetic + internal.sum(1)
            share.append((kinetic / total).numpy())
            largest.append(((internal / total[:, None]).var(1, correction=1)).numpy())
    a = n - 1.0
    alpha = a + n * c
    # Mean over the time of each box: boxes are independent.
    exact = (a / alpha, c / (alpha * (alpha + 1)))
    for found, expected, precision in zip((share, largest), exact, (0.02, 0.05), strict=True):
        means = np.mean(found, axis=0)
        error = means.std(ddof=1) / m**0.5
        assert error < precision * expected
        assert abs(means.mean() - expected) < 3.5 * error


CONDUCTORS: dict[str, Callable[[], Laws]] = {
    "gas": lambda: thermal_gas(conduction=0.02),
    "networks": lambda: random_laws.published(2, 1).requires_grad_(False),
    "sum of exponentials": lambda: random_laws.fluid(1),
    "solid": lambda: random_laws.solid(1),
    "tables": lambda: random_laws.tables(1),
    "attraction": lambda: random_laws.cohesive(1),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", CONDUCTORS)
def test_heat_flows_from_hot_to_cold_and_not_between_equals(name: str, dtype: torch.dtype) -> None:
    """Energy passed in a step of pairs at rest; equal temperatures of equal particles pass none on average."""
    m, laws = 8_000, CONDUCTORS[name]().to(dtype)
    r = torch.tensor([[0.0, 0.0], [0.4 * laws.cutoff, 0.0]], dtype=dtype).repeat(m, 1)
    member = torch.arange(m).repeat_interleave(2)
    neighbours = Neighbours(laws.cutoff, torch.ones(2 * m, dtype=dtype), member=member.numpy())
    pairs = neighbours.pairs(r)
    drawn = CounterNoise(torch.arange(2).repeat(m), member).pair_numbers(pairs, Moment(0), 2, dtype)
    # Nothing moves, so that heat alone changes hands.
    v, noise = torch.zeros_like(r), replace(drawn, impulse=torch.zeros_like(drawn.impulse))

    # A solid is sheared, which is a part of its energy.
    sheared = replace(unstrained(2 * m, 2, r), invariant=torch.full_like(r[:, 0], 0.3))
    pairs = pairs if laws.shear is None else replace(pairs, strain=sheared)

    def passed(hotter: float) -> tuple[float, float, float]:
        """Mean gain of the second of a pair, its error, and how much hotter the first is; in units of c T and of T."""
        S = torch.tensor([hotter, 0.0], dtype=dtype).repeat(m)
        with torch.no_grad():
            ev = brackets.evaluate(laws, pairs, S)
            T, c = ev.thermo.T[1], 1 / ev.thermo.inv_c[1]
            dt = 0.02 * c * T**2 / ev.amplitudes.C2[0]
            done = dissipate(laws, ev, v, S, dt.expand_as(S), noise)
            after = brackets.at_entropy(laws, ev, done.S).thermo.U
        gained = ((after - ev.thermo.U) / (c * T)).reshape(m, 2).double()
        assert float(gained.sum(1).abs().max()) < (1e-12 if dtype == torch.float64 else 1e-4)
        step = float(gained[:, 1].std()) / m**0.5
        return float(gained[:, 1].mean()), step, float(ev.thermo.T[0] / T) - 1

    with torch.no_grad():
        c = float(1 / brackets.mechanics(laws, pairs, torch.zeros_like(r[:, 0])).thermo.inv_c[1])
    gain, error, hotter = passed(0.4 * c)
    assert hotter > 0.2 and gain > 5 * error
    gain, error, hotter = passed(0.0)
    assert abs(hotter) < 1e-6 and error > 0 and abs(gain) < 3.5 * error


def test_a_box_that_must_be_divided_does_not_change_its_neighbours() -> None:
    """Stiff friction in one box of two divides its step; the other box moves as if it were alone."""
    calm = copies(thermal_gas(friction=0.1), 25, 1)
    both = copies(thermal_gas(friction=0.1), 25, 2)
    # The first box of both is the calm one; particles of the second are so close that all touch.
    r = both.state.r.clone()
    r[:25], r[25:] = calm.state.r, 0.2 * both.state.r[25:]
    S, v = both.state.S.clone(), both.state.v.clone()
    S[:25], v[:25] = calm.state.S, calm.state.v
    both.noise = CounterNoise(both.noise.identity, torch.full_like(both.member, 1) + both.member)
    both.state = State(r, v, S)
    both.there = both.around(r, S)
    alone, beside = calm.step(1.0, 0), both.step(1.0, 0)
    assert alone.given.parts < beside.given.parts
    for name in ("r", "v", "S"):
        found, expected = getattr(beside.state, name)[:25], getattr(alone.state, name)
        assert torch.allclose(found, expected, rtol=0, atol=1e-12)


def test_parts_grow_with_friction_and_not_where_it_is_solved_for() -> None:
    needed = {}
    for friction in (0.1, 5.0):
        gas = copies(thermal_gas(friction=friction), 25, 1)
        for implicit in (False, True):
            found = parts_needed(
                gas.laws, brackets.with_friction(gas.laws, gas.there), gas.state.v, 1.0, implicit=implicit
            )
            needed[friction, implicit] = float(found.max())
    assert needed[5.0, False] > 10 * needed[0.1, False]
    assert needed[5.0, True] < 0.5 * needed[5.0, False]


def test_a_draw_that_takes_too_much_heat_is_drawn_again() -> None:
    """Heat capacities near one, and a heat that is worth all of it: some draws leave no energy."""
    gas = copies(thermal_gas(heat_capacity=1.5, conduction=0.02), 25, 1)
    time = torch.full((25,), 20.0, dtype=DTYPE)
    ev = brackets.with_friction(gas.laws, gas.there)
    done = dissipate(gas.laws, ev, gas.state.v, gas.state.S, time, gas.draw(ev.pairs, Moment(0)))
    assert bool(fell_too_far(gas.there, gas.state.S, done.S).any())
    for n in range(3):
        before = gas.state.S
        gas.step(0.2, n)
        assert bool(torch.isfinite(gas.state.S).all())
        assert not torch.equal(gas.state.S, before)


def test_entropy_of_energy_inverts_the_energy() -> None:
    gas = copies(thermal_gas(heat_capacity=5.0), 40, 1)
    U = gas.there.thermo.U
    for factor in (1e-3, 0.3, 1.0, 4.0, 1e3):
        S = entropy_of_energy(gas.laws, gas.there, factor * U, gas.state.S)
        again = brackets.at_entropy(gas.laws, gas.there, S).thermo.U
        assert torch.allclose(again, factor * U, rtol=1e-14)
    assert torch.equal(entropy_of_energy(gas.laws, gas.there, U, gas.state.S), gas.state.S)


def test_the_order_of_pairs_does_not_matter_over_a_hundred_steps() -> None:
    """The same box with its particles listed the other way round: positions agree to 1e-10."""
    gas, other = copies(thermal_gas(), 30, 1), copies(thermal_gas(), 30, 1)
    turned = torch.arange(29, -1, -1)
    other.state = State(*(getattr(gas.state, name)[turned] for name in ("r", "v", "S")))
    other.noise = CounterNoise(gas.noise.identity[turned], gas.noise.seed[turned])
    other.there = other.around(other.state.r, other.state.S)
    for n in range(100):
        gas.step(0.05, n)
        other.step(0.05, n)
    assert torch.allclose(other.state.r[turned], gas.state.r, rtol=0, atol=1e-10 * SPACING)
