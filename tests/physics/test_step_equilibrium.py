"""Exact laws of equilibrium at fixed positions, for every form of the laws, of one species and of two; heat capacities are
small, so that the k_B terms count, and change with the energy.

There the dissipative step has the density exp(S/k_B) prod 1/T_i in velocities and energies of the particles, for every
energy, the shear of a solid included. So with theta = (1 - k_B/c)/T, for every pair and between all particles,

    < m |v_ij|^2/(2 D) (theta_i + theta_j)/2 > = k_B,    < theta_i > = < theta_j >.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from law_configuration import Configuration
from random_laws import fluid, mixture

from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.shear import PowerLawShear
from colloidlab.model.species import count_species
from colloidlab.model.strain import Reference, measure_strain
from colloidlab.model.tabulated import Ranges, tabulate
from colloidlab.rollout.integrators.dissipation import dissipate, parts_needed

COPIES, STEPS, TEMPERATURE = 300, 150, 2.0


def conducting(**parts: Any) -> Laws:
    """Heat flows as fast as momentum, so that both find their equilibrium."""
    laws = fluid(3, **parts)
    laws.amplitudes.C[0] += 3.0
    return laws


def conducting_mixture() -> Laws:
    """The same of two species."""
    laws = mixture(3)
    for part in laws.amplitudes.parts:
        part.C[0] += 3.0
    return laws


LAWS: dict[str, Callable[[], Laws]] = {
    "fluid": conducting,
    "solid": lambda: conducting(shear=PowerLawShear([5.0, 4.0], [3.0, float("inf")])),
    "mixture": conducting_mixture,
    "tables": lambda: tabulate(conducting(), Ranges((-9, 9), (0.1, 1.1), (0.1, 200)), points=60),
}
CASES = [(name, 2, torch.float64) for name in LAWS] + [
    ("fluid", 3, torch.float64),
    ("solid", 3, torch.float64),
    ("solid", 2, torch.float32),
]


def side_by_side(conf: Configuration, count: int) -> brackets.Evaluation:
    """Copies that do not meet, evaluated at their positions."""
    r, _, S = conf.split(conf.x)

    def repeat(index: torch.Tensor) -> torch.Tensor:
        return (index[..., None, :] + conf.n * torch.arange(count)[:, None]).flatten(-2)

    def tile(values: torch.Tensor) -> torch.Tensor:
        return values.repeat(count, *[1] * (values.dim() - 1))

    species = None if conf.species is None else tile(conf.species)
    pairs = pair_geometry(tile(r), repeat(conf.index), conf.laws.cutoff, tile(conf.scale), conf.box, species)
    if conf.reference is not None:
        old = conf.reference
        ends = repeat(old.i), repeat(old.j)
        others = (tile(x) for x in (old.coefficient_i, old.coefficient_j, old.own, old.spans))
        pairs = replace(pairs, strain=measure_strain(Reference(*ends, *others, old.box), tile(r)))
    return brackets.evaluate(conf.laws, pairs, tile(S))


def at_one_temperature(conf: Configuration, ev: brackets.Evaluation) -> torch.Tensor:
    """Entropies, by Newton's steps on ln T."""
    S = torch.zeros_like(ev.theta)
    for _ in range(30):
        thermo = brackets.at_entropy(conf.laws, ev, S).thermo
        S = S + torch.log(TEMPERATURE / thermo.T) / thermo.inv_c
    return S


@pytest.mark.parametrize(("name", "dim", "dtype"), CASES)
def test_velocities_and_temperatures_have_their_equilibrium(name: str, dim: int, dtype: torch.dtype) -> None:
    exact = LAWS[name]()
    conf = Configuration(exact, dim, periodic=False, n_species=count_species(exact), seed=4).to(dtype)
    laws, n = conf.laws, conf.n
    generator = torch.Generator().manual_seed(7)
    pair_law, without, thetas = (np.zeros((COPIES, k)) for k in (1, 1, n))
    with torch.no_grad():
        ev = side_by_side(conf, COPIES)
        S = at_one_temperature(conf, ev)
        ev = brackets.with_friction(laws, brackets.at_entropy(laws, ev, S))
        v = torch.randn((len(S), dim), generator=generator, dtype=torch.float64).to(dtype)
        m = torch.as_tensor(laws.mass_of(ev.pairs), dtype=dtype).expand(len(S))
        v = v * (laws.k_B * TEMPERATURE / m[:, None]) ** 0.5
        # A particle loses at most a fifth of its velocity, or of its heat, in a step.
        time = torch.full_like(S, 0.4 / float(parts_needed(laws, ev, v, 1e3).max()) * 1e3)
        for step in range(STEPS):
            numbers = torch.randn((len(ev.pairs.r), dim + 1), generator=generator, dtype=torch.float64).to(
                dtype
            )
            done = dissipate(laws, ev, v, S, time, brackets.Noise(numbers[:, :dim], numbers[:, dim]))
            v, S = done.v, done.S
            ev = brackets.with_friction(laws, brackets.at_entropy(laws, ev, S))
            if step >= STEPS // 3:
                reduced = 1 / brackets.inverse_masses(laws, ev.pairs)
                square = reduced / (2 * dim * laws.k_B) * ev.pairs.difference(v).square().sum(1)
                for total, cold in ((pair_law, ev.theta), (without, 1 / ev.thermo.T)):
                    total += (square * ev.pairs.total(cold)).reshape(COPIES, -1).mean(1)[:, None].numpy()
                theta = ev.theta.reshape(COPIES, n)
                thetas += (theta / theta.mean() - 1).numpy()
    counted = STEPS - STEPS // 3
    found, error = pair_law.mean() / counted, pair_law.std(ddof=1) / counted / COPIES**0.5
    assert error < 0.03
    assert abs(found - 1) < 3.5 * error
    assert without.mean() / counted > 1.1
    apart = thetas - thetas.mean(1, keepdims=True)
    assert np.all(np.abs(apart.mean(0)) < 4 * apart.std(0, ddof=1) / COPIES**0.5)
