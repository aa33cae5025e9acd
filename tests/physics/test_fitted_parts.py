"""Parts of laws that are fitted where they are asked for: a bath, and a pair potential."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from colloidlab.benchmarks.learner_functions import volumes
from colloidlab.dataset.regime import judge
from colloidlab.dataset.split import split_by_time
from colloidlab.errors import UsageError
from colloidlab.model import brackets
from colloidlab.model.curves import bath_constants, learned_functions, mass_ratios
from colloidlab.model.filter import Filter
from colloidlab.model.forms import PLAIN, Guess, Parts, isothermal_laws, thermal_laws
from colloidlab.model.guess import first_guess
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.response import LinearResponse
from colloidlab.model.scores import free_parameters
from colloidlab.model.sequence import WindowSource
from colloidlab.model.species import labels_for
from colloidlab.model.tensors import float64
from colloidlab.model.train import TrainOptions, fit_isothermal
from colloidlab.model.uncertainty import Uncertainty, estimate_uncertainty
from colloidlab.synthetic.gas import Gas, Motion, gas_laws, observe, simulate_gas
from colloidlab.units import Calibration

GUESS = Guess(24.0, 0.16, 0.2, 0.3, 0.5, 1.2, 0.7)
GAS = Gas(n=120, heat_capacity=2000.0, wave=0.0, pressure=5.0)
BOTH = Parts(cohesion=True, bath=True)


def evaluation(parts: Parts, *, thermal: bool = False) -> tuple[brackets.Evaluation, LinearResponse]:
    """Of first laws, among forty particles."""
    laws = isothermal_laws(replace(GUESS, parts=parts))
    T = laws.energy.log_temperature.detach().exp()
    if thermal:
        laws = thermal_laws(laws)
    r = torch.as_tensor(np.random.default_rng(3).uniform(0, 80, (40, 2)))
    i, j = torch.triu_indices(40, 40, 1)
    near = (r[i] - r[j]).norm(dim=1) < GUESS.cutoff
    pairs = pair_geometry(
        r, torch.stack([i[near], j[near]]), GUESS.cutoff, torch.ones(40, dtype=r.dtype), None
    )
    V = brackets.mechanics(laws, pairs, r.new_zeros(40)).volume
    with torch.no_grad():
        ev = brackets.evaluate(laws, pairs, laws.energy.entropy(T.expand(40), V))
    return ev, LinearResponse(laws, ev)


def test_first_laws_with_parts_are_those_without() -> None:
    """A potential begins at nothing; bath and pairs share the friction that is seen."""
    (plain, response), (both, shared) = (evaluation(parts) for parts in (PLAIN, BOTH))
    torch.testing.assert_close(both.force, plain.force)
    half = 0.5 * GUESS.friction_rate
    with torch.no_grad():
        without, with_bath = response.mean_self_friction(), shared.mean_self_friction()
    torch.testing.assert_close(with_bath, 0.5 * without + half)


def test_laws_with_entropy_begin_with_the_parts_that_were_found() -> None:
    laws = isothermal_laws(replace(GUESS, parts=BOTH))
    with torch.no_grad():
        laws.bath.log_friction.fill_(-1.7)
        laws.potential.coefficients.copy_(float64([-1.0, 0.5, 0.2, 0.1]))
    thermal = thermal_laws(laws)
    x = float64([0.3, 0.6, 0.9])
    torch.testing.assert_close(thermal.potential(x).u, laws.potential(x).u, rtol=0, atol=0)
    assert torch.equal(thermal.bath.friction, laws.bath.friction)
    with torch.no_grad():
        thermal.bath.log_friction.fill_(0.0)
    assert float(laws.bath.log_friction) == -1.7


def mixture(n_species: int) -> tuple[brackets.Evaluation, Laws]:
    """First laws with entropy among forty particles whose species alternate; of one where all are alike."""
    laws = thermal_laws(isothermal_laws(replace(GUESS, parts=Parts(cohesion=True, n_species=n_species))))
    r = torch.as_tensor(np.random.default_rng(3).uniform(0, 80, (40, 2)))
    index = torch.triu_indices(40, 40, 1)
    labels = labels_for(laws, torch.arange(40) % 2)
    pairs = pair_geometry(r, index, GUESS.cutoff, torch.ones(40, dtype=r.dtype), None, labels)
    with torch.no_grad():
        return brackets.evaluate(laws, pairs.select(pairs.x < 1), r.new_zeros(40)), laws


def test_first_laws_of_a_mixture_are_those_of_one_species() -> None:
    (one, _), (two, laws) = mixture(1), mixture(2)
    for name in ("force", "k_par", "g_perp"):
        torch.testing.assert_close(getattr(two, name), getattr(one, name))
    first, *others = laws.amplitudes.parts
    # How noise depends on temperature is common, how on distance is not.
    assert all(part.powers is first.powers and part.C is first.C for part in others)
    assert len({id(part.A) for part in laws.amplitudes.parts}) == len(laws.kernel.parts) == 3


def test_laws_of_a_mixture_need_labels() -> None:
    laws = isothermal_laws(replace(GUESS, parts=Parts(n_species=2)))
    with pytest.raises(UsageError, match="tell 2 species apart, and nothing says"):
        labels_for(laws, None)
    # Laws of one species do not ask.
    assert labels_for(isothermal_laws(GUESS), torch.arange(3)) is None


@pytest.mark.slow
def test_species_are_told_apart_where_they_differ() -> None:
    """Unlike particles hardly rub, and the second species is three times as heavy."""
    gas = replace(GAS, kinds=((1.0, 0.0), (0.1, 0.0), (1.0, 0.0)), masses=(1.0, 3.0))
    recording = observe(simulate_gas(gas, 170, seed=1), 0.05, seed=1, species=gas.species)
    guess = first_guess(recording, judge(recording, 1.5 * gas.cutoff), gas.cutoff, Parts(n_species=2))
    windows, split = WindowSource(recording, gas.cutoff), split_by_time(0, 170, 0.8, 0.15)
    fit = fit_isothermal(windows, split, guess, TrainOptions(isothermal_steps=20, scoring_rounds=3), [])
    found, true = (
        learned_functions(laws, gas.temperature, np.full(9, 0.4), Calibration(None, None), n_dims=2)
        .query("quantity == 'pair_friction_parallel' and 0.4 * 28 < x < 0.7 * 28")
        .groupby("species")["y"]
        .mean()
        for laws in (fit.laws, gas_laws(gas))
    )
    assert list(found.index) == ["0 + 0", "0 + 1", "1 + 1"]
    np.testing.assert_allclose(found / found["0 + 0"], true / true["0 + 0"], atol=0.2)
    _, (ratio, low, high) = mass_ratios(fit.laws, estimate_uncertainty(fit, windows, split))
    assert low < ratio < high and ratio == pytest.approx(3, rel=0.15)


def test_a_temperature_that_is_known_is_not_fitted() -> None:
    bath = isothermal_laws(replace(GUESS, parts=Parts(bath=True, bath_temperature=0.3))).bath
    assert bath is not None and float(bath.temperature) == pytest.approx(0.3, rel=1e-14)
    assert not bath.log_temperature.requires_grad


def test_the_band_of_a_force_that_may_attract_goes_through_zero() -> None:
    """Where little is known, no estimate that happens to be positive may rule attraction out."""
    for parts in (PLAIN, Parts(cohesion=True)):
        laws = isothermal_laws(replace(GUESS, parts=parts))
        p = sum(q.numel() for q in free_parameters(laws))
        nothing = torch.zeros(p, dtype=torch.float64)
        known_to = Uncertainty(torch.eye(p, dtype=torch.float64), nothing, nothing, 1.0, nothing, 0.3)
        table = learned_functions(laws, 0.16, np.full(9, 0.4), Calibration(None, None), known_to, n_dims=2)
        force = table[table["quantity"] == "pair_force"].iloc[:-1]
        assert (force["y"] > 0).all()
        assert ((force["y_low"] < 0) == parts.cohesion).all()


def test_intervals_of_a_bath_are_what_is_known_of_it() -> None:
    laws = isothermal_laws(replace(GUESS, parts=Parts(bath=True, bath_temperature=0.3)))
    for value, low, high in bath_constants(laws).values():
        assert value > 0 and np.isnan([low, high]).all()
    p = sum(q.numel() for q in free_parameters(laws))
    nothing = torch.zeros(p, dtype=torch.float64)
    known_to = Uncertainty(0.01 * torch.eye(p, dtype=torch.float64), nothing, nothing, 1.0, nothing, 0.3)
    found = bath_constants(laws, known_to)
    # A tenth is the standard deviation of every logarithm.
    expected = 0.5 * GUESS.friction_rate * np.exp([0, -0.196, 0.196])
    np.testing.assert_allclose(found["friction"], expected, rtol=1e-4)
    np.testing.assert_allclose(found["temperature"], 0.3, rtol=1e-12)


def fitted(gas: Gas, parts: Parts) -> tuple[Filter, Motion, Uncertainty]:
    """Laws of 120 frames, and how well they are known; the benchmark's case `parts` has laws without beside them."""
    motion = simulate_gas(gas, 120, seed=2)
    recording = observe(motion, 0.05, seed=2)
    guess = first_guess(recording, judge(recording, 1.5 * gas.cutoff), gas.cutoff, parts)
    split = split_by_time(recording.first, recording.stop, 0.75, 0.15)
    windows = WindowSource(recording, gas.cutoff)
    found = fit_isothermal(windows, split, guess, TrainOptions(isothermal_steps=50, scoring_rounds=4), [])
    return found, motion, estimate_uncertainty(found, windows, split)


