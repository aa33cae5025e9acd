"""The learner's benchmark as a program: its rows, on a gas too small to hold any bar."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from colloidlab.benchmarks import (
    learner_functions,
    learner_gas,
    learner_mixture,
    learner_parts,
    learner_positions,
)
from colloidlab.benchmarks.learner import benchmark_learner
from colloidlab.benchmarks.learner_functions import VISITED, force_errors, function_errors
from colloidlab.benchmarks.learner_gas import Size
from colloidlab.dataset.split import Split
from colloidlab.errors import UsageError
from colloidlab.model.filter import Filter
from colloidlab.model.sequence import WindowSource
from colloidlab.model.uncertainty import Uncertainty, estimate_uncertainty
from colloidlab.synthetic.gas import Gas, gas_laws, simulate_gas

TINY = Size(train_frames=160, test_frames=20, isothermal_steps=4, filter_steps=8)


def test_positions_are_fitted_corrected_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    corrected: list[int] = []
    monkeypatch.setattr(learner_positions, "GAS", Gas(n=40, heat_capacity=2000.0, wave=0.0))
    monkeypatch.setattr(learner_positions, "SCORING_ROUNDS", 0)

    def not_corrected(
        filter_: Filter, windows: WindowSource, split: Split, *, rounds: int, **_: object
    ) -> Uncertainty:
        """A correction takes minutes and has tests of its own."""
        corrected.append(rounds)
        return estimate_uncertainty(filter_, windows, split)

    monkeypatch.setattr(learner_positions, "correct_laws", not_corrected)
    cases = {"seen": (0.1, 1, True), "every second, not known": (0.1, 2, False)}
    monkeypatch.setattr(learner_positions, "CASES", cases)
    rows = {row.name: row for row in benchmark_learner(["positions"], size=TINY)}
    assert corrected == [learner_positions.CORRECTIONS] * 2
    for case in cases:
        for quantity in ("noise across", "noise along", "noise", "friction", "pressure"):
            assert rows[f"{case}: {quantity}, largest deviation"].bar == "<= 0.1"
            # Beside it, without a bar: what the likelihood alone finds.
            assert rows[f"{case}, likelihood alone: {quantity}, largest deviation"].bar == ""
        share = rows[f"{case}: points of the true curves in the 95 % bands"]
        assert 0 <= share.value <= 1 and share.bar == ">= 0.8"
        assert rows[f"{case}: width of the bands, median of upper / lower"].value > 1
        assert f"{case}, finite differences: noise, largest deviation" in rows
    assert rows["every second, not known: error found / true - 1"].bar == "<= 0.1"
    assert all(math.isfinite(row.value) for row in rows.values())


@pytest.mark.slow
def test_parts_are_fitted_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_parts, "SCORING_ROUNDS", 0)
    monkeypatch.setattr(learner_gas, "BURN_IN", 8)
    small = {
        name: (replace(gas, n=56 if gas.shear else 40), parts)
        for name, (gas, parts) in learner_parts.GASES.items()
    }
    for null in ("NULL_CRYSTAL", "NULL_FLUID"):
        monkeypatch.setattr(learner_parts, null, replace(getattr(learner_parts, null), n=56))
    monkeypatch.setattr(learner_parts, "GASES", small)
    monkeypatch.setattr(learner_parts, "NULL", replace(learner_parts.NULL, n=40))
    size = replace(TINY, train_frames=170, test_frames=40, isothermal_steps=2)
    rows = {row.name: row for row in benchmark_learner(["parts"], size=size)}
    for quantity in ("friction", "temperature"):
        assert rows[f"bath: its {quantity}, found / true - 1"].bar == "<= 0.1"
        assert rows[f"bath: the 95 % interval of its {quantity} holds the true one"].value in (0, 1)
    # Two steps find little: what is told is told with a bar, and beside it what laws without the part make of it.
    force = "attraction: force of a pair, laws {} it, largest deviation / largest force"
    assert rows[force.format("with")].bar == "<= 0.1" and rows[force.format("without")].bar == ""
    assert rows["attraction: points of the true force in the 95 % bands"].bar == ">= 0.8"
    assert rows["solid: shear modulus, found / true - 1"].bar == "<= 0.1"
    assert rows["solid: the 95 % interval of the shear modulus holds the true one"].value in (0, 1)
    assert rows["solid: Lindemann parameter / critical"].bar == "<= 1"
    low, modulus, high = (
        rows[f"crystal held by pushes alone, fitted as a solid: shear modulus{end}"].value
        for end in (", lower end of its interval", "", ", upper end")
    )
    assert 0 < low < modulus < high
    assert rows["fluid, fitted as a solid: Lindemann parameter / critical"].bar == ">= 1"
    for null in (
        "neither bath nor attraction, both fitted",
        "crystal held by pushes alone, fitted as a solid",
        "fluid, fitted as a solid",
    ):
        assert rows[f"{null}: lower end of the gain's interval"].bar == "<= 0"
    assert all(math.isfinite(row.value) for row in rows.values())


@pytest.mark.slow
def test_a_mixture_is_fitted_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_parts, "SCORING_ROUNDS", 0)
    monkeypatch.setattr(learner_gas, "BURN_IN", 8)
    for name in ("MIXTURE", "NULL", "SMALL"):
        monkeypatch.setattr(learner_mixture, name, replace(getattr(learner_mixture, name), n=40))
    monkeypatch.setattr(learner_mixture, "CORRECTIONS", 1)
    size = replace(TINY, train_frames=170, test_frames=40, isothermal_steps=2)
    rows = {row.name: row for row in benchmark_learner(["mixture"], size=size)}
    for kind in ("0 + 0", "0 + 1", "1 + 1"):
        row = f"mixture: noise across, pairs {kind}, {{}}: largest deviation / largest value"
        assert rows[row.format("corrected")].bar == "<= 0.15"
        assert rows[row.format("likelihood alone")].bar == rows[row.format("laws of one species")].bar == ""
    assert rows["mixture: points of the true functions in the 95 % bands"].bar == ">= 0.8"
    assert rows["species told apart: lower end of its interval"].bar == "<= 0"
    assert rows["species not told apart: lower end of its interval"].bar == ""
    assert rows["mixture: mass of the second species, found / true - 1"].bar == "<= 0.05"
    assert rows["species alike: the 95 % interval of its mass holds the true one"].value in (0, 1)
    assert rows["species alike: lower end of the gain's interval"].bar == "<= 0"
    assert all(math.isfinite(row.value) for row in rows.values())


@pytest.mark.parametrize(
    ("cases", "seeds", "said"), [(["pressure"], 1, "no case 'pressure'"), ([], 0, "seeds")]
)
def test_what_cannot_be_measured_is_named(cases: list[str], seeds: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        benchmark_learner(cases, seeds=seeds)


def test_every_second_frame_is_the_same_gas_in_other_units() -> None:
    gas = Gas()
    slow = learner_positions.slower(gas, 2)
    # A rate per frame doubles, a squared displacement per frame goes with its square.
    assert slow == replace(gas, temperature=4 * gas.temperature, friction=0.6, conduction=0.004)


def test_a_law_with_half_the_pressure_makes_half_the_force() -> None:
    gas = Gas(n=40)
    motion = simulate_gas(gas, 4, seed=1)
    laws = gas_laws(gas)
    exact = force_errors(laws, gas, motion)
    assert (exact.slope, exact.virial_slope) == pytest.approx((1.0, 1.0), rel=1e-9)
    assert exact.rms < 1e-9
    with torch.no_grad():
        # Of one thermal term and no cold one, P = beta u/V at given T, that is at given u.
        laws.energy.log_beta -= math.log(2)
    half = force_errors(laws, gas, motion)
    assert (half.slope, half.rms, half.virial_slope) == pytest.approx((0.5, 0.5, 0.5), rel=1e-6)


def test_errors_of_the_amplitudes_do_not_hide_in_their_trace() -> None:
    """Less noise across and more along a pair, so that tr K stays; and twice the conduction."""
    gas = Gas(n=40)
    motion = simulate_gas(gas, 4, seed=1)
    laws = gas_laws(gas)
    exact = function_errors(laws, gas, motion)
    assert all(found.largest < 1e-12 for found in vars(exact).values())
    with torch.no_grad():
        # tr K = A^2 + B^2/2 at D = 2 with K_perp = A^2/2 and K_par = (A^2 + B^2)/2.
        laws.amplitudes.A += math.log(0.75)
        laws.amplitudes.B += math.log(1.5)
        laws.amplitudes.C += math.log(2)
    found = function_errors(laws, gas, motion)
    assert found.noise.overall == pytest.approx(0, abs=1e-12)
    assert found.noise_across.overall == pytest.approx(-0.25, rel=1e-9)
    assert found.noise_along.overall == pytest.approx(0.125, rel=1e-9)
    assert found.conduction is not None and found.conduction.overall == pytest.approx(1, rel=1e-9)
    assert found.pressure.largest < 1e-12


@pytest.mark.parametrize(("ends", "worst"), [((0.0, 0.1), 5), ((0.1, 0.0), 1)])
def test_the_worst_bin_is_named(ends: tuple[float, float], worst: int) -> None:
    """ln A^2 off by a straight line between the ends of the visited distances."""
    gas = Gas(n=40)
    motion = simulate_gas(gas, 4, seed=1)
    laws = gas_laws(gas)
    slope, at_zero = np.polyfit(2 * np.array(VISITED) - 1, ends, 1)
    with torch.no_grad():
        (level,) = laws.amplitudes.A.tolist()
        laws.amplitudes.A = torch.nn.Parameter(laws.amplitudes.A.new_tensor([level + at_zero, slope]))
    assert function_errors(laws, gas, motion).noise_across.bin == worst


def test_bins_that_nothing_visits_are_left_out_and_no_others() -> None:
    """Of the fitted and the true sum: an empty bin; one of which the fit is no number must not pass for one."""
    one_empty = np.array([[1.1, 1.0], [0.0, 0.0], [3.0, 3.0]])
    found = learner_functions._deviation(one_empty)
    assert (found.largest, found.bin) == (pytest.approx(0.1), 1)
    for broken in (math.nan, math.inf):
        one_empty[1] = broken, 1.0
        assert not learner_functions._deviation(one_empty).largest <= 0.15
