"""Every form of the laws through the checks of `law_checks`: fluids, solids, mixtures, cohesion, published, tables."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from law_checks import AmplitudeChecks, Configuration, EnergyChecks, KernelChecks, LawChecks

from colloidlab.errors import UsageError
from colloidlab.model.analytic import HarmonicEnergy, ideal_gas
from colloidlab.model.bath import Bath
from colloidlab.model.energy import Isothermal, SumOfExponentials
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.model.potential import RadialPotential
from colloidlab.model.published import (
    ConvexEnergy,
    PublishedAmplitudes,
    PublishedKernel,
    PublishedLaws,
)
from colloidlab.model.shear import PowerLawShear
from colloidlab.model.species import SpeciesAmplitudes, SpeciesKernel, SpeciesPotential
from colloidlab.model.tabulated import (
    Ranges,
    TabulatedAmplitudes,
    TabulatedEnergy,
    TabulatedKernel,
    count_misses,
    ranges_around,
    tabulate,
)


def normal(n: int, seed: int) -> list[float]:
    g = torch.Generator().manual_seed(seed)
    return (0.3 * torch.randn(n, generator=g, dtype=torch.float64)).tolist()


def kernel(seed: int) -> RadialKernel:
    made = RadialKernel(3)
    with torch.no_grad():
        made.coefficients.copy_(torch.tensor(normal(3, seed)))
    return made


def energy(seed: int) -> SumOfExponentials:
    a, b = normal(2, seed + 100)
    return SumOfExponentials([2.0 + a, 1.0 + b], [5.0, 9.0], [0.4, 0.8], [0.5], [2.0], reference_volume=0.4)


def isothermal(seed: int) -> Isothermal:
    """The energy of every baseline fit."""
    a, b = normal(2, seed + 500)
    return Isothermal(0.3 + a, [0.5, b], [0.5, 3.0], 0.4)


def amplitudes(seed: int) -> PowerLawAmplitudes:
    parts = normal(4, seed + 200), normal(4, seed + 300), normal(2, seed + 400)
    return PowerLawAmplitudes(*parts, (1.1, 0.7, 1.6), reference_temperature=1.2)


def fluid(seed: int, **parts: Any) -> Laws:
    return Laws(
        kernel(seed), energy(seed), amplitudes(seed), cutoff=1.0, mass=1.3, k_B=0.7, **parts
    ).requires_grad_(False)


class TestFluid(LawChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return fluid(seed)


class TestSolid(LawChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return fluid(seed, shear=PowerLawShear([1.0, 2.0], [7.0, float("inf")]))


class TestCohesive(LawChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return fluid(seed, potential=RadialPotential([-2.0, 1.0, *normal(2, seed)]))


class TestBath(LawChecks):
    """Momentum and energy of the particles are not kept; what is missing is what the bath has."""

    def make(self, dim: int, seed: int) -> Laws:
        return fluid(seed, bath=Bath(0.8, 1.7))


class TestIsothermal(LawChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return Laws(
            kernel(seed), isothermal(seed), amplitudes(seed), cutoff=1.0, mass=1.3, k_B=0.7
        ).requires_grad_(False)


class TestMixture(LawChecks):
    n_species = 2

    def make(self, dim: int, seed: int) -> Laws:
        seeds = [seed, seed + 1, seed + 2]
        return Laws(
            SpeciesKernel([kernel(s) for s in seeds]),
            energy(seed),
            SpeciesAmplitudes([amplitudes(s) for s in seeds]),
            cutoff=1.0,
            potential=SpeciesPotential([RadialPotential(normal(3, s)) for s in seeds]),
        ).requires_grad_(False)


class TestHarmonic(LawChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return Laws(kernel(seed), HarmonicEnergy(6.0, 3.0, 1.1, 0.4), amplitudes(seed), cutoff=1.0)


class TestIdealGas(LawChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return Laws(kernel(seed), ideal_gas(6.0, 1.0, 1.1, 0.4), amplitudes(seed), cutoff=1.0)


class TestPublished(LawChecks):
    ends_smoothly = False

    def make(self, dim: int, seed: int) -> Laws:
        torch.manual_seed(seed)
        return PublishedLaws([12, 12], 1.0, dim, mass=1.3, k_B=0.05)


class TestTables(LawChecks):
    def make(self, dim: int, seed: int) -> Laws:
        return tabulate(fluid(seed), Ranges((-6, 6), (0.1, 1.1), (0.3, 60)), points=60)


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


def test_a_solid_without_strain_is_refused() -> None:
    laws = fluid(1, shear=PowerLawShear([1.0], [7.0]))
    conf = Configuration(laws, 2, periodic=False)
    conf.reference = None
    with pytest.raises(UsageError, match="laws of a solid"):
        conf.evaluate(conf.x)
