"""Covariance estimator: the truth, its error bars, and telling inertia from noise."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_tracks import brownian, ornstein_uhlenbeck, table

from colloidlab.indicators import diffusion, step_correlation
from colloidlab.indicators.drift import Drift
from colloidlab.indicators.stride import free_diffusion


@pytest.mark.parametrize(
    ("n_frames", "n_particles", "drop", "sigma"),
    [(60, 40, 0.2, 0.15), (150, 5, 0.1, 0.3), (400, 1, 0.0, 0.1), (8, 200, 0.0, 0.3)],
)
def test_error_bars_of_d_are_calibrated(n_frames: int, n_particles: int, drop: float, sigma: float) -> None:
    rng = np.random.default_rng(n_frames)
    scores = []
    for _ in range(200):
        drift = rng.normal(0, 0.5, 2) * np.arange(n_frames)[:, None, None] if n_particles > 1 else 0.0
        positions = brownian(rng, n_frames, n_particles, d=0.1, sigma=sigma) + drift
        found = diffusion(table(positions, drop=drop, rng=rng), drift="mean" if n_particles > 1 else "none")
        scores.append((found.d_px2_per_frame - 0.1) / found.d_error)
    scores = np.array(scores)
    assert np.mean(np.abs(scores) < 2) >= 0.9
    assert 0.75 < scores.std() < 1.25 and abs(scores.mean()) < 0.3


@pytest.mark.parametrize(
    ("n_frames", "n_particles", "sigma", "drop", "drift"),
    [(40, 20, 0.15, 0.1, "mean"), (40, 20, 0.3, 0.05, "affine")],
)
def test_true_values_lie_in_the_intervals_of_200_recordings(
    n_frames: int, n_particles: int, sigma: float, drop: float, drift: Drift
) -> None:
    rng = np.random.default_rng(8)
    held = []
    for _ in range(200):
        steady = rng.normal(0, 0.5, 2) * np.arange(n_frames)[:, None, None]
        wander = np.cumsum(rng.normal(0, 0.3, (n_frames, 1, 2)), axis=0)
        moving = brownian(rng, n_frames, n_particles, d=0.1)
        if drift == "affine":
            shear = 0.002 * np.arange(n_frames)[:, None] * moving[0, :, 1]
            moving[..., 0] += shear - shear.mean(axis=1, keepdims=True)
        seen = moving + steady + wander + rng.normal(0, sigma, moving.shape)
        found = free_diffusion(table(seen, drop=drop, rng=rng), drift=drift).estimate
        off = found.d_px2_per_frame - 0.1, found.sigma_px - sigma
        held.append([abs(off[0]) < 1.96 * found.d_error, abs(off[1]) < 1.96 * found.sigma_error])
    assert (np.mean(held, axis=0) >= 0.9).all()


def test_localisation_error_and_its_error_bar() -> None:
    rng = np.random.default_rng(2)
    scores = []
    for _ in range(100):
        found = diffusion(table(brownian(rng, 80, 50, d=0.05, sigma=0.3), drop=0.1, rng=rng))
        scores.append((found.sigma_px - 0.3) / found.sigma_error)
    assert np.mean(np.abs(scores) < 2) >= 0.9
    assert 0.75 < np.std(scores) < 1.25
    noiseless = diffusion(table(brownian(rng, 80, 50, d=0.05)))
    assert noiseless.sigma_px < 2.5 * noiseless.sigma_error


def test_motion_blur_of_an_open_shutter() -> None:
    rng = np.random.default_rng(3)
    fine = brownian(rng, 200 * 32, 60, d=0.1 / 32)
    blurred = fine.reshape(200, 32, 60, 2).mean(axis=1) + rng.normal(0, 0.1, (200, 60, 2))
    found = diffusion(table(blurred), motion_blur=1 / 6)
    assert found.d_px2_per_frame == pytest.approx(0.1, abs=3 * found.d_error)
    assert found.sigma_px == pytest.approx(0.1, abs=3 * found.sigma_error)
    assert diffusion(table(blurred)).sigma_px < 0.05


def test_particles_that_differ_and_motion_that_is_shared_widen_the_error() -> None:
    rng = np.random.default_rng(4)
    scale = rng.choice([0.3, 1.7], 60)[:, None]
    spread = np.cumsum(rng.normal(0, 0.4, (200, 60, 2)) * scale, axis=0)
    alike = np.cumsum(rng.normal(0, 0.4, (200, 60, 2)), axis=0)
    assert diffusion(table(spread)).d_error > 3 * diffusion(table(alike)).d_error
    shared = np.cumsum(np.repeat(rng.normal(0, 0.4, (200, 1, 2)), 60, axis=1), axis=0)
    together = diffusion(table(shared), drift="none")
    assert together.d_error > 3 * diffusion(table(alike), drift="none").d_error
    assert together.d_px2_per_frame == pytest.approx(0.08, abs=3 * together.d_error)


def test_displacements_over_a_gap_are_not_used() -> None:
    positions = brownian(np.random.default_rng(5), 40, 30, d=0.1)
    tracks = table(positions)
    tracks = tracks[tracks.frame % 4 != 3]
    assert diffusion(tracks).n_displacements == 10 * 2 * 30


def test_step_correlation_separates_inertia_diffusion_and_noise() -> None:
    rng = np.random.default_rng(6)
    free = step_correlation(table(brownian(rng, 150, 100, d=0.1, sigma=0.3)), sigma_px=0.3)
    assert abs(free.c1) < 3 * free.c1_error and abs(free.c2) < 3 * free.c2_error
    raw = step_correlation(table(brownian(rng, 150, 100, d=0.1, sigma=0.3)))
    assert raw.c1 == pytest.approx(-0.09 / (0.2 + 0.18), abs=4 * raw.c1_error) and raw.sigma_px == 0
    assert abs(raw.c2) < 3 * raw.c2_error

    gamma = 0.5
    inertial = ornstein_uhlenbeck(rng, 150, 100, gamma=gamma, speed=0.5) + rng.normal(0, 0.2, (150, 100, 2))
    tracks = table(inertial).assign(sigma_x_px=0.2, sigma_y_px=0.2)
    found = step_correlation(tracks)
    truth = np.exp(-gamma) * (np.cosh(gamma) - 1) / (gamma - 1 + np.exp(-gamma))
    assert found.c1 == pytest.approx(truth, abs=3 * found.c1_error)
    assert found.c2 == pytest.approx(truth * np.exp(-gamma), abs=3 * found.c2_error)
    assert found.c1 > 10 * found.c1_error and found.sigma_px == pytest.approx(0.2)


def test_step_correlation_has_calibrated_errors() -> None:
    rng = np.random.default_rng(7)
    scores = []
    for _ in range(150):
        found = step_correlation(
            table(brownian(rng, 50, 30, d=0.1, sigma=0.1), drop=0.1, rng=rng), sigma_px=0.1
        )
        scores.append((found.c1 / found.c1_error, found.c2 / found.c2_error))
    assert (np.mean(np.abs(scores) < 2, axis=0) >= 0.9).all()
    spread = np.std(scores, axis=0)
    assert (spread > 0.75).all() and (spread < 1.25).all()
