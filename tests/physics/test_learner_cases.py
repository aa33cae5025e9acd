"""The cases of the learner's benchmark on gases too small for most of its bars: what must hold even there.

The bars themselves are measured by `colloidlab benchmark learner`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from colloidlab.benchmarks import learner_forms, learner_gas, learner_temperature
from colloidlab.benchmarks.learner_gas import BURN_IN, Learned, Size, learn, temperature_error
from colloidlab.benchmarks.rows import Row
from colloidlab.dataset.split import Split, split_by_time
from colloidlab.model import train_options
from colloidlab.model.entropy import ConstantEntropy
from colloidlab.model.filter import Filter
from colloidlab.model.held_out import compare, follow
from colloidlab.model.sequence import WindowSource
from colloidlab.model.tensors import float64
from colloidlab.model.train import Fit
from colloidlab.progress import Monitor
from colloidlab.synthetic.gas import Gas, gas_laws, observe, simulate_gas

TINY = Size(train_frames=60, test_frames=80, isothermal_steps=3, filter_steps=3)
GAS = Gas(n=60, wave=0.8)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Every motion is simulated once; no steps of Newton, which cost more than such a fit; one gain of the oracle of six;
    and of so few frames a larger share to choose with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner_gas, "simulate_gas", cache(simulate_gas))
        patch.setattr(learner_gas, "SCORING_ROUNDS", 0)
        patch.setattr(train_options, "LEAST_TRIAL_STEPS", 2)
        patch.setattr(learner_gas, "_GAINS", learner_gas._GAINS[2:3])
        patch.setattr(
            learner_gas, "split_by_time", lambda first, stop, *_: split_by_time(first, stop, 0.6, 0.2)
        )
        yield


@pytest.fixture(scope="module")
def learned() -> Learned:
    return learn(GAS, 0.05, TINY, seed=1)


def by_name(rows: object) -> dict[str, Row]:
    assert isinstance(rows, list)
    return {row.name: row for row in rows}


def test_the_oracle_finds_the_temperature(learned: Learned) -> None:
    """The true law with the filter: likelier than one temperature for all, and nearer to the truth than that."""
    gain = learned.oracle_gain.gain
    assert float(gain["gain"]) > 0
    rms, correlation = temperature_error(learned, learned.oracle)
    plain, none = temperature_error(learned, learned.isothermal)
    # Of equal numbers there is no correlation but that of their round-off.
    assert abs(none) < 1e-9 and correlation > 0.3
    true = np.log(learned.held_out.T[BURN_IN:])
    # One temperature for all is off by the spread of the truth at the least.
    assert plain > 0.99 * true.std() and rms < plain


def test_what_was_held_out_was_not_fitted(learned: Learned) -> None:
    """Another recording of the same gas, all of it filtered; what is judged begins after the burn-in."""
    assert learned.held_out.r.shape == (TINY.test_frames, GAS.n, 2)
    assert len(learned.thermal.count) == TINY.test_frames - 1
    assert {c.phase for c in learned.fit.curves} >= {"isothermal", "filter"}
    assert learned.thermal.form == "filter" and learned.uncorrected is None


def test_both_laws_are_corrected_where_the_start_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the yardstick of the gain is the isothermal law before that."""
    corrected: list[tuple[str, int]] = []

    def correct(filter_: Filter, *_: object, rounds: int, **__: object) -> None:
        corrected.append((filter_.inference.form, rounds))
        with torch.no_grad():
            filter_.laws.amplitudes.A += 1.0

    monkeypatch.setattr(learner_gas, "correct_laws", correct)
    monkeypatch.setattr(train_options, "LEAST_TRIAL_STEPS", 1)
    found = learn(GAS, 0.05, TINY, seed=1, corrections=2, start_corrected=True)
    assert corrected == [("isothermal", 2), ("filter", 2)]
    assert found.fit.likeliest is not None and found.uncorrected is not None
    shift = found.fit.isothermal.laws.amplitudes.A - found.fit.likeliest.laws.amplitudes.A
    assert shift.tolist() == pytest.approx([1.0] * len(shift), rel=1e-12)
    own = follow(found.fit.likeliest, WindowSource(found.recording, GAS.cutoff))
    assert np.array_equal(found.isothermal.loglik, own.loglik)
    corrected.clear()
    learn(GAS, 0.05, TINY, seed=1, corrections=2)
    assert corrected == [("filter", 2)]


QUANTITIES = ("noise across", "noise along", "noise", "friction", "pressure")


def test_rows_of_a_perfect_fit_hold_every_bar(learned: Learned) -> None:
    """With the true law and the oracle's own filter in the place of the fit, all ratios are one and all deviations zero."""
    thermal = Filter(gas_laws(GAS), learned.fit.thermal.inference, GAS.temperature)
    perfect = replace(
        learned,
        fit=replace(learned.fit, thermal=thermal),
        thermal=learned.oracle,
        gain=learned.oracle_gain,
    )
    rows = by_name(list(learner_temperature._against_the_oracle("gas", perfect, bars=True)))
    for name, row in rows.items():
        if "oracle's" in name:
            assert row.value == pytest.approx(1.0, rel=1e-12) and row.holds, name
        if "deviation" in name:
            assert abs(row.value) < 1e-9, name
        if "slope" in name:
            assert row.value == pytest.approx(1.0, rel=1e-9), name
    barred = {name.split(": ")[1].split(" (")[0] for name, row in rows.items() if row.bar}
    assert barred == {
        "gain / oracle's",
        "lower end of the gain's interval",
        "rms error of ln T / oracle's",
        "correlation / oracle's",
        "95 % intervals of ln T that hold it",
        *(f"{quantity}, largest deviation" for quantity in QUANTITIES),
    }


