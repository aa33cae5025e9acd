"""The compiled step against the integrator in torch, on the same tables: every kind of law that it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from small_gas import CUTOFF, SPACING, TEMPERATURE, VOLUME, isothermal_gas, thermal_gas
from torch import Tensor

from colloidlab.errors import UsageError
from colloidlab.model import brackets
from colloidlab.model.bath import Bath
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.inertia import SpeciesMasses
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.model.potential import RadialPotential
from colloidlab.model.shear import PowerLawShear
from colloidlab.model.species import SpeciesAmplitudes, SpeciesKernel
from colloidlab.model.tabulated import Ranges, ranges_around, tabulate
from colloidlab.rollout.compiled import CompiledStep
from colloidlab.rollout.integrators import conserving
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise, Moment
from colloidlab.rollout.state import State

DT = 0.125


@dataclass
class Box:
    """Particles in a periodic (or open) box, and both ways to move them."""

    laws: Laws
    state: State
    noise: CounterNoise
    box: np.ndarray | None
    scale: Tensor
    member: np.ndarray
    species: Tensor | None = None

    def neighbours(self) -> Neighbours:
        return Neighbours(CUTOFF, self.scale, member=self.member, box=self.box, species=self.species)

    def compiled(self, **options) -> CompiledStep:
        options = {"member": self.member} | options
        return CompiledStep(self.laws, self.state, self.neighbours(), self.noise, **options)

    def in_torch(self, steps: int) -> State:
        neighbours, state, dim = self.neighbours(), self.state, self.state.r.shape[1]

        def around(r: Tensor, S: Tensor) -> brackets.Mechanics:
            return brackets.mechanics(self.laws, neighbours.pairs(r), S)

        with torch.no_grad():
            there = around(state.r, state.S)
            for n in range(steps):

                def draw(pairs, part, attempt, n=n):
                    moment = Moment(n, part, attempt)
                    numbers = self.noise.pair_numbers(pairs, moment, dim, torch.float64)
                    bath = self.noise.particle_numbers(moment, dim, torch.float64)
                    return replace(numbers, bath=None if self.laws.bath is None else bath)

                member = torch.as_tensor(self.member)
                done = conserving.step(state, self.laws, there, around, DT, draw, member=member)
                state, there = done.state, done.mechanics
        return state


def make(
    laws: Laws, *, dim: int = 2, n: int = 60, members: int = 1, periodic: bool = True, sizes: bool = False
) -> Box:
    """Random places and temperatures; laws are put in tables that hold them."""
    rng = np.random.default_rng(dim)
    side, m = SPACING * n ** (1 / dim), members
    r = torch.as_tensor(rng.uniform(0, side, (m * n, dim)))
    v = torch.as_tensor(rng.normal(0, TEMPERATURE**0.5, (m * n, dim)))
    T = TEMPERATURE * torch.as_tensor(np.exp(rng.normal(0, 0.2, m * n)))
    S = laws.energy.entropy(T, torch.full_like(T, VOLUME))
    scale = torch.as_tensor(rng.uniform(0.8, 1.2, m * n)) if sizes else torch.ones_like(T)
    ranges = ranges_around(laws, S, torch.as_tensor([0.3 * VOLUME, 1.0]).repeat(m * n)[: m * n], 4.0)
    member = np.repeat(np.arange(m), n)
    noise = CounterNoise(torch.arange(n).repeat(m), 5 + torch.as_tensor(member))
    box = np.full(dim, side) if periodic else None
    return Box(tabulate(laws, ranges), State(r, v, S), noise, box, scale, member)


def with_bath() -> Laws:
    laws = thermal_gas()
    laws.bath = Bath(0.2, 2 * TEMPERATURE)
    return laws.requires_grad_(False)


def sticky() -> Laws:
    laws = thermal_gas()
    laws.potential = RadialPotential([-0.1, 0.2])
    return laws.requires_grad_(False)


CASES = {
    "2D": lambda: make(thermal_gas()),
    "3D": lambda: make(thermal_gas(), dim=3),
    "open, of several sizes": lambda: make(thermal_gas(), periodic=False, sizes=True),
    "isothermal": lambda: make(isothermal_gas()),
    "small heat capacity, divided steps": lambda: make(thermal_gas(heat_capacity=3.0, friction=6.0)),
    "bath": lambda: make(with_bath()),
    "attraction": lambda: make(sticky()),
    "several members, divided steps": lambda: make(thermal_gas(heat_capacity=4.0), members=3),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_trajectory_as_the_integrator_in_torch(case: str) -> None:
    """To 1e-10 over 100 steps, whatever the order of sums."""
    box = CASES[case]()
    steps = 100 if case == "2D" else 20
    compiled = box.compiled()
    parts = [compiled.step(DT, n).parts for n in range(steps)]
    expected = box.in_torch(steps)
    assert max(parts) > 1 or "divided" not in case
    for name in ("r", "v", "S"):
        one, other = getattr(compiled.state, name), getattr(expected, name)
        assert float((one - other).abs().max()) < 1e-10 * float(other.abs().max()), name


def test_mixtures() -> None:
    plain = thermal_gas()
    kernel = SpeciesKernel([RadialKernel(0), RadialKernel(0), RadialKernel(0)])
    log_a = float(plain.amplitudes.A[0])
    amplitudes = SpeciesAmplitudes(
        [
            PowerLawAmplitudes([log_a + k], [log_a - k], [log_a], (1.0, 1.0, 2.0), TEMPERATURE)
            for k in range(3)
        ]
    )
    box = make(thermal_gas())
    laws = Laws(kernel, plain.energy, amplitudes, CUTOFF, inertia=SpeciesMasses([0.7])).requires_grad_(False)
    ranges = Ranges((-60.0, 60.0), (0.05, 1.1), (0.01, 3.0))
    box = replace(box, laws=tabulate(laws, ranges), species=torch.arange(60) % 2)
    compiled = box.compiled()
    for n in range(10):
        compiled.step(DT, n)
    expected = box.in_torch(10)
    assert torch.allclose(compiled.state.v, expected.v, rtol=1e-11, atol=1e-13)
    assert torch.allclose(compiled.state.S, expected.S, rtol=1e-11, atol=1e-11)


def test_outside_the_tables_the_laws_are_asked() -> None:
    """Tables that hold hardly anybody give the same trajectory as tables that hold all."""
    exact = thermal_gas()
    wide = make(exact)
    middle = float(wide.state.S.median())
    narrow = replace(
        wide, laws=tabulate(exact, Ranges((middle - 3, middle + 3), (0.2, 0.6), (0.12, 0.2)), points=60)
    )
    one, other = wide.compiled(), narrow.compiled()
    for n in range(5):
        one.step(DT, n)
        other.step(DT, n)
    assert one.misses == 0 and other.misses > 100
    assert torch.allclose(one.state.r, other.state.r, rtol=1e-9)
    assert torch.allclose(one.state.S, other.state.S, rtol=1e-7, atol=1e-7)


def test_threads_change_no_bit() -> None:
    box = make(thermal_gas())
    one, several = box.compiled(), box.compiled(threads=3, least_share=10)
    for n in range(20):
        one.step(DT, n)
        several.step(DT, n)
    assert torch.equal(one.state.r, several.state.r) and torch.equal(one.state.S, several.state.S)
    assert several.n_shared > 20 * 20 and one.n_shared == 0
    # What is too small for it is one thread's.
    small = box.compiled(threads=3)
    small.step(DT, 0)
    assert small.n_shared == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_momentum_and_energy(dtype: torch.dtype) -> None:
    """Momentum to round-off; energy as well as velocity Verlet keeps it, and as the digits of the state allow."""
    box = make(thermal_gas(heat_capacity=5.0), n=200)
    state = State(*(part.to(dtype) for part in (box.state.r, box.state.v, box.state.S)))
    compiled = replace(box, state=state, scale=box.scale.to(dtype)).compiled()

    def totals() -> tuple[np.ndarray, float]:
        v = compiled.state.v.numpy().astype(float)
        return v.sum(axis=0), float(0.5 * (v**2).sum() + compiled.internal_energy().sum())

    for n in range(20):
        compiled.step(DT / 4, n)
    momentum, energy = totals()
    for n in range(100):
        compiled.step(DT / 4, 20 + n)
    after, energy_after = totals()
    assert compiled.state.r.dtype == dtype
    exact = dtype == torch.float64
    assert np.abs(after - momentum).max() < (1e-13 if exact else 1e-4) * 200
    assert abs(energy_after - energy) < (2e-4 if exact else 2e-3) * 200 * TEMPERATURE


def test_solids_and_laws_without_tables_are_refused() -> None:
    box = make(thermal_gas())
    with pytest.raises(UsageError, match="tables"):
        replace(box, laws=thermal_gas()).compiled()
    solid = thermal_gas()
    solid.shear = PowerLawShear([1.0], [7.0])
    with pytest.raises(UsageError, match="fluid"):
        replace(box, laws=solid).compiled()
