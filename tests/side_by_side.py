"""Two simulations side by side, in every kind of box and by every kind of laws: what steps in torch are tried on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from small_gas import CUTOFF, SPACING, TEMPERATURE, VOLUME, isothermal_gas, thermal_gas

from colloidlab.model.bath import Bath
from colloidlab.model.inertia import SpeciesMasses
from colloidlab.model.laws import Laws
from colloidlab.model.potential import RadialPotential
from colloidlab.model.published import PublishedLaws
from colloidlab.model.species import SpeciesAmplitudes, SpeciesKernel, labels_for
from colloidlab.model.tabulated import ranges_around, tabulate
from colloidlab.rollout.box import ShearBox
from colloidlab.rollout.forcing import HarmonicTrap, Oscillating, ShearForce, TaylorGreen, UniformForce
from colloidlab.rollout.free_motion import FreeMotion
from colloidlab.rollout.integrators import Integrator
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise
from colloidlab.rollout.state import State

N, DT = 24, 0.1


def published(dim: int) -> Laws:
    torch.manual_seed(dim)
    laws = PublishedLaws([8, 8], CUTOFF, dim, k_B=TEMPERATURE)
    with torch.no_grad():
        for network in (laws.amplitudes.a, laws.amplitudes.b, laws.amplitudes.c):
            network.layers[-1].get_parameter("weight").mul_(0.1)
    return laws.requires_grad_(False)


def in_tables(laws: Laws) -> Laws:
    S = laws.energy.entropy(
        TEMPERATURE * torch.tensor([0.5, 1.0, 2.0]).double(), torch.full((3,), VOLUME).double()
    )
    return tabulate(laws, ranges_around(laws, S, torch.tensor([0.2 * VOLUME, VOLUME, 1.0]).double(), 4.0))


def everything() -> Laws:
    laws = thermal_gas()
    laws.potential, laws.bath = RadialPotential([-0.1, 0.2]), Bath(0.2, TEMPERATURE)
    return laws.requires_grad_(False)


def mixture() -> Laws:
    """Of two species, every other particle; the second is twice as heavy and rubs more."""
    laws, others = thermal_gas(), [thermal_gas(friction=f) for f in (0.3, 0.9)]
    laws.kernel = SpeciesKernel([laws.kernel, *(other.kernel for other in others)])
    laws.amplitudes = SpeciesAmplitudes([laws.amplitudes, *(other.amplitudes for other in others)])
    laws.inertia = SpeciesMasses([0.7])
    return laws.requires_grad_(False)


LAWS = {
    "mixture": lambda dim: mixture(),
    "thermal": lambda dim: thermal_gas(),
    "isothermal": lambda dim: isothermal_gas(),
    "potential and bath": lambda dim: everything(),
    "networks": published,
    "tables": lambda dim: in_tables(thermal_gas()),
    "divided steps": lambda dim: thermal_gas(friction=9.0),
}


class System:
    """Two simulations side by side, a part of whose particles are held, in any box."""

    def __init__(
        self, laws: Laws, dim: int, *, integrator: Integrator, shear: float | None, seed: int = 0
    ) -> None:
        self.laws, self.integrator = laws, integrator
        rng = np.random.default_rng(seed)
        side = max(SPACING * N ** (1 / dim), 2.1 * CUTOFF)
        self.r = torch.as_tensor(rng.uniform(0, side, (2 * N, dim)))
        v = torch.as_tensor(rng.normal(0, TEMPERATURE**0.5, (2 * N, dim)))
        S = torch.zeros(2 * N, dtype=torch.float64)
        if not isinstance(laws, PublishedLaws):
            S = laws.energy.entropy(torch.full_like(S, TEMPERATURE), torch.full_like(S, VOLUME))
        self.state = State(self.r, v, S)
        self.member = torch.arange(2).repeat_interleave(N)
        lengths = np.full(dim, side)
        self.box: Any = lengths if shear == 0 else None if shear is None else ShearBox(tuple(lengths), shear)
        self.forcing = UniformForce((0.01,) * dim) + HarmonicTrap(0.001, (side / 2,) * dim)
        self.forcing = self.forcing + Oscillating(TaylorGreen(0.01, side), 10.0) + ShearForce(0.01, side)

    def motion(self, *, ahead: bool) -> FreeMotion:
        scale = torch.ones(2 * N, dtype=torch.float64)
        species = labels_for(self.laws, torch.arange(2 * N) % 2)
        neighbours = Neighbours(CUTOFF, scale, member=self.member.numpy(), box=self.box, species=species)
        noise = CounterNoise(torch.arange(N).repeat(2), 5 + self.member)
        motion = FreeMotion(
            self.laws,
            neighbours,
            noise,
            self.integrator,
            member=self.member,
            simulated=torch.arange(2 * N) % 8 > 0,
            forcing=self.forcing,
            ahead=ahead,
        )
        motion.place(self.state, 0.0)
        return motion
