"""The verdict on inertia against motion whose correlation of successive displacements is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_tracks import brownian, ornstein_uhlenbeck, table

from colloidlab.dataset.recording import from_tracks, rectangle_edge_distance
from colloidlab.dataset.regime import INERTIAL, OVERDAMPED, UNDECIDABLE, Regime, judge

N_FRAMES, N, SIDE, NEIGHBOURS = 100, 150, 200.0, 30.0


def verdict(positions: np.ndarray, sigma: float, neighbour_px: float = NEIGHBOURS) -> Regime:
    rng = np.random.default_rng(9)
    return verdict_of(positions + sigma * rng.normal(size=positions.shape), sigma, neighbour_px)


def verdict_of(seen: np.ndarray, sigma: float, neighbour_px: float = NEIGHBOURS) -> Regime:
    """The verdict where all of the error is known to be new in every frame."""
    recording = from_tracks(table(seen), rectangle_edge_distance(0, 0, SIDE, SIDE), sigma_px=sigma)
    return judge(recording, neighbour_px)


def unsure(positions: np.ndarray, error: np.ndarray, **known: float | None) -> Regime:
    """The verdict where the fit is not told how much of the error is new, or nothing of it."""
    seen = table(positions + error)
    if "sigma" in known:
        seen["sigma_x_px"] = seen["sigma_y_px"] = known["sigma"]
    recording = from_tracks(seen, rectangle_edge_distance(0, 0, SIDE, SIDE), sigma_scale=None)
    assert not (recording.sigma_stated and recording.sigma_new)
    return judge(recording, NEIGHBOURS)


def ou_correlations(gamma: float) -> tuple[float, float]:
    """Correlation of Ornstein-Uhlenbeck displacements at one and two frames."""
    lost = 1 - np.exp(-gamma)
    one = lost**2 / (2 * (gamma - lost))
    return one, one * np.exp(-gamma)


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("gamma", [0.1, 0.5])
def test_inertia_is_seen_with_the_exact_correlations(gamma: float, sigma: float) -> None:
    rng = np.random.default_rng(1)
    found = verdict(ornstein_uhlenbeck(rng, N_FRAMES, N, gamma=gamma, speed=0.5), sigma)
    one, two = ou_correlations(gamma)
    assert found.verdict == INERTIAL
    # The correlation of u_t and u_{t+1} is estimated from displacements that overlap in one frame with those of the
    # variance; its spread is found by the jackknife over 12 blocks, itself uncertain to 1/sqrt(22).
    assert abs(found.correlation - one) < 4 * found.correlation_error + 1e-3
    assert abs(found.autocovariance[2] / found.variance - two) < 8 * found.correlation_error + 1e-3
    variance = 2 * 0.25 / gamma**2 * (gamma - 1 + np.exp(-gamma))
    # Independent velocities: about N * frames * gamma of them, two components each.
    assert found.variance == pytest.approx(variance, rel=4 * (2 / (2 * N * N_FRAMES * gamma)) ** 0.5 + 0.01)


@pytest.mark.parametrize("sigma", [0.0, 0.2, 0.4])
def test_diffusion_is_seen_through_localisation_error(sigma: float) -> None:
    rng = np.random.default_rng(2)
    found = verdict(brownian(rng, N_FRAMES, N, d=0.125), sigma)
    assert found.verdict == OVERDAMPED
    assert abs(found.correlation) < 4 * found.correlation_error
    samples = 2 * N * N_FRAMES
    assert found.variance == pytest.approx(
        0.25, rel=4 * (2 / samples) ** 0.5 * (1 + 2 * sigma**2 / 0.25) + 0.01
    )


def test_motion_below_the_localisation_error_is_undecidable() -> None:
    rng = np.random.default_rng(3)
    found = verdict(brownian(rng, N_FRAMES, N, d=0.001), 0.3)
    assert found.verdict == UNDECIDABLE
    assert "localisation error" in found.reason


def test_rattling_in_a_cage_is_not_inertia() -> None:
    """Overdamped motion in a harmonic trap: displacements have the correlation -(1 - a)/2 for memory a of position."""
    rng = np.random.default_rng(4)
    memory = 0.5
    centre = rng.uniform(0, SIDE, (N, 2))
    x = np.zeros((N_FRAMES, N, 2))
    for k in range(1, N_FRAMES):
        x[k] = memory * x[k - 1] + rng.normal(0, 0.5, (N, 2))
    found = verdict(centre + x[20:], 0.1)
    assert found.verdict == OVERDAMPED
    assert found.correlation == pytest.approx(-0.5 * (1 - memory), abs=4 * found.correlation_error)


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.12])
def test_shear_flow_of_brownian_particles_is_not_inertia(rate: float) -> None:
    """A flow is steady, so displacements in it are correlated; only what is relative to the flow may count.

    At rate 0.03 the speed changes by 0.5 px a frame from one particle to the next, as much as it diffuses. A linear
    flow is taken out exactly, so the verdict and the variance are those of diffusion.
    """
    rng = np.random.default_rng(5)
    d, wide = 0.125, 3 * SIDE
    x = rng.uniform(0, 1, (N * 5, 2)) * [wide, SIDE]
    frames = []
    for _ in range(N_FRAMES):
        frames.append(x.copy())
        x = x + np.column_stack([rate * (x[:, 1] - SIDE / 2), np.zeros(len(x))])
        x = x + rng.normal(0, (2 * d) ** 0.5, x.shape)
        x[:, 1] = np.abs(x[:, 1])
    found = verdict(np.array(frames), 0.1)
    assert found.verdict == OVERDAMPED, found.reason
    # Diffusion turns the flow that a particle feels by rate * d within a frame, about rate^2 of the variance.
    samples = 2 * len(x) * N_FRAMES
    assert found.variance == pytest.approx(2 * d, rel=4 * (2 / samples) ** 0.5 * 1.2 + rate**2 + 0.01)


def test_rigid_rotation_of_brownian_particles_is_not_inertia() -> None:
    rng = np.random.default_rng(6)
    turn = 0.02
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    x = rng.uniform(-SIDE / 2, SIDE / 2, (N, 2))
    frames = []
    for _ in range(60):
        frames.append(x + SIDE / 2)
        x = x @ rotation.T + rng.normal(0, 0.5, x.shape)
    assert verdict(np.array(frames), 0.1).verdict != INERTIAL


def test_nobody_followed_long_enough_is_undecidable() -> None:
    rng = np.random.default_rng(7)
    tracks = table(brownian(rng, 12, 20, d=0.1))
    tracks["particle"] += 100 * (tracks["frame"] // 3)
    recording = from_tracks(tracks, rectangle_edge_distance(0, 0, SIDE, SIDE), sigma_px=0.1)
    found = judge(recording, NEIGHBOURS)
    assert found.verdict == UNDECIDABLE
    assert "five frames" in found.reason


@pytest.mark.parametrize("gamma", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("stated", [True, False])
def test_inertia_shows_two_frames_apart_whatever_the_error(gamma: float, stated: bool) -> None:
    """An error of half the displacement takes the correlation at one frame away; at two frames it is not there."""
    rng = np.random.default_rng(11)
    motion = ornstein_uhlenbeck(rng, 2 * N_FRAMES, N, gamma=gamma, speed=0.5)
    error = 0.25 * rng.normal(size=motion.shape)
    found = unsure(motion, error, **({"sigma": 0.25} if stated else {}))
    assert found.verdict == INERTIAL, found.reason


def test_errors_that_stay_make_no_inertia_of_diffusion() -> None:
    """Were they new in every frame, successive displacements would be as correlated as those of inertial motion."""
    rng = np.random.default_rng(12)
    motion = brownian(rng, N_FRAMES, N, d=0.125)
    offset = 0.27 * rng.normal(size=motion.shape[1:])
    assert verdict_of(motion + offset, 0.27).verdict == INERTIAL
    found = unsure(motion, np.broadcast_to(offset, motion.shape), sigma=0.27)
    assert found.verdict == UNDECIDABLE
    assert "sigma_scale" in found.reason


def test_diffusion_is_seen_where_nothing_is_known_of_the_error() -> None:
    rng = np.random.default_rng(13)
    motion = brownian(rng, N_FRAMES, N, d=0.125)
    assert unsure(motion, np.zeros_like(motion)).verdict == OVERDAMPED
    # Errors as large as the motion: what is correlated may be hidden by them.
    found = unsure(motion, 0.5 * rng.normal(size=motion.shape))
    assert found.verdict == UNDECIDABLE
    assert "sigma_px" in found.reason
