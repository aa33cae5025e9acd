"""The stated error of centroids is the true one where centroids are sensible: single particles in noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from colloidlab.features import locate
from colloidlab.features.pixel_noise import sample_noise
from colloidlab.synthetic.crowded import GAIN_ELECTRONS, READ_NOISE, SCENES, Scene, expose, film

DILUTE = SCENES["b"]


def scores(scene: Scene, diameter: int, seed: int, n_frames: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """(found - true) / sigma of both axes, and the distance of each true particle from the next, in diameters."""
    z, apart = [], []
    for image, truth in film(scene, n_frames, seed=seed):
        table = locate(image, diameter, method="centroid", minmass=100)
        true = truth[["x", "y"]].to_numpy()
        inside = ((true > 20) & (true < scene.size_px - 20)).all(axis=1)
        distance, which = cKDTree(table[["x", "y"]]).query(true)
        own = cKDTree(true).query(table[["x", "y"]].to_numpy()[which])[1] == np.arange(len(true))
        keep = inside & own & (distance < 3)
        found = table.iloc[which[keep]]
        z.append((found[["x", "y"]].to_numpy() - true[keep]) / found[["sigma_x_px", "sigma_y_px"]].to_numpy())
        apart.append(cKDTree(true).query(true[keep], k=2)[0][:, 1] / diameter)
    return np.concatenate(z), np.concatenate(apart)


@pytest.mark.parametrize(
    ("scene", "diameter"),
    [
        # A disc that cuts the rim off, one that holds the particle, a dim particle, and one with a dark ring.
        (DILUTE, 9),
        (DILUTE, 11),
        (replace(DILUTE, amplitude=500), 11),
        (replace(DILUTE, profile="ring", background=1200), 9),
    ],
)
def test_errors_over_sigma_have_a_spread_of_one(scene: Scene, diameter: int) -> None:
    z, apart = scores(scene, diameter, seed=21)
    single = z[apart > 1.2]
    assert len(single) > 200
    assert 0.85 < single.std() < 1.15, single.std()


def test_errors_near_contact_are_not_understated() -> None:
    """Neighbours that trackpy's separation leaves out of the table pull all the same."""
    z, apart = scores(replace(SCENES["c"], size_px=400, n_particles=760), 9, seed=4, n_frames=2)
    touching = z[apart < 1.2]
    assert len(touching) > 300
    assert 0.6 < touching.std() < 1.2, touching.std()


def test_sigma_grows_near_contact() -> None:
    """Where the mean error grows tenfold, the stated one follows."""
    dense = replace(SCENES["a"], size_px=400, n_particles=540)
    single = replace(dense, n_particles=30)

    def stated(scene: Scene) -> float:
        image, _ = next(film(scene, 1, seed=2))
        return float(
            locate(image, 19, method="centroid", separation_px=12, minmass=300)["sigma_x_px"].median()
        )

    assert stated(dense) > 3 * stated(single)


@pytest.mark.parametrize("electrons", [lambda x: 400 + 0 * x, lambda x: 300 + 6 * x])
def test_the_line_of_noise_against_brightness(electrons: Callable[[np.ndarray], np.ndarray]) -> None:
    mean = np.broadcast_to(electrons(np.arange(500.0)), (400, 500)).copy()
    image = expose(mean, np.random.default_rng(3))
    noise = sample_noise(image)
    grey = mean / GAIN_ELECTRONS + 5
    true = (mean + READ_NOISE**2) / GAIN_ELECTRONS**2 + 1 / 12
    assert np.allclose(noise.variance(grey), true, rtol=0.12)
