"""Every form of the laws through the checks of `law_checks`: fluids, solids, mixtures, cohesion, published, tables."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from law_checks import LawChecks
from law_configuration import Configuration
from part_checks import AmplitudeChecks, EnergyChecks, KernelChecks
from random_laws import (
    amplitudes,
    cohesive,
    energy,
    fluid,
    isothermal,
    kernel,
    mixture,
    published,
    sized,
    solid,
    tables,
)
from step_checks import DissipationChecks, StepChecks

from colloidlab.errors import UsageError
from colloidlab.model.analytic import HarmonicEnergy, ideal_gas
from colloidlab.model.bath import Bath
from colloidlab.model.laws import Laws
from colloidlab.model.published import (
    ConvexEnergy,
    PublishedAmplitudes,
    PublishedKernel,
)
from colloidlab.model.shear import PowerLawShear
from colloidlab.model.tabulated import (
    Ranges,
    TabulatedAmplitudes,
    TabulatedEnergy,
    TabulatedKernel,
    count_misses,
    ranges_around,
    tabulate,
)


class TestFluid(LawChecks, StepChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return fluid(seed)


class TestSolid(LawChecks, StepChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return solid(seed)


class TestCohesive(LawChecks, StepChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return cohesive(seed)


class TestBath(LawChecks, DissipationChecks):
    """Momentum and energy of the particles are not kept; what is missing is what the bath has."""

    def make(self, dim: int, seed: int) -> Laws:
        return fluid(seed, bath=Bath(0.8, 1.7))


class TestIsothermal(LawChecks, StepChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return Laws(
            kernel(seed), isothermal(seed), amplitudes(seed), cutoff=1.0, mass=1.3, k_B=0.7
        ).requires_grad_(False)


class TestMixture(LawChecks, StepChecks):
    n_species = 2

    def make(self, dim: int, seed: int) -> Laws:
        return mixture(seed)


class TestSizes(LawChecks, StepChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return sized(seed)


class TestHarmonic(LawChecks, StepChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return Laws(kernel(seed), HarmonicEnergy(6.0, 3.0, 1.1, 0.4), amplitudes(seed), cutoff=1.0)


class TestIdealGas(LawChecks, StepChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return Laws(kernel(seed), ideal_gas(6.0, 1.0, 1.1, 0.4), amplitudes(seed), cutoff=1.0)


class TestPublished(LawChecks, StepChecks):
    ends_smoothly = False

    def make(self, dim: int, seed: int) -> Laws:
        return published(dim, seed)


class TestTables(LawChecks, StepChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return tables(seed)


class TestRadialKernel(KernelChecks):
    def make(self, seed: int) -> Any:
        return kernel(seed)


class TestPublishedKernel(KernelChecks):
    def make(self, seed: int) -> Any:
        torch.manual_seed(seed)
        return PublishedKernel([12, 12])


class TestTabulatedKernel(KernelChecks):
    def make(self, seed: int) -> Any:
        return TabulatedKernel(kernel(seed))


class TestSumOfExponentials(EnergyChecks):
    def make(self, seed: int) -> Any:
        return energy(seed)


class TestIsothermalEnergy(EnergyChecks):
    one_temperature = True

    def make(self, seed: int) -> Any:
        return isothermal(seed)


class TestIdealGasEnergy(EnergyChecks):
    def make(self, seed: int) -> Any:
        return ideal_gas(6.0 + seed, 1.0, 1.1, 0.4)


class TestHarmonicEnergy(EnergyChecks):
    def make(self, seed: int) -> Any:
        return HarmonicEnergy(6.0 + seed, 3.0, 1.1, 0.4)


class TestConvexEnergy(EnergyChecks):
    def make(self, seed: int) -> Any:
        torch.manual_seed(seed)
        return ConvexEnergy([12, 12])


class TestTabulatedEnergy(EnergyChecks):
    def make(self, seed: int) -> Any:
        return TabulatedEnergy(energy(seed), (-4.0, 4.0), (0.1, 1.1))


class TestPowerLawAmplitudes(AmplitudeChecks):
    def make(self, seed: int) -> Any:
        return amplitudes(seed)


class TestPublishedAmplitudes(AmplitudeChecks):
    def make(self, seed: int) -> Any:
        torch.manual_seed(seed)
        return PublishedAmplitudes([12, 12])


class TestTabulatedAmplitudes(AmplitudeChecks):
    def make(self, seed: int) -> Any:
        return TabulatedAmplitudes(amplitudes(seed), (0.5, 3.0))


def test_tables_say_what_the_laws_say() -> None:
    T, V = (torch.linspace(a, b, 40, dtype=torch.float64) for a, b in ((0.5, 2.5), (0.2, 0.9)))
    S, x = torch.linspace(-2, 2, 40, dtype=torch.float64), torch.linspace(0, 1, 40, dtype=torch.float64)
    exact = fluid(4)
    table = tabulate(exact, Ranges((-3, 3), (0.1, 1.1), (0.4, 3.0)))
    for one, other in (
        (table.energy(S, V), exact.energy(S, V)),
        (table.kernel(x), exact.kernel(x)),
        (table.amplitudes(x, T, T.flip(0)), exact.amplitudes(x, T, T.flip(0))),
    ):
        for name, expected in vars(other).items():
            assert float((getattr(one, name) - expected).abs().max()) <= 1e-6 * float(expected.abs().max()), (
                name
            )


def test_outside_a_table_the_laws_themselves_are_asked_and_it_is_counted() -> None:
    exact = fluid(2)
    table = tabulate(exact, Ranges((-1, 1), (0.3, 0.8), (0.9, 1.3)))
    S, V = (
        torch.tensor(part, dtype=torch.float64) for part in ([0.0, 2.0, 0.5, torch.nan], [0.5, 0.5, 0.9, 0.5])
    )
    x, T = torch.full_like(S[:3], 0.4), torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    both = (table.energy(S, V), exact.energy(S, V)), (table.amplitudes(x, T, T), exact.amplitudes(x, T, T))
    for one, other in both:
        for name, expected in vars(other).items():
            found = getattr(one, name)
            assert torch.equal(found[1:3], expected[1:3]), name
            assert float(found[0]) == pytest.approx(float(expected[0]), rel=1e-6), name
    assert bool(both[0][0].U[3].isnan())
    assert count_misses(table) == 4, "two particles and two pairs; what is absent is no miss"


def test_ranges_hold_what_may_come() -> None:
    exact = fluid(3)
    S, V = (
        torch.tensor(part, dtype=torch.float64)
        for part in ([-1.0, 0.0, 1.0, torch.nan], [0.3, 0.5, 0.8, 0.5])
    )
    T = exact.energy(S, V).T[:3]
    table = tabulate(exact, ranges_around(exact, S, V))
    for factor in (0.4, 2.5):
        far = exact.energy.entropy(T * factor, V[:3])
        table.energy(far, V[:3])
        table.amplitudes(torch.full_like(T, 0.5), T * factor, T)
    assert count_misses(table) == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_table_resolves_who_it_is_made_for_where_temperatures_end(seed: int) -> None:
    """No particle of these networks gets three times as hot, however much entropy it has."""
    exact = published(2, seed).requires_grad_(False)
    g = torch.Generator().manual_seed(seed)
    S, V = (part + 0.1 * torch.randn(200, generator=g, dtype=torch.float64) for part in (0.0, 0.5))
    V = V.clamp(0.3, 0.7)
    table = tabulate(exact, ranges_around(exact, S, V))
    here, expected = table.energy(S, V), exact.energy(S, V)
    torch.testing.assert_close(here.T, expected.T, rtol=1e-4, atol=0)
    torch.testing.assert_close(here.P, expected.P, rtol=1e-4, atol=0)
    # Beyond, the laws themselves are asked, and that is counted.
    far = torch.full_like(V, 1000.0)
    torch.testing.assert_close(table.energy(far, V).T, exact.energy(far, V).T)
    assert count_misses(table) == len(V)


def test_a_solid_without_strain_is_refused() -> None:
    laws = fluid(1, shear=PowerLawShear([1.0], [7.0]))
    conf = Configuration(laws, 2, periodic=False)
    conf.reference = None
    with pytest.raises(UsageError, match="laws of a solid"):
        conf.evaluate(conf.x)