def test_intervals_of_the_temperature_are_counted(learned: Learned) -> None:
    state = learned.thermal.state.copy()
    off = np.log(state["temperature_px2"] / learned.held_out.T[state["frame"], state["particle"]]).abs()
    # Just wide enough for every second particle, and for nobody before the burn-in.
    state["sigma_ln_temperature"] = off / 1.96 * np.where(state["particle"] % 2, 1.01, 0.99)
    state.loc[state["frame"] < BURN_IN, "sigma_ln_temperature"] = 0.0
    found = learner_temperature._coverage(replace(learned, thermal=replace(learned.thermal, state=state)))
    assert found == pytest.approx(0.5, abs=1e-12)


def test_rows_of_the_fit_are_its_own(learned: Learned) -> None:
    """Beside the perfect ones: a fit of a dozen steps is not the true law, and its rows say so."""
    rows = by_name(list(learner_temperature._against_the_oracle("gas", learned, bars=False)))
    assert all(row.bar == "" and row.holds is None and math.isfinite(row.value) for row in rows.values())
    best = float(learned.oracle_gain.gain["gain"])
    gain = rows[f"gas: gain over isothermal, of the oracle {best:.4f}"].value
    assert rows["gas: gain / oracle's"].value == pytest.approx(gain / best, rel=1e-9)
    assert rows["gas: noise, largest deviation"].value > 1e-3


def with_the_true_law(
    gas: Gas, sigma: float | np.ndarray, size: Size, *, seed: int, monitor: Monitor
) -> Learned:
    """In the place of a fit: the true law with the best entropy that is one for all, and the same with the filter.

    Fits of a few steps gain by steps alone, and long ones are the benchmark's.
    """
    held_out = simulate_gas(gas, size.test_frames, seed=seed)
    windows = WindowSource(observe(held_out, sigma, seed=seed), gas.cutoff)
    laws = gas_laws(gas)
    passes = []
    for level in (0.9, 0.95, 1.0):
        # The likelihood prefers noise that is some per cent too low (`rollout.indirect`), and the filter follows it.
        T = gas.temperature * level
        start = float(laws.energy.entropy(float64([T]), float64([gas.volume])))
        plain = Filter(laws, ConstantEntropy(start), gas.temperature)
        passes.append(follow(plain, windows))
    one = max(passes, key=lambda p: float(p.loglik[BURN_IN:].sum()))
    filtered = learner_gas._oracle(gas, windows, monitor)
    split = Split((0, BURN_IN), (BURN_IN, BURN_IN), (BURN_IN, size.test_frames))
    gain = compare(one, filtered, split, 0, gas.n_dims)
    return Learned(
        gas, held_out, windows.recording, Fit(plain, plain, []), one, filtered, filtered, gain, gain
    )


@pytest.mark.parametrize(("wave", "heat_capacity"), [(0.0, 2000.0), (0.8, 40.0)])
def test_a_temperature_is_found_where_it_varies_and_not_where_it_is_one(
    monkeypatch: pytest.MonkeyPatch, wave: float, heat_capacity: float
) -> None:
    gas = Gas(n=200, heat_capacity=heat_capacity, wave=wave)
    monkeypatch.setattr(learner_temperature, "NULLS", {"gas": gas})
    asked: list[tuple[int, bool]] = []

    def learn(*arguments: Any, corrections: int, start_corrected: bool, **options: Any) -> Learned:
        asked.append((corrections, start_corrected))
        return with_the_true_law(*arguments, **options)

    monkeypatch.setattr(learner_temperature, "learn", learn)
    rows = by_name(list(learner_temperature.null_rows(TINY)))
    assert asked == [(0, False), (0, False), (1, True)]
    for errors in ("", ", errors differ", ", corrected"):
        low = rows[f"gas{errors}: lower end of the gain's interval"]
        assert low.bar == "<= 0" and low.value < rows[f"gas{errors}: gain"].value
        assert low.holds == rows[f"gas{errors}: temperature identified"].holds == (wave == 0)
    assert "gas, errors differ: upper end of the gain's interval" in rows
    # A corrected law may lose to the optimum of one temperature.
    assert "gas, corrected: upper end of the gain's interval" not in rows


def test_forms_are_compared_on_the_same_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_forms, "_GASES", {"gas": GAS})
    rows = list(learner_forms.form_rows(TINY))
    found = by_name(rows)
    assert all(math.isfinite(row.value) for row in rows)
    heads = [
        row.name.partition("gain over isothermal")[2] for row in rows if "gain over isothermal" in row.name
    ]
    # The oracle is one: of the same motion, over isothermal fits of the same windows.
    assert len(heads) == 2 and heads[0] == heads[1]
    gains = {
        form: next(r.value for r in rows if r.name.startswith(f"gas, {form}: gain over"))
        for form in ("filter", "encoder")
    }
    ahead = found["gas: gain of the filter over the encoder"]
    assert ahead.bar == ">= 0" and ahead.value == pytest.approx(gains["filter"] - gains["encoder"])
    assert f"gas: gain of starting the filter with the encoder, first {BURN_IN} frames" in found
