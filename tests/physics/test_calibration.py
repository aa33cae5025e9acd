"""Calibration of predictions: exact for a known law, and a law that is too sure or too unsure is found out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chisquare, kstest
from small_gas import TEMPERATURE, Motion, isothermal_gas, record, simulate, watch

from colloidlab.model.entropy import ConstantEntropy
from colloidlab.model.filter import Filter
from colloidlab.model.held_out import follow
from colloidlab.model.laws import Laws
from colloidlab.model.sequence import WindowSource
from colloidlab.rollout.calibration import judge_forecasts, pit
from colloidlab.rollout.forecast import Forecasting, Forecasts, forecast, start_frames
from colloidlab.units import Calibration

CAMERA = Calibration()


def gaussian(spread: float, *, members: int = 19, n: int = 4000, seed: int = 0) -> Forecasts:
    """Predictions of unit Gaussians, of which the ensemble has another spread."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(0, 5, (n, 2))
    start = np.repeat(np.arange(10), n // 10)
    return Forecasts(
        start=np.tile(start, 1),
        horizon=np.ones(n, dtype=np.int64),
        predicted=centre + spread * rng.normal(size=(members, n, 2)),
        observed=centre + rng.normal(size=(n, 2)),
        rest=centre + 3,
        straight=centre,
    )


@pytest.mark.parametrize("members", [1, 4, 19])
def test_ranks_of_a_true_law_are_uniform_for_any_number_of_members(members: int) -> None:
    made = gaussian(1.0, members=members)
    values = pit(made.predicted, made.observed, np.random.default_rng(1))
    assert kstest(values.ravel(), "uniform").pvalue > 0.01


def test_ties_are_broken_at_random() -> None:
    rng = np.random.default_rng(2)
    predicted, observed = rng.integers(0, 3, (9, 20_000)), rng.integers(0, 3, 20_000)
    values = pit(predicted.astype(float), observed.astype(float), rng)
    assert kstest(values, "uniform").pvalue > 0.01


def test_coverage_is_what_it_says_and_finds_wrong_spreads() -> None:
    right = judge_forecasts(gaussian(1.0), CAMERA).summary
    for level in (50, 80, 95):
        low, high = right[f"coverage_{level}_first_low"], right[f"coverage_{level}_first_high"]
        assert low < level / 100 < high and high - low < 0.04
    sure = judge_forecasts(gaussian(0.5), CAMERA).summary
    assert sure["coverage_95_first_high"] < 0.85 and sure["coverage_50_first_high"] < 0.35
    unsure = judge_forecasts(gaussian(2.0), CAMERA).summary
    assert unsure["coverage_50_first_low"] > 0.7 and unsure["coverage_95_first_low"] > 0.97


def test_histogram_and_skill() -> None:
    curves = judge_forecasts(gaussian(0.5, members=99), Calibration(um_per_px=0.5, fps=10)).curves
    bins = curves[curves["quantity"] == "pit_1"]
    assert bins["y"].mean() == pytest.approx(1)
    assert bins["y"].iloc[0] > 2 and bins["y"].iloc[5] < 0.7
    rms = {name: part for name, part in curves.groupby("quantity") if name.startswith("rms")}
    assert rms["rms_velocity"]["y"].item() == pytest.approx(0.5, rel=0.03)
    assert rms["rms_rest"]["y"].item() == pytest.approx(0.5 * np.sqrt(10), rel=0.03)
    few = judge_forecasts(gaussian(3.0, members=4), CAMERA).curves.set_index("quantity")
    # The mean of four members is off by more than what it predicts; that is no error of the law.
    assert few.loc["rms_forecast", "y"] == pytest.approx(1.0, rel=0.06)
    assert (
        (rms["rms_rest"]["x"] == 0.1).all()
        and set(rms) == {"rms_forecast", "rms_rest", "rms_velocity"}
        and (rms["rms_rest"]["x_unit"] == "s").all()
    )


def test_starts_leave_room_for_the_longest_prediction() -> None:
    assert start_frames(100, 158, Forecasting(starts=3, n_frames=10)) == ([100, 124, 148], 10)
    assert start_frames(100, 104, Forecasting(starts=3, n_frames=10)) == ([100], 4)
    assert start_frames(100, 100, Forecasting()) == ([], 0)


# ---- a simulated gas, its true law and one with half of the noise --------------------------------

N_FRAMES = 40


@pytest.fixture(scope="module")
def motion() -> Motion:
    return simulate(isothermal_gas(), n=300, n_frames=N_FRAMES, seed=6)


def predictions(laws: Laws, motion: Motion, seed: int = 0) -> Forecasts:
    """From the frames of the second half, with the filter of the laws."""
    sigma = 0.05
    recording = record(watch(motion, sigma), motion.box)
    volume = torch.full((1,), 0.45, dtype=torch.float64)
    S = float(laws.energy.entropy(torch.full_like(volume, TEMPERATURE), volume))
    filter_ = Filter(laws, ConstantEntropy(S), TEMPERATURE)
    state = follow(filter_, WindowSource(recording, laws.cutoff)).state
    choice = Forecasting(starts=6, members=9, n_frames=5, seed=seed)
    made = forecast(filter_, recording, state, (12, N_FRAMES - 2), choice, steps_per_frame=6)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def made(motion: Motion) -> Forecasts:
    return predictions(isothermal_gas(), motion)


def test_predictions_of_the_true_law_are_calibrated(made: Forecasts) -> None:
    values = pit(made.predicted, made.observed, np.random.default_rng(3))
    for horizon in (1, 5):
        counts = np.histogram(values[made.horizon == horizon], 10, (0, 1))[0]
        assert counts.sum() > 800 and chisquare(counts).pvalue > 0.01
    found = judge_forecasts(made, CAMERA)
    for when in ("first", "last"):
        assert abs(found.summary[f"coverage_80_{when}"] - 0.8) < 0.04
    rms = found.curves.set_index("quantity")["y"]
    assert (rms["rms_forecast"].to_numpy() < rms["rms_rest"].to_numpy()).all()
    assert (rms["rms_forecast"].to_numpy() < 1.02 * rms["rms_velocity"].to_numpy()).all()


def test_members_do_not_meet_and_have_noise_of_their_own(made: Forecasts) -> None:
    last = made.predicted[:, made.horizon == 5]
    apart = last - last.mean(axis=0)
    correlation = np.corrcoef(apart.reshape(len(apart), -1))
    # Deviations from the mean of nine are correlated by -1/8 each; nothing more.
    off = correlation[~np.eye(len(apart), dtype=bool)]
    assert np.abs(off + 1 / 8).max() < 0.1


def test_a_law_with_too_little_noise_is_found_overconfident(motion: Motion) -> None:
    found = judge_forecasts(predictions(isothermal_gas(noise=0.2), motion), CAMERA).summary
    assert found["coverage_80_last_high"] < 0.75 and found["coverage_50_last_high"] < 0.45


def test_no_frames_give_no_forecast(motion: Motion) -> None:
    laws = isothermal_gas()
    recording = record(watch(motion, 0.0), motion.box)
    filter_ = Filter(laws, ConstantEntropy(0.0), TEMPERATURE)
    assert forecast(filter_, recording, pd.DataFrame(), (10, 10)) is None
