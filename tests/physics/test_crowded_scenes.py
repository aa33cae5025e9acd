"""The scenes on which locating is measured: what they claim of themselves, and the bound on their positions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from colloidlab.errors import UsageError
from colloidlab.synthetic.crowded import (
    GAIN_ELECTRONS,
    OFFSET,
    READ_NOISE,
    SCENES,
    expected_electrons,
    expose,
    film,
    profile,
)
from colloidlab.synthetic.information import joint_bound_px

SMALL = replace(SCENES["a"], size_px=192, n_particles=126)


def test_the_same_seed_films_the_same_scene_and_another_does_not() -> None:
    (first, _), (second, _), (other, _) = (next(film(SMALL, 1, seed=s)) for s in (3, 3, 4))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_particles_touch_but_hardly_overlap() -> None:
    _, truth = next(film(SMALL, 1, seed=1))
    points, radii = truth[["x", "y"]].to_numpy(), truth["radius_px"].to_numpy()
    pairs = cKDTree(points).query_pairs(2 * radii.max(), output_type="ndarray")
    gap = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T) - radii[pairs].sum(axis=1)
    assert (gap < 0).sum() > 0.5 * len(points)
    assert gap.min() > -0.35 * radii.mean()


def test_displacements_are_the_free_step_and_the_shear() -> None:
    """Dilute, so that only Brownian motion and the shear act; their variances are known."""
    scene = replace(SCENES["b"], n_particles=300)
    (_, before), (_, after) = film(scene, 2, seed=5)
    both = before.merge(after, on="particle")
    dy = (both["y_y"] - both["y_x"]).to_numpy()
    assert abs(dy.std() / scene.step_px - 1) < 4 / np.sqrt(2 * len(dy))


def test_noise_is_shot_noise_read_noise_and_rounding() -> None:
    electrons = np.full((400, 400), 1200.0)
    image = expose(electrons, np.random.default_rng(0)).astype(float)
    variance = (1200 + READ_NOISE**2) / GAIN_ELECTRONS**2 + 1 / 12
    assert image.mean() == pytest.approx(1200 / GAIN_ELECTRONS + OFFSET, abs=0.03)
    assert image.var() == pytest.approx(variance, rel=0.02)


def _alone(scene_name: str) -> tuple:
    scene = replace(SCENES[scene_name], size_px=96)
    truth = pd.DataFrame(
        {
            "particle": [0],
            "x": [47.3],
            "y": [48.2],
            "radius_px": [scene.diameter_px / 2],
            "amplitude": [1600.0],
        }
    )
    return scene, truth


def test_the_bound_is_reached_by_a_fit_that_knows_the_scene() -> None:
    """Maximum likelihood on one particle of known shape has the bound's scatter (one Newton step from the truth)."""
    scene, truth = _alone("b")
    table, rng = profile(scene), np.random.default_rng(2)
    bound = joint_bound_px(scene, truth, margin_px=20, n_sampled=1, rng=rng)
    mean = expected_electrons(scene, truth, table)
    moved = truth.assign(x=truth["x"] + 0.02)
    slope = (expected_electrons(scene, moved, table) - mean) / 0.02
    variance = mean + READ_NOISE**2 + GAIN_ELECTRONS**2 / 12
    found = []
    for _ in range(400):
        electrons = (expose(mean, rng) - OFFSET) * GAIN_ELECTRONS
        found.append(((electrons - mean) * slope / variance).sum() / (slope**2 / variance).sum())
    assert np.std(found) == pytest.approx(bound, rel=4 / np.sqrt(2 * 400))


def test_a_neighbour_in_contact_raises_the_bound() -> None:
    scene, truth = _alone("a")
    touching = pd.concat([truth, truth.assign(particle=1, x=truth["x"] + 0.8 * scene.diameter_px)])
    rng = np.random.default_rng(0)
    alone = joint_bound_px(scene, truth, margin_px=30, n_sampled=1, rng=rng)
    near = joint_bound_px(scene, touching.reset_index(drop=True), margin_px=30, n_sampled=2, rng=rng)
    assert near > 1.02 * alone


def test_impossible_requests_are_refused() -> None:
    scene, truth = _alone("b")
    with pytest.raises(UsageError, match="n_frames"):
        next(film(scene, 0, seed=0))
    with pytest.raises(UsageError, match="edge"):
        joint_bound_px(scene, truth, margin_px=60, n_sampled=1, rng=np.random.default_rng(0))
