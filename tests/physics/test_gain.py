"""The verdict "temperature identified": how often chance alone would give it, and whether a real gain is seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from colloidlab.dataset.split import Split
from colloidlab.model.held_out import Comparison, Pass, compare

TRIALS = 300


def passed(loglik: np.ndarray, second: np.ndarray) -> Pass:
    n = len(loglik)
    return Pass(pd.DataFrame(), np.ones(1), loglik, np.full(n, 50.0), second, 4 * second)


def judge(rng: np.random.Generator, n_test: int, gain: float) -> Comparison:
    """Gains of 50 particles a frame, of mean `gain` and spread 0.1 nats a particle, correlated over three frames."""
    n = 60 + n_test
    split = Split(train=(0, 40), validation=(40, 60), test=(60, n))
    noise = np.convolve(rng.normal(size=n + 1), [0.5, 0.7, 0.5], mode="valid")
    both = rng.normal(0.3, 0.5, n - 1) * 50
    second = rng.chisquare(100, n - 1)
    isothermal = passed(both, second)
    return compare(isothermal, passed(both + 50 * (gain + 0.1 * noise), second), split, 0)


@pytest.mark.parametrize("n_test", [24, 48, 120])
def test_chance_seldom_identifies_a_temperature(n_test: int) -> None:
    rng = np.random.default_rng(1)
    false = np.mean([judge(rng, n_test, 0.0).temperature_identified for _ in range(TRIALS)])
    # One side of a 95 % interval, and three standard errors of 300 trials.
    assert false <= 0.025 + 3 * (0.025 * 0.975 / TRIALS) ** 0.5


def test_where_the_fit_prefers_one_temperature_none_is_identified() -> None:
    """Whatever chance makes of the difference between two laws that say the same."""
    split = Split(train=(0, 40), validation=(40, 60), test=(60, 140))
    flat = np.full(139, 15.0)
    both = passed(flat, np.full(139, 100.0)), passed(flat + 0.001, np.full(139, 100.0))
    assert compare(*both, split, 0).temperature_identified
    found = compare(*both, split, 0, one_temperature=True)
    assert not found.temperature_identified and found.gain["gain_low"] > 0


def test_a_clear_gain_is_seen() -> None:
    rng = np.random.default_rng(2)
    comparison = judge(rng, 80, 0.2)
    assert comparison.temperature_identified
    row = comparison.table.set_index("model").loc["filter"]
    # Mean of 80 frames with spread 0.1 and integrated correlation below 3.
    assert row["gain"] == pytest.approx(0.2, abs=4 * 0.1 * (3 / 80) ** 0.5)
    assert row["gain_low"] < row["gain"] < row["gain_high"]


def test_baselines_are_gaussians_of_the_training_variance() -> None:
    """Second differences of sum 100 s^2 for 50 particles in two dimensions: -(1 + ln 2 pi s^2) nats a particle."""
    n, s2 = 100, 0.3
    split = Split(train=(0, 60), validation=(60, 80), test=(80, n))
    flat = passed(np.zeros(n - 1), np.full(n - 1, 100 * s2))
    table = compare(flat, flat, split, 0).table.set_index("model")
    expected = -(1 + np.log(2 * np.pi * s2))
    assert table.loc["constant_velocity", "loglik"] == pytest.approx(expected, rel=1e-12)
    assert table.loc["diffusion", "loglik"] == pytest.approx(expected - np.log(4), rel=1e-12)
    assert table.loc["filter", "gain"] == 0


def test_only_predictions_of_test_frames_count() -> None:
    n = 100
    split = Split(train=(10, 70), validation=(70, 90), test=(90, 110))
    loglik = np.zeros(n - 1)
    # Entry k predicts frame 11 + k from the one before.
    loglik[[90 - 11 + k for k in range(20)]] = 50.0
    table = compare(passed(np.zeros(n - 1), np.ones(n - 1)), passed(loglik, np.ones(n - 1)), split, 10).table
    assert table.set_index("model").loc["filter", "gain"] == pytest.approx(1.0, rel=1e-12)


def test_a_test_block_in_which_nothing_counts_tells_nothing() -> None:
    """Zeros would look like measurements; the last frames may all be damaged."""
    n = 100
    split = Split(train=(0, 60), validation=(60, 80), test=(80, n))
    flat = passed(np.zeros(n - 1), np.ones(n - 1))
    flat.count[79:] = 0
    found = compare(flat, flat, split, 0)
    assert found.table.drop(columns="model").isna().all(axis=None) and not found.temperature_identified
