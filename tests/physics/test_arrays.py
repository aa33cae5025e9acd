"""`evaluate` on solids, mixtures and particles of unequal size; of equal fluid particles see test_published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from colloidlab.dataset.reference_state import ReferenceState
from colloidlab.errors import UsageError
from colloidlab.model import (
    Laws,
    PowerLawAmplitudes,
    PowerLawShear,
    RadialKernel,
    SpeciesAmplitudes,
    SpeciesKernel,
    SumOfExponentials,
    brackets,
    evaluate,
)
from colloidlab.model.inertia import SpeciesMasses
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.published import PublishedKernel
from colloidlab.model.reference import neighbourhoods
from colloidlab.model.strain import measure_strain

N = 8
RNG = np.random.default_rng(4)
PLACE = RNG.uniform(0, 1.2, (N, 2))
MOTION = RNG.normal(size=(N, 2))
ENTROPY = RNG.normal(size=(N, 1))
PAIRS = np.stack(np.triu_indices(N, 1))


def energy() -> SumOfExponentials:
    return SumOfExponentials([2.0], [5.0], [0.4], [0.5], [2.0], reference_volume=0.4)


def kernel(second: float) -> RadialKernel:
    made = RadialKernel(1)
    with torch.no_grad():
        made.coefficients.fill_(second)
    return made


def amplitudes(log_a2: float) -> PowerLawAmplitudes:
    return PowerLawAmplitudes([log_a2], [0.5], [0.1], (1.1, 0.7, 1.6))


def fluid() -> Laws:
    return Laws(kernel(0.3), energy(), amplitudes(0.2), cutoff=1.0)


def solid() -> Laws:
    return Laws(kernel(0.3), energy(), amplitudes(0.2), cutoff=1.0, shear=PowerLawShear([3.0], [7.0]))


def mixture(*log_a2: float) -> Laws:
    kinds = SpeciesKernel([kernel(0.3) for _ in log_a2])
    return Laws(kinds, energy(), SpeciesAmplitudes([amplitudes(g) for g in log_a2]), cutoff=1.0)


def test_a_solid_at_rest_is_a_fluid_and_resists_shear_only() -> None:
    """Undeformed, and turned as a whole, a solid has the forces of its volume; sheared, its energy rises as I does."""
    plain = evaluate(fluid(), PLACE, MOTION, ENTROPY, PAIRS)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    for r, forces in ((PLACE, plain.F), (PLACE @ turn.T, plain.F @ turn.T)):
        found = evaluate(solid(), r, MOTION, ENTROPY, PAIRS, reference=PLACE)
        np.testing.assert_allclose(found.F, forces, atol=1e-9)
        np.testing.assert_allclose(found.U, plain.U, atol=1e-12)
    gamma = 0.02
    sheared = PLACE @ np.array([[1.0, gamma], [0.0, 1.0]]).T
    found = evaluate(solid(), sheared, MOTION, ENTROPY, PAIRS, reference=PLACE)
    more = found.U - evaluate(fluid(), sheared, MOTION, ENTROPY, PAIRS).U
    # E = (F^T F - 1)/2 of F = 1 + gamma e_x e_y^T has E_xy = gamma/2 and E_yy = gamma^2/2: I = 2 E_xy^2 + E_yy^2/2.
    invariant = gamma**2 / 2 + gamma**4 / 8
    np.testing.assert_allclose(more, np.exp(3.0 + ENTROPY / 7.0) * invariant, rtol=1e-9)


def test_labels_of_a_mixture_choose_the_functions() -> None:
    """Three equal kinds are one species; where only the mixed pair has noise, a particle among its like has none."""
    species = np.arange(N) % 2
    one = evaluate(fluid(), PLACE, MOTION, ENTROPY, PAIRS)
    same = evaluate(mixture(0.2, 0.2, 0.2), PLACE, MOTION, ENTROPY, PAIRS, species=species)
    for name in one:
        np.testing.assert_allclose(same[name], one[name], rtol=1e-12)
    other = mixture(0.2, 3.0, 0.2)
    alike = evaluate(other, PLACE, MOTION, ENTROPY, PAIRS, species=np.ones(N, dtype=int))
    np.testing.assert_allclose(alike.dvdt, one.dvdt, rtol=1e-12)
    mixed = evaluate(other, PLACE, MOTION, ENTROPY, PAIRS, species=species)
    assert (
        np.trace(mixed.cov[:, :2, :2], axis1=1, axis2=2) > np.trace(one.cov[:, :2, :2], axis1=1, axis2=2)
    ).all()


def test_sizes_scale_the_cutoff_of_every_pair() -> None:
    """All twice as large is the same as all distances half as long, with forces half as large."""
    far, v = 2 * PLACE, MOTION
    found = evaluate(fluid(), far, v, ENTROPY, PAIRS, scale=np.full(N, 2.0))
    near = evaluate(fluid(), PLACE, v, ENTROPY, PAIRS)
    np.testing.assert_allclose(found.F, near.F / 2, rtol=1e-12)
    np.testing.assert_allclose(found.cov, near.cov, rtol=1e-12)
    two = np.array([[0.0, 0.0], [1.2, 0.0]])
    pair, zero = np.array([[0], [1]]), np.zeros((2, 1))
    for scale, touches in ((None, False), ([1.0, 1.5], True), ([1.0, 1.3], False)):
        force = evaluate(fluid(), two, np.zeros((2, 2)), zero, pair, scale=scale).F
        assert (np.abs(force).sum() > 0) == touches


def test_sizes_scale_the_neighbourhoods_of_a_solid() -> None:
    """As they do where a solid is fitted, whose reference state knows the reach of every pair."""
    scale, moved = RNG.uniform(0.7, 1.3, N), PLACE + 0.05 * RNG.normal(size=(N, 2))
    found = evaluate(solid(), moved, MOTION, ENTROPY, PAIRS, scale=scale, reference=PLACE)
    size, before, r = (torch.as_tensor(values) for values in (scale, PLACE, moved))
    index = torch.as_tensor(PAIRS)
    offset = before[index[0]] - before[index[1]]
    reach = 0.5 * (size[index[0]] + size[index[1]])
    x = offset.norm(dim=1) / reach
    state = ReferenceState(index[:, x < 1], offset[x < 1], x[x < 1])
    pairs = pair_geometry(r, index, 1.0, size)
    strain = measure_strain(neighbourhoods(state, size > 0), r)
    with torch.no_grad():
        ev = brackets.evaluate(solid(), replace(pairs, strain=strain), torch.as_tensor(ENTROPY[:, 0]))
    np.testing.assert_allclose(found.F, ev.force, rtol=1e-10)
    alike = evaluate(solid(), moved, MOTION, ENTROPY, PAIRS, reference=PLACE)
    assert np.abs(alike.F - found.F).max() > 0.1 * np.abs(found.F).max()


def test_what_is_missing_or_too_much_is_said() -> None:
    at = PLACE, MOTION, ENTROPY, PAIRS
    labels = np.zeros(N, dtype=int)
    with pytest.raises(UsageError, match="laws of a solid: give `reference`"):
        evaluate(solid(), *at)
    with pytest.raises(UsageError, match="do not belong"):
        evaluate(solid(), *at, reference=PLACE[:3])
    with pytest.raises(UsageError, match="leave `reference` out"):
        evaluate(fluid(), *at, reference=PLACE)
    with pytest.raises(UsageError, match="mixture of 2 species: give `species`"):
        evaluate(mixture(0.1, 0.2, 0.3), *at)
    with pytest.raises(UsageError, match="from 0 to 1"):
        evaluate(mixture(0.1, 0.2, 0.3), *at, species=labels + 2)
    with pytest.raises(UsageError, match="leave `species` out"):
        evaluate(fluid(), *at, species=labels)
    with pytest.raises(UsageError, match="radius over the mean radius"):
        evaluate(fluid(), *at, scale=np.zeros(N))


def test_a_mixture_has_one_share_of_a_particle_in_its_own_density() -> None:
    """With one for each species, volumes would depend on which of them is called 0."""
    torch.manual_seed(1)
    with pytest.raises(UsageError, match=r"must have the same W\(0\), and these have"):
        SpeciesKernel([PublishedKernel([4, 4]) for _ in range(3)])
    label = np.arange(N) % 2
    laws, exchanged = mixture(0.1, 0.3, 0.6), mixture(0.6, 0.3, 0.1)
    one = evaluate(laws, PLACE, MOTION, ENTROPY, PAIRS, species=label)
    other = evaluate(exchanged, PLACE, MOTION, ENTROPY, PAIRS, species=1 - label)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12, atol=1e-12)


def test_parts_for_different_numbers_of_species_are_refused() -> None:
    laws = mixture(0.1, 0.3, 0.6)
    laws.inertia = SpeciesMasses([0.1, 0.2])
    with pytest.raises(UsageError, match="tell 2 and 3 species apart"):
        evaluate(laws, PLACE, MOTION, ENTROPY, PAIRS, species=np.arange(N) % 2)
    laws.inertia = SpeciesMasses([np.log(2.0)])
    one = evaluate(mixture(0.1, 0.3, 0.6), PLACE, MOTION, ENTROPY, PAIRS, species=np.arange(N) % 2)
    other = evaluate(laws, PLACE, MOTION, ENTROPY, PAIRS, species=np.arange(N) % 2)
    heavy = np.where(np.arange(N) % 2, 2.0, 1.0)[:, None]
    np.testing.assert_allclose(heavy * other["dvdt"], one["dvdt"], rtol=1e-12)
