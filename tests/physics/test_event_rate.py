"""Bands of the rate of events hold for events that come alone and in bursts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from colloidlab.indicators.event_rate import mean_rate, rate_curve

PARTICLES = 900


def counts(rng: np.random.Generator, n_frames: int, mean: float, burst: int) -> pd.DataFrame:
    """Events of `mean` a frame that come in bursts within two frames."""
    n = np.zeros(n_frames + 1, dtype=np.int64)
    for frame, number in enumerate(rng.poisson(mean / burst, n_frames)):
        np.add.at(n, frame + rng.integers(0, 2, number * burst), 1)
    return pd.DataFrame({"frame": np.arange(n_frames), "n_events": n[:-1], "n_particles": PARTICLES})


@pytest.mark.parametrize(("mean", "burst"), [(2.0, 1), (0.3, 1), (2.0, 6), (0.5, 6)])
def test_nine_bands_of_ten_hold_the_truth_in_bursts_too(mean: float, burst: int) -> None:
    rng = np.random.default_rng(5)
    inside, whole, poisson = [], [], []
    for _ in range(40):
        rate = counts(rng, 300, mean, burst)
        curve = rate_curve(rate, persistence_frames=10)
        truth = mean / PARTICLES
        inside += list((curve.y_low <= truth) & (truth <= curve.y_high))
        n = curve.y * 10 * PARTICLES
        poisson += list(chi2.ppf(0.975, 2 * n + 2) / 2 / (10 * PARTICLES) >= truth)
        _, low, high = mean_rate(rate, persistence_frames=10)
        whole.append(low <= truth <= high)
    assert np.mean(inside) > 0.92 and np.mean(whole) >= 0.85
    # Without the bursts in mind it would be too narrow already on one side.
    assert np.mean(poisson) > 0.92 or burst > 1
    assert np.mean(poisson) < 0.85 or burst == 1


def test_no_event_at_all_is_a_limit_and_not_certainty() -> None:
    rate = counts(np.random.default_rng(0), 60, 0.0, 1)
    curve = rate_curve(rate, persistence_frames=10)
    assert (curve.y == 0).all() and (curve.y_low == 0).all()
    # 3.7 is the 97.5 % upper limit of a Poisson number of which 0 was seen.
    np.testing.assert_allclose(curve.y_high * 10 * PARTICLES, 3.689, rtol=1e-3)
    value, low, high = mean_rate(rate, persistence_frames=10)
    assert value == low == 0 and high == pytest.approx(3.689 / (60 * PARTICLES), rel=1e-3)


def test_a_slow_change_of_the_rate_is_no_burst() -> None:
    rate = pd.DataFrame({"frame": np.arange(400), "n_events": np.arange(400) // 40, "n_particles": PARTICLES})
    curve = rate_curve(rate, persistence_frames=10)
    n = curve.y * 10 * PARTICLES
    np.testing.assert_allclose(curve.y_high * 10 * PARTICLES, chi2.ppf(0.975, 2 * n + 2) / 2, rtol=1e-9)
