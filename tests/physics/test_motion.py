"""Drift and affine motion from tracks: recovered within their errors under shear, with particles that come and go."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import trackpy
from linked_scenes import VIEW_PX, detections, flowing, oscillating

from colloidlab.errors import InputError
from colloidlab.tracks import estimate_motion, subtract_motion

RATE = 12.0 / VIEW_PX


@pytest.fixture(scope="module")
def sheared() -> pd.DataFrame:
    """Oscillating shear and a drift; particles enter and leave, and true identities are known."""

    def flow(points: np.ndarray, frame: int) -> np.ndarray:
        return oscillating(points, frame) + np.array([1.0, -0.5])

    table = flowing(np.random.default_rng(21), flow, n_frames=40)
    return table[table["truth"] >= 0].rename(columns={"truth": "particle"}).reset_index(drop=True)


def true_gradient(step: int) -> float:
    return 2.0 * np.cos(2 * np.pi * (step + 1) / 10) * RATE


def test_shear_and_drift_are_recovered_within_their_errors(sheared: pd.DataFrame) -> None:
    motion = estimate_motion(sheared)
    n = len(motion.translation_px)
    gradient = np.zeros((n, 2, 2))
    gradient[:, 0, 1] = [true_gradient(k) for k in range(n)]
    centre_flow = gradient[:, 0, 1] * (motion.centre[1] - VIEW_PX / 2)
    translation = np.column_stack([1.0 + centre_flow, np.full(n, -0.5)])
    for found, true, sigma in (
        (motion.gradient, gradient, motion.sigma_gradient),
        (motion.translation_px, translation, motion.sigma_translation_px),
    ):
        pulls = (found - true) / sigma
        # 39 steps of 2 or 4 numbers each: the spread of the pulls is known to 8 %.
        assert abs(pulls.mean()) < 0.35 and 0.8 < pulls.std() < 1.2
        assert np.abs(pulls).max() < 5
    # Least squares of ~850 particles would know the translation to 1.2 px / sqrt(850).
    assert motion.sigma_translation_px.mean() == pytest.approx(
        1.2 / np.sqrt(motion.n_particles.mean()), rel=0.15
    )


def test_the_mean_displacement_errs_where_particles_crowd_on_one_side() -> None:
    """A sheared sample of which one half is watched: its mean is no drift. The affine map knows the difference."""
    rng = np.random.default_rng(22)
    points = rng.uniform(0, 300, (800, 2))
    # More particles at large y, where the shear is fast.
    points = points[rng.random(800) < points[:, 1] / 300]
    places = [points]
    for _ in range(20):
        points = (
            points
            + np.column_stack([0.02 * (points[:, 1] - 150), 0 * points[:, 0]])
            + rng.normal(0, 0.5, points.shape)
        )
        places.append(points)
    tracks = detections(np.array(places), rng).rename(columns={"truth": "particle"})
    drift = trackpy.compute_drift(tracks)["x"].diff().dropna()
    motion = estimate_motion(tracks)
    at_middle = motion.carried(np.tile([150.0, 150.0], (20, 1)), np.arange(20))[:, 0] - 150.0
    assert drift.mean() > 0.8
    assert abs(at_middle.mean()) < 0.05


def test_brownian_motion_is_left_when_shear_is_subtracted(sheared: pd.DataFrame) -> None:
    """Mean squared displacements of 2 s^2 t per axis, where the tracks as seen move hundreds of times as far."""
    rest = subtract_motion(sheared, estimate_motion(sheared))
    assert rest.index.equals(sheared.index) and rest["particle"].equals(sheared["particle"])
    for lag in (1, 5, 10):
        for axis in "xy":
            found = mean_square(rest, axis, lag)
            assert found == pytest.approx(1.2**2 * lag, rel=0.06)
    assert mean_square(sheared, "x", 2) > 10 * mean_square(rest, "x", 2)


def mean_square(tracks: pd.DataFrame, axis: str, lag: int) -> float:
    wide = tracks.pivot(index="frame", columns="particle", values=axis).to_numpy()
    return float(np.nanmean((wide[lag:] - wide[:-lag]) ** 2))


def test_a_uniform_drift_is_subtracted_as_trackpy_does() -> None:
    rng = np.random.default_rng(23)
    steps = rng.normal(0, 0.3, (15, 300, 2)) + np.array([2.0, -1.0])
    steps[0] = rng.uniform(0, 200, (300, 2))
    tracks = detections(np.cumsum(steps, axis=0), rng, missed=0.05).rename(columns={"truth": "particle"})
    motion = estimate_motion(tracks, kind="drift")
    ours = subtract_motion(tracks, motion)
    total = np.vstack([[0.0, 0.0], np.cumsum(motion.translation_px, axis=0)])
    expected = tracks[["x", "y"]].to_numpy() - total[tracks["frame"]]
    np.testing.assert_allclose(ours[["x", "y"]], expected, atol=1e-9)
    theirs = trackpy.compute_drift(tracks).to_numpy()[:, ::-1]
    # Mean and robust mean differ by a share of their own error.
    assert np.abs(total[1:] - theirs).max() < 4 * 0.3 * np.sqrt(14 / 300)


def test_stuck_particles_and_wrong_links_do_not_count() -> None:
    rng = np.random.default_rng(24)
    points = rng.uniform(0, 300, (400, 2))
    moved = points + np.array([3.0, 1.0]) + rng.normal(0, 0.3, points.shape)
    moved[:60] = points[:60]
    moved[60:80] += rng.uniform(-15, 15, (20, 2))
    tracks = detections(np.stack([points, moved]), rng).rename(columns={"truth": "particle"})
    motion = estimate_motion(tracks)
    pulls = (motion.translation_px[0] - [3.0, 1.0]) / motion.sigma_translation_px[0]
    assert np.abs(pulls).max() < 4 and motion.sigma_translation_px.max() < 0.05


def test_rotation_in_three_dimensions_over_a_gap() -> None:
    """The gap is one step, whose map is that of both frames."""
    rng = np.random.default_rng(25)
    turn = np.array([[np.cos(0.05), -np.sin(0.05), 0], [np.sin(0.05), np.cos(0.05), 0], [0, 0, 1]])
    places = [rng.uniform(-50, 50, (200, 3))]
    for _ in range(5):
        places.append(places[-1] @ turn.T)
    tracks = detections(np.array(places) + rng.normal(0, 0.01, (6, 200, 3)) + 100.0, rng)
    tracks = tracks[tracks["frame"] != 3].rename(columns={"truth": "particle"})
    motion = estimate_motion(tracks)
    assert motion.axes == ("x", "y", "z") and motion.frames.tolist() == [0, 1, 2, 4, 5]
    np.testing.assert_allclose(motion.gradient[0], turn - np.eye(3), atol=1e-4)
    np.testing.assert_allclose(motion.gradient[2], turn @ turn - np.eye(3), atol=1e-4)
    rest = subtract_motion(tracks, motion)
    assert rest.groupby("particle")[["x", "y", "z"]].std().max().max() < 0.05


def test_too_few_particles_have_no_motion_and_say_so() -> None:
    rng = np.random.default_rng(26)
    for n, has_drift in ((3, False), (8, True)):
        places = rng.uniform(0, 50, (n, 2)) + 2.0 * np.arange(4)[:, None, None]
        tracks = detections(places, rng).rename(columns={"truth": "particle"})
        motion = estimate_motion(tracks)
        assert np.isnan(motion.sigma_gradient).all() and (motion.gradient == 0).all()
        assert np.isnan(motion.sigma_translation_px).all() == (not has_drift)
        np.testing.assert_allclose(motion.translation_px, 2.0 if has_drift else 0.0, atol=1e-9)
        assert np.isfinite(subtract_motion(tracks, motion)[["x", "y"]].to_numpy()).all()


def test_what_cannot_be_estimated_is_refused() -> None:
    tracks = pd.DataFrame({"frame": [0, 1], "particle": [0, 1], "x": [0.0, 1.0], "y": [0.0, 1.0]})
    with pytest.raises(InputError, match="no particle is in two successive frames"):
        estimate_motion(tracks)
    with pytest.raises(InputError, match="no column particle"):
        estimate_motion(tracks.drop(columns="particle"))
    linked = tracks.assign(particle=0)
    with pytest.raises(InputError, match="nothing of frame 7"):
        subtract_motion(linked.assign(frame=[0, 7]), estimate_motion(linked))
