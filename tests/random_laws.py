"""Laws of every form with random parameters, and a cutoff of 1, for the checks of them all."""

from __future__ import annotations

from typing import Any

import torch

from colloidlab.model.energy import Isothermal, SumOfExponentials
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.inertia import SizeMasses, SpeciesMasses
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.model.potential import RadialPotential
from colloidlab.model.published import PublishedLaws
from colloidlab.model.shear import PowerLawShear
from colloidlab.model.species import SpeciesAmplitudes, SpeciesKernel, SpeciesPotential
from colloidlab.model.tabulated import Ranges, tabulate


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


def solid(seed: int) -> Laws:
    return fluid(seed, shear=PowerLawShear([1.0, 2.0], [7.0, float("inf")]))


def cohesive(seed: int) -> Laws:
    return fluid(seed, potential=RadialPotential([-2.0, 1.0, *normal(2, seed)]))


def sized(seed: int) -> Laws:
    """Of spheres whose masses go with their sizes."""
    return fluid(seed, inertia=SizeMasses(3.0))


def mixture(seed: int) -> Laws:
    """Of two species, the second twice as heavy."""
    seeds = [seed, seed + 1, seed + 2]
    return Laws(
        SpeciesKernel([kernel(s) for s in seeds]),
        energy(seed),
        SpeciesAmplitudes([amplitudes(s) for s in seeds]),
        cutoff=1.0,
        potential=SpeciesPotential([RadialPotential(normal(3, s)) for s in seeds]),
        inertia=SpeciesMasses([0.7]),
    ).requires_grad_(False)


def published(dim: int, seed: int) -> Laws:
    torch.manual_seed(seed)
    return PublishedLaws([12, 12], 1.0, dim, mass=1.3, k_B=0.05)


def tables(seed: int) -> Laws:
    return tabulate(fluid(seed), Ranges((-6, 6), (0.1, 1.1), (0.3, 60)), points=60)
