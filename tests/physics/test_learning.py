"""Short fits to simulated gases of known law: what is learned, and that nothing is found where nothing is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_gas import CUTOFF, TEMPERATURE, VOLUME, Motion, record, simulate, thermal_gas, watch

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.regime import judge
from colloidlab.dataset.split import split_by_time
from colloidlab.dataset.windows import read_window
from colloidlab.model import brackets, response
from colloidlab.model.entropy import ConstantEntropy
from colloidlab.model.filter import Filter
from colloidlab.model.forms import calm_filter, isothermal_laws
from colloidlab.model.guess import first_guess
from colloidlab.model.held_out import Comparison, Pass, compare, follow, pass_both
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.sequence import WindowSource, fresh_state, run_window
from colloidlab.model.train import Fit, TrainOptions, fit_laws
from colloidlab.synthetic.gas import Gas, observe, simulate_gas

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Learned:
    """Everything about one fit."""

    truth: Laws
    motion: Motion
    tracks: pd.DataFrame
    recording: Recording
    fit: Fit
    thermal: Pass
    comparison: Comparison


def learn(truth: Laws, motion: Motion, options: TrainOptions) -> Learned:
    tracks = watch(motion, 0.05)
    recording = record(tracks, motion.box)
    guess = first_guess(recording, judge(recording, 1.5 * CUTOFF), CUTOFF)
    split = split_by_time(recording.first, recording.stop, 0.6, 0.15)
    fit = fit_laws(recording, split, guess, options)
    isothermal, thermal = pass_both(fit, WindowSource(recording, CUTOFF))
    comparison = compare(isothermal, thermal, split, recording.first)
    return Learned(truth, motion, tracks, recording, fit, thermal, comparison)


@pytest.fixture(scope="module")
def uniform() -> Learned:
    """One temperature, and a heat capacity so large that it stays one."""
    laws = thermal_gas(heat_capacity=2000.0)
    motion = simulate(laws, n=220, n_frames=120, seed=62)
    return learn(
        laws, motion, TrainOptions(isothermal_steps=80, filter_steps=4, window_frames=10, burn_in_frames=5)
    )


@pytest.fixture(scope="module")
def waved() -> Learned:
    """Hot and cold stripes that conduction does not level within the recording."""
    laws = thermal_gas(heat_capacity=40.0, conduction=0.002)
    motion = simulate(laws, n=220, n_frames=120, seed=51, wave=0.6)
    return learn(
        laws, motion, TrainOptions(isothermal_steps=40, filter_steps=8, window_frames=12, burn_in_frames=6)
    )


def friction_and_noise(laws: Laws, recording: Recording, S: float) -> tuple[float, float]:
    """Mean drag and mean noise of a velocity component of interior particles, at entropy S for all."""
    window = read_window(recording, recording.first, recording.first + 60, CUTOFF)
    found = []
    for k in range(0, 60, 10):
        pairs = pair_geometry(window.positions[k], window.pairs[k], CUTOFF, window.scale)
        with torch.no_grad():
            ev = brackets.evaluate(laws, pairs, torch.full((len(window.slot),), S, dtype=torch.float64))
            drag = response.LinearResponse(laws, ev).mean_self_friction()[window.interior[k]].mean()
            noise = brackets.velocity_noise(laws, ev)[window.interior[k]].diagonal(dim1=1, dim2=2).mean()
        found.append((float(drag), float(noise)))
    a, b = np.mean(found, axis=0)
    return float(a), float(b)


def entropy_at(laws: Laws, temperature: float) -> float:
    T, V = (torch.tensor([x], dtype=torch.float64) for x in (temperature, VOLUME))
    return float(laws.energy.entropy(T, V)[0])


def test_temperature_friction_and_noise_of_a_uniform_gas(uniform: Learned) -> None:
    """About 60 interior particles over 72 frames, two components each: the information on ln(drag) is drag/2 a frame
    and component, so its error is 0.04; noise 0.02; their ratio, the temperature, 0.045. Bounds are above 2 of these.
    """
    laws = uniform.fit.isothermal.laws
    drag, noise = friction_and_noise(laws, uniform.recording, 0.0)
    true_drag, true_noise = friction_and_noise(
        uniform.truth, uniform.recording, entropy_at(uniform.truth, TEMPERATURE)
    )
    assert float(laws.energy.log_temperature.detach().exp()) == pytest.approx(TEMPERATURE, rel=0.1)
    assert drag == pytest.approx(true_drag, rel=0.25)
    assert noise == pytest.approx(true_noise, rel=0.25)


def test_no_temperature_is_found_where_there_is_one_for_all(uniform: Learned) -> None:
    row = uniform.comparison.table.set_index("model").loc["filter"]
    assert row["gain_low"] <= 0
    assert not uniform.comparison.temperature_identified


def test_calm_laws_say_what_isothermal_ones_say(uniform: Learned) -> None:
    """To less than what a gain's interval is wide."""
    windows = WindowSource(uniform.recording, CUTOFF)
    isothermal = follow(uniform.fit.isothermal, windows)
    calm = follow(calm_filter(uniform.fit.isothermal), windows)
    assert np.array_equal(isothermal.count, calm.count) and isothermal.count.sum() > 1000
    assert abs(float((calm.loglik - isothermal.loglik).sum() / calm.count.sum())) < 1e-4
    temperatures = calm.state["temperature_px2"]
    assert 0 < float(np.log(temperatures).std()) < 0.03
    # Corrections must not move what nothing is known of.
    laws = calm_filter(uniform.fit.isothermal).laws
    frozen = laws.energy.log_alpha, laws.amplitudes.powers, laws.amplitudes.C
    assert not any(parameter.requires_grad for parameter in frozen) and laws.amplitudes.A.requires_grad
    found = float(uniform.fit.isothermal.laws.energy.log_temperature.detach().exp())
    assert float(temperatures.mean()) == pytest.approx(found, rel=0.02)