@pytest.mark.slow
def test_drag_of_a_bath_is_told_from_friction_of_pairs() -> None:
    gas = replace(GAS, bath=0.1)
    found, _, known_to = fitted(gas, Parts(bath=True))
    for name, true in (("friction", gas.bath), ("temperature", gas.temperature)):
        value, low, high = bath_constants(found.laws, known_to)[name]
        assert low < true < high, name
        assert value == pytest.approx(true, rel=0.3), name
        assert high / low < 3, name


@pytest.mark.slow
def test_attraction_is_found_where_particles_attract_each_other() -> None:
    """The volume alone can only push."""
    gas = replace(GAS, friction=0.1, pressure=6.0, cohesion=1.5)
    found, motion, known_to = fitted(gas, Parts(cohesion=True))

    def force(laws: Laws, uncertainty: Uncertainty | None) -> list[float]:
        """At eight tenths of the cutoff, with its band."""
        v = volumes(laws, gas, motion)
        table = learned_functions(laws, gas.temperature, v, Calibration(None, None), uncertainty, n_dims=2)
        curve = table[table["quantity"] == "pair_force"]
        return [
            float(np.interp(0.8 * gas.cutoff, curve["x"], curve[end])) for end in ("y_low", "y", "y_high")
        ]

    true, (_, value, high) = force(gas_laws(gas), None)[1], force(found.laws, known_to)
    assert true < 0 and high < 0
    assert value == pytest.approx(true, rel=0.5)
