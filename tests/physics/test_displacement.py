"""MSD and VACF against exact motion, exact processes and freud."""

from __future__ import annotations

import freud
import numpy as np
import pytest
from simulated_tracks import brownian, ornstein_uhlenbeck, table

from colloidlab.indicators import msd, vacf


def test_ballistic_motion_whatever_is_missing() -> None:
    rng = np.random.default_rng(1)
    velocity = rng.normal(0, 0.3, (40, 2))
    positions = rng.uniform(0, 100, (40, 2)) + np.arange(60)[:, None, None] * velocity
    curve = msd(table(positions), max_lag=20)
    np.testing.assert_allclose(curve.y, np.mean(np.sum(velocity**2, axis=1)) * curve.x**2, rtol=1e-12)
    one = table(positions[:, :1], drop=0.5, rng=rng)
    gappy = msd(one, max_lag=20)
    np.testing.assert_allclose(gappy.y, np.sum(velocity[0] ** 2) * gappy.x**2, rtol=1e-10)


def test_same_as_freud_for_every_lag() -> None:
    positions = brownian(np.random.default_rng(2), 80, 30, d=0.2)
    curve = msd(table(positions), max_lag=32)
    # freud works in single precision: small numbers keep its digits.
    small = np.concatenate([positions - positions.mean(axis=0), np.zeros((80, 30, 1))], axis=2)
    peer = freud.msd.MSD(mode="window").compute(small)
    np.testing.assert_allclose(curve.y, peer.msd[1:33], rtol=1e-4)


@pytest.mark.parametrize("drop", [0.0, 0.2])
def test_motion_in_space_over_many_blocks_is_summed_as_by_hand(drop: float) -> None:
    rng = np.random.default_rng(9)
    paths = np.cumsum(rng.normal(0, 0.3, (150, 12, 3)), axis=0)
    tracks = table(paths, drop=drop, rng=rng)
    seen = np.full(paths.shape, np.nan)
    seen[tracks.frame, tracks.particle] = tracks[["x", "y", "z"]]
    curve, velocities = msd(tracks, max_lag=40), vacf(tracks, max_lag=40)
    for lag, y in zip(curve.x.astype(int), curve.y):
        assert y == pytest.approx(np.nanmean(np.sum((seen[lag:] - seen[:-lag]) ** 2, axis=2)), rel=1e-12)
    steps = np.diff(seen, axis=0)
    for lag, y in zip(velocities.x.astype(int), velocities.y):
        products = np.sum(steps[lag:] * steps[: len(steps) - lag], axis=2)
        assert y == pytest.approx(np.nanmean(products), rel=1e-10, abs=1e-12)
    if drop == 0:
        peer = freud.msd.MSD(mode="window").compute(paths - paths.mean(axis=0))
        np.testing.assert_allclose(curve.y, peer.msd[curve.x.astype(int)], rtol=1e-4)


def test_diffusion_with_localisation_error_through_gaps() -> None:
    rng = np.random.default_rng(3)
    tracks = table(brownian(rng, 300, 200, d=0.1, sigma=0.2), drop=0.3, rng=rng)
    curve = msd(tracks, max_lag=40)
    truth = 4 * 0.1 * curve.x + 4 * 0.2**2
    assert np.abs(curve.y / truth - 1).max() < 0.06
    assert ((curve.y_low < curve.y) & (curve.y < curve.y_high)).all()


def test_bands_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    covered = []
    for _ in range(150):
        curve = msd(table(brownian(rng, 60, 25, d=0.1)), max_lag=10)
        covered.append((curve.y_low < 0.4 * curve.x) & (0.4 * curve.x < curve.y_high))
    share = np.mean(covered, axis=0)
    assert (share > 0.87).all() and (share < 0.995).all()


@pytest.mark.parametrize("drift", ["mean", "affine"])
def test_common_motion_is_taken_out_without_bias_for_few_particles(drift: str) -> None:
    rng = np.random.default_rng(5)
    values, plain = [], []
    for _ in range(60):
        positions = brownian(rng, 100, 6, d=0.1)
        wander = np.cumsum(rng.normal(0, 1.0, (100, 1, 2)), axis=0)
        tracks = table(positions + wander)
        values.append(msd(tracks, max_lag=5, drift=drift).y)
        plain.append(msd(tracks, max_lag=5).y)
    lags = np.arange(1, 6)
    np.testing.assert_allclose(np.mean(values, axis=0), 0.4 * lags, rtol=0.06)
    assert np.mean(plain, axis=0)[0] > 5 * 0.4


def test_affine_flow_leaves_only_what_is_not_affine() -> None:
    rng = np.random.default_rng(6)
    start = rng.uniform(-50, 50, (60, 2))
    rate = np.array([[0.01, 0.03], [-0.005, -0.01]])
    step = np.eye(2) + rate
    positions = np.stack([start @ np.linalg.matrix_power(step, k).T for k in range(30)])
    gappy = table(positions)
    gappy = gappy[gappy.frame != 12]  # a damaged frame
    assert msd(gappy, max_lag=8, drift="affine").y.max() < 1e-3 * msd(gappy, max_lag=8, drift="mean").y.min()
    assert msd(table(positions), max_lag=8, drift="affine").y.max() < 1e-18


def test_vacf_of_inertial_motion_is_exponential() -> None:
    gamma, speed = 0.2, 0.9
    tracks = table(ornstein_uhlenbeck(np.random.default_rng(7), 400, 400, gamma=gamma, speed=speed))
    curve = vacf(tracks, max_lag=15)
    lags = curve.x[1:]
    # Velocities averaged over a frame: exp(−γτ) · 2 (cosh γ − 1)/γ² from lag 1 on, exact at lag 0 too.
    truth = 2 * speed**2 * np.exp(-gamma * lags) * 2 * (np.cosh(gamma) - 1) / gamma**2
    at_zero = 2 * speed**2 * 2 * (gamma - 1 + np.exp(-gamma)) / gamma**2
    np.testing.assert_allclose(curve.y[1:], truth, atol=0.015 * at_zero)
    assert curve.y[0] == pytest.approx(at_zero, rel=0.02)
    scaled = vacf(tracks, max_lag=15, normalised=True)
    np.testing.assert_allclose(scaled.y, curve.y / curve.y[0], rtol=1e-12)
    assert scaled.y[0] == 1.0 and scaled.y_unit == "1"
    assert scaled.y_high[0] - scaled.y_low[0] < 1e-12


def test_vacf_is_unbiased_to_the_last_lag_and_needs_consecutive_frames() -> None:
    velocity = np.random.default_rng(8).normal(0, 1, (5, 2))
    positions = np.arange(20)[:, None, None] * velocity
    tracks = table(positions)
    # Constant velocity: the same at every lag, also where only one origin is left.
    np.testing.assert_allclose(vacf(tracks, max_lag=18).y, np.mean(np.sum(velocity**2, axis=1)), rtol=1e-12)
    sparse = tracks[~tracks.frame.isin([3, 4, 9])]
    np.testing.assert_allclose(vacf(sparse, max_lag=10).y, np.mean(np.sum(velocity**2, axis=1)), rtol=1e-12)
