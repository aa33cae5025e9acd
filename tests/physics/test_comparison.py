"""Errors of a rollout: the same curves as the indicators', small for the same law, large for another, and a floor."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from simulated_tracks import brownian, ornstein_uhlenbeck, table

from colloidlab.indicators import d2min_table, msd, non_gaussian, pair_correlation, self_scattering, vacf
from colloidlab.rollout import comparison_curves
from colloidlab.rollout.compare import Result, Setting, compare
from colloidlab.rollout.comparison_curves import Blocking
from colloidlab.rollout.comparison_errors import measure_error, number_of_blocks, relative_rmse
from colloidlab.units import Calibration

FRAMES, N, SIDE = 48, 150, 200.0
WHO = np.arange(N)
SETTING = Setting(((20.0, 20.0), (180.0, 180.0)), 40.0, 30.0, 3, Calibration())


def gas(seed: int, speed: float = 0.5) -> pd.DataFrame:
    return table(ornstein_uhlenbeck(np.random.default_rng(seed), FRAMES, N, gamma=0.3, speed=speed))


@pytest.fixture(scope="module")
def same() -> Result:
    return compare(gas(0), [gas(1), gas(2), gas(3)], WHO, SETTING)


@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_curves_of_all_blocks_are_those_of_the_indicators(drop: float) -> None:
    rng = np.random.default_rng(4)
    tracks = table(brownian(rng, FRAMES, N, d=0.3, side=SIDE), drop=drop, rng=rng)
    blocking = Blocking(0, FRAMES)
    found = comparison_curves.motion([tracks], 20, 0.4, blocking)
    for name, curve in (
        ("msd", msd(tracks, max_lag=20)),
        ("vacf", vacf(tracks, max_lag=20)),
        ("alpha2", non_gaussian(tracks, max_lag=20)),
        ("f_s", self_scattering(tracks, q=0.4, max_lag=20)),
    ):
        np.testing.assert_allclose(found[name].curve, curve.y, rtol=1e-9, atol=1e-12)
    frames = [g[["x", "y"]].to_numpy() for _, g in tracks.groupby("frame")]
    g = pair_correlation(frames, r_max=40, n_bins=80, region=SETTING.region)
    blocks = comparison_curves.structure([tracks], SETTING.region, 40, blocking)
    np.testing.assert_allclose(blocks.curve, g.y, rtol=1e-9)


def test_the_same_law_is_within_its_scatter_and_another_is_not(same: Result) -> None:
    other = compare(gas(0), [gas(1, 0.7), gas(2, 0.7), gas(3, 0.7)], WHO, SETTING)
    s, o = same.summary, other.summary
    for name in ("msd", "vacf"):
        # Twice the energy is an error of 0.96 by definition.
        assert s[f"rollout_{name}_error"] < 0.3 < o[f"rollout_{name}_error_low"]
        assert o[f"rollout_{name}_error"] == pytest.approx(0.96, abs=0.2)
        assert o[f"rollout_{name}_error"] > 2 * o[f"rollout_{name}_floor"]
    for key in (k for k in s if k.endswith("_error")):
        assert s[f"{key}_low"] <= s[key] <= s[f"{key}_high"], key
    assert s["d2min_ks_holds"] and not o["d2min_ks_holds"]
    assert o["d2min_ks_distance"] > 3 * s["d2min_ks_distance"]


def test_distance_of_d2min_is_that_of_kolmogorov_and_smirnov(same: Result) -> None:
    rows = [
        d2min_table(gas(k), lag_frames=3, cutoff_px=30.0)["d2min_px2"].dropna().to_numpy() for k in range(4)
    ]
    truth = ks_2samp(rows[0], np.concatenate(rows[1:])).statistic
    assert same.summary["d2min_ks_distance"] == pytest.approx(truth, abs=1e-3)
    assert same.summary["d2min_ks_floor_halves"] < same.summary["d2min_ks_floor"]


def test_interval_is_the_scatter_of_the_error_over_repeated_recordings() -> None:
    """A law of a quarter more energy: error of the MSD in fresh recordings against one interval's width."""
    blocking = Blocking(0, 200)

    def blocks(seed: int, speed: float) -> comparison_curves.Blocks:
        path = ornstein_uhlenbeck(np.random.default_rng(seed), 200, 40, gamma=0.5, speed=speed)
        return comparison_curves.motion([table(path)], 4, 0.4, blocking)["msd"]

    errors = [measure_error(blocks(2 * k, 0.5), blocks(2 * k + 1, 0.56), relative_rmse) for k in range(25)]
    scatter = np.std([e.value for e in errors])
    width = np.mean([e.high - e.low for e in errors]) / 4
    assert 0.6 < width / scatter < 1.8


def test_blocks_are_eight_frames_and_at_least_four_where_there_is_room() -> None:
    assert [number_of_blocks(n) for n in (2, 6, 12, 59, 80, 1000)] == [1, 3, 4, 7, 10, 20]


def test_two_frames_are_compared_without_intervals() -> None:
    tracks = gas(5)
    short = tracks[tracks["frame"] < 2]
    found = compare(short, [short], WHO, SETTING)
    assert found.summary["rollout_msd_error"] == 0
    assert np.isnan(found.summary["rollout_msd_floor"]) and np.isnan(found.summary["rollout_msd_error_high"])