@pytest.mark.parametrize("which", ["uniform", "waved"])
def test_one_temperature_is_taken_where_the_validation_block_likes_it_better(
    which: str, request: pytest.FixtureRequest
) -> None:
    learned: Learned = request.getfixturevalue(which)
    rows = [row for row in learned.fit.curves if not row.phase.startswith("isothermal")]
    calm = [row.validation_loglik for row in rows if row.phase == "one temperature"]
    others = [row.validation_loglik for row in rows if row.phase != "one temperature"]
    (capacity,) = learned.fit.thermal.laws.energy.heat_capacities.tolist()
    assert len(calm) == 1
    assert (capacity > 900) == (calm[0] > max(others)) == (which == "uniform")


def test_the_fitted_law_beats_both_baselines(uniform: Learned, waved: Learned) -> None:
    for learned in (uniform, waved):
        table = learned.comparison.table.set_index("model")
        for baseline in ("constant_velocity", "diffusion"):
            assert table.loc[baseline, "gain_high"] < 0


def test_entropy_pays_where_temperature_varies(waved: Learned) -> None:
    row = waved.comparison.table.set_index("model").loc["filter"]
    assert row["gain_low"] > 0
    assert waved.comparison.temperature_identified


def test_the_learned_temperature_is_the_true_one(waved: Learned) -> None:
    """Which particles are hot is learned from their motion alone; chance gives 1/sqrt(60) = 0.13."""
    state = waved.thermal.state
    late = state[(state["frame"] >= 60) & ~state["boundary"]]
    both = late.merge(waved.tracks[["frame", "particle", "T"]], on=["frame", "particle"])
    assert np.corrcoef(np.log(both["temperature_px2"]), np.log(both["T"]))[0, 1] > 0.5
    # Noise grows with temperature in the truth, so it must in what was learned: the sign is chosen by the data.
    assert float(waved.fit.thermal.laws.amplitudes.powers[0].detach()) > 0


@pytest.mark.parametrize("window_frames", [6, 40])
def test_training_never_reads_a_test_frame(window_frames: int) -> None:
    """Positions of the test block may be anything: laws and curves are the same bits, also where a window is too long."""
    laws = thermal_gas()
    motion = simulate(laws, n=100, n_frames=50, seed=71)
    options = TrainOptions(isothermal_steps=2, filter_steps=4, window_frames=window_frames, burn_in_frames=3)
    split = split_by_time(0, 50, 0.6, 0.18)
    tracks = watch(motion, 0.05)
    guess = first_guess(record(tracks, motion.box), judge(record(tracks, motion.box), 1.5 * CUTOFF), CUTOFF)
    fits = []
    for nonsense in (0.0, 3.0):
        changed = tracks.copy()
        changed.loc[changed["frame"] >= split.test[0], ["x", "y"]] += nonsense
        # The same edges for both: the hull of all positions would know of the test block.
        recording = replace(record(changed, motion.box), edge=record(tracks, motion.box).edge)
        fits.append(fit_laws(recording, split, guess, options))
    one, two = fits
    for name, tensor in one.thermal.laws.state_dict().items():
        assert torch.equal(tensor, two.thermal.laws.state_dict()[name]), name
    for a, b in zip(one.curves, two.curves, strict=True):
        assert (a.train_loglik, a.validation_loglik) == (b.train_loglik, b.validation_loglik), a.phase


def test_training_curves_are_complete(uniform: Learned) -> None:
    phases = {row.phase for row in uniform.fit.curves}
    assert {"isothermal", "trial, noise grows with T", "trial, noise falls with T"} <= phases
    assert max(row.step for row in uniform.fit.curves if row.phase == "isothermal") == 80
    assert all(math.isfinite(row.train_loglik + row.validation_loglik) for row in uniform.fit.curves)


def test_the_first_guess_of_a_dilute_gas_is_finite() -> None:
    """Soft neighbours that are far apart give no mean stiffness; the first laws must not explode for that."""
    gas = Gas(n=40, heat_capacity=2000.0, wave=0.0)
    recording = observe(simulate_gas(gas, 24, seed=5, steps=4), 0.1, seed=5)
    guess = first_guess(recording, judge(recording, 1.5 * gas.cutoff), gas.cutoff)
    assert guess.stiffness_per_amplitude > 1e-6
    window = read_window(recording, 0, 12, gas.cutoff)
    filter_ = Filter(isothermal_laws(guess), ConstantEntropy(), guess.temperature)
    _, total, count = run_window(filter_, fresh_state(window), window)
    # A diffuse Gaussian of the thermal displacement would have about -1 a prediction.
    assert float(total / count) > -5
