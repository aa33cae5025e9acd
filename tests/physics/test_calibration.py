"""Calibration of predictions: exact for a known law, and a law that is too sure or too unsure is found out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from colloidlab.rollout.calibration import judge_forecasts, pit
from colloidlab.rollout.forecast import Forecasting, Forecasts, start_frames
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
    assert bins["y"].iloc[0] > 3 and bins["y"].iloc[10] < 0.7
    rms = {name: part for name, part in curves.groupby("quantity") if name.startswith("rms")}
    assert rms["rms_velocity"]["y"].item() == pytest.approx(0.5, rel=0.03)
    assert rms["rms_rest"]["y"].item() == pytest.approx(0.5 * np.sqrt(10), rel=0.03)
    # The mean of M members adds spread^2/M.
    assert rms["rms_forecast"]["y"].item() == pytest.approx(0.5 * np.sqrt(1 + 0.25 / 99), rel=0.03)
    assert (rms["rms_rest"]["x"] == 0.1).all() and (rms["rms_rest"]["x_unit"] == "s").all()


def test_starts_leave_room_for_the_longest_prediction() -> None:
    assert start_frames(100, 158, Forecasting(starts=3, n_frames=10)) == ([100, 124, 148], 10)
    assert start_frames(100, 104, Forecasting(starts=3, n_frames=10)) == ([100], 4)
    assert start_frames(100, 100, Forecasting()) == ([], 0)
