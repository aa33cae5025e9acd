"""Solids as they are fitted, corrected and rolled out; that their laws are right is checked with those of all others."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.reference import find_reference
from colloidlab.dataset.regime import judge
from colloidlab.dataset.split import split_by_time
from colloidlab.errors import UsageError
from colloidlab.model import brackets
from colloidlab.model.curves import shear_modulus
from colloidlab.model.entropy import ConstantEntropy
from colloidlab.model.filter import Filter
from colloidlab.model.forms import PLAIN, Parts, isothermal_laws, thermal_laws
from colloidlab.model.guess import first_guess
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.reference import neighbourhoods
from colloidlab.model.response import LinearResponse
from colloidlab.model.scores import free_parameters, read_values
from colloidlab.model.sequence import WindowSource, fresh_state, run_window
from colloidlab.model.strain import measure_strain
from colloidlab.model.train import TrainOptions, fit_isothermal
from colloidlab.model.uncertainty import estimate_uncertainty
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.driven import Resume, RolloutFrame, can_fuse, roll_out, uses_tables
from colloidlab.rollout.indirect import expected_score
from colloidlab.synthetic.gas import Gas, Motion, gas_laws, observe, simulate_gas

GAS = Gas(n=56, heat_capacity=2000.0, wave=0.0, pressure=40.0, shear=100.0)
FRAMES = 120
SOLID = Parts(solid=True)


@cache
def motion() -> Motion:
    return simulate_gas(GAS, FRAMES, seed=2)


def recorded(*, known: bool = True) -> Recording:
    recording = observe(motion(), 0.05, seed=2)
    if not known:
        return recording
    return replace(recording, reference=find_reference(recording, GAS.cutoff, 0, 90).state)


def test_a_solid_keeps_its_neighbours_and_its_temperature() -> None:
    """The crystal of the shear energy alone moves less than one that has none, and energy is neither made nor lost."""
    found = find_reference(recorded(), GAS.cutoff, 0, 90).lindemann
    soft = observe(simulate_gas(replace(GAS, shear=1e-6), 91, seed=2), 0.05, seed=2)
    assert found < 0.7 * find_reference(soft, GAS.cutoff, 0, 90).lindemann
    assert motion().T[-1].mean() == pytest.approx(GAS.temperature, rel=2e-3)


def test_first_laws_share_the_stiffness() -> None:
    recording = recorded()
    regime = judge(recording, 1.5 * GAS.cutoff)
    guess, plain = (first_guess(recording, regime, GAS.cutoff, parts) for parts in (SOLID, PLAIN))
    assert guess.stiffness == plain.stiffness and guess.stiffness_per_modulus > 0
    r, state = torch.as_tensor(recording.position[:56]), recording.reference
    assert state is not None and recording.box is not None
    one, box = torch.ones_like(r[:, 0]), torch.as_tensor(recording.box)
    strain = measure_strain(neighbourhoods(state, one > 0, box), r)
    pairs = pair_geometry(r, torch.triu_indices(56, 56, 1), GAS.cutoff, one, box)
    found = []
    for laws in (isothermal_laws(guess), isothermal_laws(plain)):
        with torch.no_grad():
            ev = brackets.evaluate(laws, replace(pairs, strain=strain).select(pairs.x < 1), 0 * one)
            found.append(float(LinearResponse(laws, ev).mean_self_stiffness().mean()))
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    # A modulus without temperature has no heat capacity that could be fitted.
    laws = isothermal_laws(guess)
    assert not any(p is laws.shear.log_alpha for p in free_parameters(laws))
    assert torch.equal(thermal_laws(laws).shear.log_moduli, laws.shear.log_moduli)


def test_laws_of_a_solid_need_a_reference_state() -> None:
    recording = recorded(known=False)
    window = WindowSource(recording, GAS.cutoff)(0, 5)
    filter_ = Filter(gas_laws(GAS), ConstantEntropy(), GAS.temperature)
    with pytest.raises(UsageError, match="knows no reference state"):
        run_window(filter_, fresh_state(window), window)


def test_who_is_lost_from_view_strains_nobody() -> None:
    """A track that ends changes the predictions of its neighbours a little, and those of nobody else."""
    window = WindowSource(recorded(), GAS.cutoff)(0, 12)
    filter_ = Filter(gas_laws(GAS), ConstantEntropy(), GAS.temperature)
    present = window.present.clone()
    present[8:, 20] = False
    index = tuple(p[:, (p != 20).all(0)] if k >= 8 else p for k, p in enumerate(window.pairs))
    lost = replace(window, present=present, observed=window.observed & present, pairs=index)
    before, after = (run_window(filter_, fresh_state(w), w)[0] for w in (window, lost))
    reference = window.reference
    assert reference is not None
    near = reference.index[:, (reference.index == 20).any(0)].unique()
    second = reference.index[:, torch.isin(reference.index, near).any(0)].unique()
    others = torch.ones(56, dtype=torch.bool)
    others[20] = False
    moved = (after.v - before.v).norm(dim=1)
    thermal = GAS.temperature**0.5
    assert float(moved[others].max()) < 0.7 * thermal
    assert float(moved[near[near != 20]].max()) > 10 * float(
        moved[~torch.isin(torch.arange(56), second)].max()
    )


@pytest.mark.slow
def test_the_modulus_is_found_with_its_interval() -> None:
    recording = recorded()
    guess = first_guess(recording, judge(recording, 1.5 * GAS.cutoff), GAS.cutoff, SOLID)
    windows, split = WindowSource(recording, GAS.cutoff), split_by_time(0, FRAMES, 0.75, 0.15)
    fit = fit_isothermal(windows, split, guess, TrainOptions(isothermal_steps=40, scoring_rounds=4), [])
    value, low, high = shear_modulus(fit.laws, estimate_uncertainty(fit, windows, split))
    true = GAS.shear * GAS.temperature
    assert low < true < high and high / low < 1.8
    assert value == pytest.approx(true, rel=0.25)


def test_simulations_of_the_true_solid_have_the_score_of_its_recording() -> None:
    """The step to the modulus whose simulations look like the data is none beyond its scatter."""
    windows, split = WindowSource(recorded(), GAS.cutoff), split_by_time(0, FRAMES, 0.75, 0.15)
    laws = gas_laws(GAS)
    laws.shear.log_moduli.requires_grad_(True)
    filter_ = Filter(laws, ConstantEntropy(), GAS.temperature)
    known_to = estimate_uncertainty(
        filter_, windows, split, expectation=expected_score(3), anchor=read_values(filter_)
    )
    equation = known_to.equation
    assert equation is not None
    deviation = float(known_to.covariance[0, 0] ** 0.5)
    assert 0.01 < deviation < 0.3
    assert abs(float(equation.step()[0])) < 3 * deviation


def plan(n_frames: int = 12) -> Plan:
    """All particles but four, which follow the recording; one of these leaves."""
    now = motion()
    simulated = np.ones(56, dtype=bool)
    simulated[[5, 22, 23, 40]] = False
    r, v = now.r[:n_frames].copy(), now.v[:n_frames].copy()
    S = now.S[:n_frames].copy()
    r[1:, simulated], v[1:, simulated], S[1:, simulated] = np.nan, np.nan, np.nan
    r[7:, 40], v[7:, 40], S[7:, 40] = np.nan, np.nan, np.nan
    box = np.full(2, now.box)
    return Plan(0, np.arange(56), simulated, r, v, S, np.ones(56), box, reference=GAS.reference)


@cache
def rolled() -> list[RolloutFrame]:
    return list(roll_out(gas_laws(GAS), plan(), seeds=[3, 4], steps_per_frame=8, fuse=True))


def test_the_books_of_a_solid_close() -> None:
    laws, thermal = gas_laws(GAS), GAS.temperature
    assert not uses_tables(laws, "conserving", tables=True) and not can_fuse(laws, "conserving")
    for before, after in zip(rolled(), rolled()[1:], strict=False):
        made = after.budget.energy - before.budget.energy - after.budget.work - after.budget.heat
        np.testing.assert_allclose(made, after.budget.energy_drift, atol=1e-9)
    drift = sum(np.abs(frame.budget.energy_drift) for frame in rolled()[1:])
    assert (drift < 0.02 * 56 * thermal).all()
    assert max(np.abs(frame.budget.momentum_drift).max() for frame in rolled()[1:]) < 1e-10
    # They rattle about their places.
    assert np.nanmax(np.linalg.norm(rolled()[-1].r - rolled()[0].r, axis=-1)) < 0.6 * GAS.spacing


def test_a_rollout_of_a_solid_taken_up_goes_the_same_way() -> None:
    frame = rolled()[5]
    rest = roll_out(
        gas_laws(GAS), plan(), seeds=[3, 4], steps_per_frame=8, resume=Resume(5, frame.r, frame.v, frame.S)
    )
    for again, whole in zip(rest, rolled()[6:], strict=True):
        np.testing.assert_allclose(again.r, whole.r, atol=1e-9)


def test_a_member_is_the_rollout_of_its_seed_alone() -> None:
    alone = list(roll_out(gas_laws(GAS), plan(), seeds=[4], steps_per_frame=8))
    for one, both in zip(alone, rolled(), strict=True):
        np.testing.assert_allclose(one.r[0], both.r[1], atol=1e-9)
